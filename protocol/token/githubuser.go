package token

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/strictjson"
)

// gitHubProfile are the members of /user that become claims. The others are
// counters, links to the API, and things that GitHub tells only the user, such
// as plan and second factor.
var gitHubProfile = []string{"login", "id", "type", "name", "email", "company", "avatar_url", "html_url"}

// gitHubID is the form of a user's number.
var gitHubID = regexp.MustCompile(`^[1-9][0-9]{0,18}$`)

// readGitHubUser reads the answer of /user. The subject is the number: logins
// can be changed, and then taken by another user.
func readGitHubUser(body []byte) (subject string, claims []byte, err error) {
	profile := make(map[string]jsontext.Value)
	err = strictjson.MembersOf(body, gitHubProfile, func(name string, value jsontext.Value) error {
		switch {
		case name == "id":
			if !gitHubID.Match(value) {
				return errors.New("id: not a positive whole number")
			}
			subject = string(value)
		case name == "login":
			if _, err := identifier(value); err != nil {
				return fmt.Errorf("login: %w", err)
			}
		case !slices.Contains(gitHubProfile, name):
			return nil
		case value.Kind() != '"' && value.Kind() != 'n':
			return fmt.Errorf("%s: not a text", name)
		}
		profile[name] = value.Clone()
		return nil
	})
	switch {
	case err != nil:
		return "", nil, err
	case subject == "":
		return "", nil, errors.New("no id")
	case profile["login"] == nil:
		return "", nil, errors.New("no login")
	}
	profile["sub"] = jsontext.Value(strconv.Quote(subject))
	claims, err = json.Marshal(profile, json.Deterministic(true))
	return subject, claims, err
}

// readGitHubScopes reads the scopes of the token that a request was made with.
// Tokens of GitHub Apps have none: their permissions are the app's.
func readGitHubScopes(h http.Header) ([]string, error) {
	return cleanScopes(strings.Split(strings.Join(h.Values("X-OAuth-Scopes"), ","), ","))
}

// cleanScopes returns scopes without blanks, which GitHub has where there are no
// scopes. Never nil.
func cleanScopes(scopes []string) ([]string, error) {
	clean := make([]string, 0, len(scopes))
	for _, scope := range scopes {
		if scope = strings.TrimSpace(scope); scope == "" {
			continue
		}
		if CheckScope(scope) != nil {
			return nil, errors.New("not a list of scopes")
		}
		clean = append(clean, scope)
	}
	return clean, nil
}

func gitHubTime(v jsontext.Value) (time.Time, error) {
	s, err := strictjson.String(v)
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, errors.New("not a date and time")
	}
	return t, nil
}
