package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/strictjson"
)

// CheckQuestion is the Question of errors of [Client.CheckToken].
const CheckQuestion = "the check of the application"

// Application is an OAuth app or a GitHub App.
type Application struct{ ID, Secret string }

// Grant is what GitHub says of a token to the application that it was issued to.
type Grant struct {
	// ClientID is the application's. Never empty; compare it.
	ClientID string
	// Scopes is nil if GitHub doesn't say.
	Scopes []string
	// Expiry is zero if the token doesn't expire.
	Expiry time.Time
}

// CheckToken asks whether token was issued to app: POST
// /applications/{client_id}/token. GitHub's tokens have no audience, the
// application stands in for it.
//
// The statuses of its [*StatusError]: 404 means that the application has no such
// token, 401 that app's credentials are wrong, and 422 "validation failed, or
// the endpoint has been spammed". GitHub counts none of them as a failed login.
func (c *Client) CheckToken(ctx context.Context, app Application, token string) (*Grant, error) {
	body, err := json.Marshal(map[string]string{"access_token": token})
	if err != nil {
		return nil, errors.New("the token is not valid UTF-8")
	}
	_, answer, err := c.ask(ctx, question{
		name:   CheckQuestion,
		method: http.MethodPost,
		path:   "/applications/" + url.PathEscape(app.ID) + "/token",
		body:   body,
		limit:  maxAnswer,
	}, func(req *http.Request) { req.SetBasicAuth(app.ID, app.Secret) })
	if err != nil {
		return nil, err
	}
	grant, err := readGrant(answer)
	if err != nil {
		return nil, &AnswerError{CheckQuestion, err}
	}
	return grant, nil
}

func readGrant(body []byte) (*Grant, error) {
	grant := new(Grant)
	err := strictjson.MembersOf(body, []string{"app", "scopes", "expires_at"}, func(name string, value jsontext.Value) (err error) {
		switch {
		case name == "app":
			err = strictjson.MembersOf(value, []string{"client_id"}, func(name string, value jsontext.Value) (err error) {
				if name == "client_id" {
					grant.ClientID, err = strictjson.String(value)
				}
				return err
			})
		case name == "scopes" && value.Kind() != 'n':
			var scopes []string
			if scopes, err = strictjson.Strings(value); err == nil {
				grant.Scopes = cleanScopes(scopes)
			}
		case name == "expires_at" && value.Kind() != 'n':
			grant.Expiry, err = readTime(value)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	if err == nil && grant.ClientID == "" {
		err = errors.New("no app.client_id")
	}
	if err != nil {
		return nil, err
	}
	return grant, nil
}

func readTime(v jsontext.Value) (time.Time, error) {
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
