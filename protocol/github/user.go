package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/strictjson"
)

// User is a user of GitHub.
type User struct {
	// ID is the user's number, as text. Logins can be changed, and then taken by
	// another user; the number stays.
	ID string
	// Login is the user's name at GitHub.
	Login string
	// Name is the user's own name; empty if it isn't given.
	Name string
	// Profile are the members of the answer that say who the user is. The others
	// are counters, links to the API, and things that GitHub tells only the user,
	// such as the plan and the second factor. Its e-mail address may be anyone's,
	// see [Client.Emails].
	Profile map[string]jsontext.Value
	// Scopes are those of the token that was used. Never nil, empty for the tokens
	// of GitHub Apps: their permissions are the app's.
	Scopes []string
}

var profile = []string{"login", "id", "type", "name", "email", "company", "avatar_url", "html_url"}

// userID is the form of a user's number.
var userID = regexp.MustCompile(`^[1-9][0-9]{0,18}$`)

// User returns the user whose token it is.
func (c *Client) User(ctx context.Context, token string) (*User, error) {
	const path = "/user"
	header, body, err := c.ask(ctx, question{name: path, method: http.MethodGet, path: path, limit: maxAnswer}, bearer(token))
	if err != nil {
		return nil, err
	}
	user, err := readUser(body)
	if err != nil {
		return nil, &AnswerError{path, err}
	}
	user.Scopes = cleanScopes(strings.Split(strings.Join(header.Values("X-OAuth-Scopes"), ","), ","))
	return user, nil
}

func readUser(body []byte) (*User, error) {
	user := &User{Profile: make(map[string]jsontext.Value)}
	err := strictjson.MembersOf(body, profile, func(name string, value jsontext.Value) (err error) {
		switch {
		case name == "id":
			if _, err := strconv.ParseInt(string(value), 10, 64); err != nil || !userID.Match(value) {
				return errors.New("id: not a positive whole number")
			}
			user.ID = string(value)
		case name == "login":
			if user.Login, err = readLogin(value); err != nil {
				return fmt.Errorf("login: %w", err)
			}
		case !slices.Contains(profile, name):
			return nil
		case value.Kind() != '"' && value.Kind() != 'n':
			return fmt.Errorf("%s: not a text", name)
		case name == "name" && value.Kind() == '"':
			if user.Name, err = strictjson.String(value); err != nil {
				return fmt.Errorf("name: %w", err)
			}
		}
		user.Profile[name] = value.Clone()
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case user.ID == "":
		return nil, errors.New("no id")
	case user.Login == "":
		return nil, errors.New("no login")
	}
	return user, nil
}

// readLogin refuses what would look like another name in a header or a log.
func readLogin(value jsontext.Value) (string, error) {
	login, err := strictjson.String(value)
	switch {
	case err != nil:
		return "", err
	case login == "":
		return "", errors.New("empty")
	case strings.ContainsFunc(login, unicode.IsControl):
		return "", errors.New("contains a control character")
	case strings.TrimSpace(login) != login:
		return "", errors.New("begins or ends with a blank")
	}
	return login, nil
}

// cleanScopes returns scopes without blanks, which GitHub has where there are no
// scopes. Never nil.
func cleanScopes(scopes []string) []string {
	clean := make([]string, 0, len(scopes))
	for _, scope := range scopes {
		if scope = strings.TrimSpace(scope); scope != "" {
			clean = append(clean, scope)
		}
	}
	return clean
}

// Email is an e-mail address of a user.
type Email struct {
	// Email is the address.
	Email string `json:"email"`
	// Primary says that the user prefers it, Verified that GitHub sent a message
	// there which the user received.
	Primary  bool `json:"primary"`
	Verified bool `json:"verified"`
}

// Emails returns the addresses of the user whose token it is. It needs the scope
// user:email.
func (c *Client) Emails(ctx context.Context, token string) ([]Email, error) {
	const path = "/user/emails"
	_, body, err := c.ask(ctx, question{name: path, method: http.MethodGet, path: path, limit: maxList}, bearer(token))
	if err != nil {
		return nil, err
	}
	return readList[Email](path, body)
}

// Organizations returns the organizations of the user whose token it is, a
// thousand at most, each once. They are in lower case, because GitHub's names
// don't tell cases apart. It needs the scope read:org, without which GitHub
// returns the public memberships or none.
func (c *Client) Organizations(ctx context.Context, token string) ([]string, error) {
	var names []string
	type organization struct {
		Login string `json:"login"`
	}
	_, err := list(ctx, c, token, organizationsQuestion, func(o organization) {
		if name := strings.ToLower(o.Login); !slices.Contains(names, name) {
			names = append(names, name)
		}
	})
	if err != nil {
		return nil, err
	}
	return names, nil
}
