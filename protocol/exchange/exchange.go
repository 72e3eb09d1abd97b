// Package exchange gets tokens for the server behind: it exchanges the token of a user
// for another one, for that server, at the authorization server. It knows token
// exchange (RFC 8693) and the form of the JWT bearer grant that Entra calls
// on-behalf-of.
package exchange

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// Grant is the way a token is asked for.
type Grant string

const (
	// TokenExchange is RFC 8693.
	TokenExchange Grant = "token_exchange"
	// OnBehalfOf is the JWT bearer grant (RFC 7523) with requested_token_use, which
	// Entra has instead.
	OnBehalfOf Grant = "on_behalf_of"
)

// types are short names of requested_token_type (RFC 8693, section 3).
var types = map[string]string{
	"access_token": "urn:ietf:params:oauth:token-type:access_token",
	"jwt":          "urn:ietf:params:oauth:token-type:jwt",
}

// reserved are the parameters that have a setting of their own, or that are ours.
var reserved = []string{
	"grant_type", "subject_token", "subject_token_type", "actor_token", "actor_token_type", "assertion", "requested_token_use",
	"requested_token_type", "audience", "resource", "scope", "client_id", "client_secret", "client_assertion", "client_assertion_type",
}

// Config says how tokens are exchanged.
type Config struct {
	// Endpoint returns the token endpoint. Required.
	Endpoint func(ctx context.Context) (string, error)
	// Auth authenticates us as a client. Required.
	Auth token.ClientAuth
	// Grant is the way to ask. Empty means [TokenExchange].
	Grant Grant
	// Audience and Resource name the server behind (RFC 8693, section 2.1), and Scopes
	// are those that its tokens need. What is empty isn't sent. At least one.
	Audience, Resource string
	Scopes             []string
	// RequestedType is requested_token_type: access_token, jwt, or a URI. Empty means
	// that it isn't sent.
	RequestedType string
	// Parameters are further ones of the request.
	Parameters map[string]string

	// Client talks to the endpoint. Redirects are not followed. Nil means a client of
	// net/http's defaults.
	Client *http.Client
	// OnExchange is called for each request for a token, with the error if there was
	// one. Nil means that nobody is told.
	OnExchange func(err error)
	// OnWider is called when a token has scopes that weren't asked for. Nil means that
	// nobody is told.
	OnWider func()
	// Now returns the time. Nil means [time.Now].
	Now func() time.Time
}

// check returns an error for what can't be asked for, and fills in the defaults.
func (c *Config) check() error {
	c.Grant = cmp.Or(c.Grant, TokenExchange)
	switch {
	case c.Endpoint == nil:
		return errors.New("no token endpoint")
	case c.Auth == nil:
		return errors.New("no client credentials")
	case c.Grant != TokenExchange && c.Grant != OnBehalfOf:
		return fmt.Errorf("grant %q is none of %s, %s", c.Grant, TokenExchange, OnBehalfOf)
	case c.Audience == "" && c.Resource == "" && len(c.Scopes) == 0:
		return errors.New("it doesn't say for which server: give audience, resource or scopes, as the authorization server wants it")
	case c.Grant == OnBehalfOf && c.RequestedType != "":
		return fmt.Errorf("requested_token_type is for %s, not for %s", TokenExchange, OnBehalfOf)
	case c.RequestedType != "" && types[c.RequestedType] == "" && !strings.Contains(c.RequestedType, ":"):
		return fmt.Errorf("requested_token_type %q is neither access_token, jwt, nor a URI", c.RequestedType)
	}
	for _, scope := range c.Scopes {
		if err := token.CheckScope(scope); err != nil {
			return fmt.Errorf("scopes: %w", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Parameters)) {
		switch {
		case slices.Contains(reserved, name):
			return fmt.Errorf("parameter %s can't be set: it has a setting of its own, or is the front door's", name)
		case name == "" || c.Parameters[name] == "":
			return fmt.Errorf("parameter %q has no name or no value", name)
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Client = outbound.WithoutRedirects(c.Client)
	return nil
}

// form returns the request for a token of a subject.
func (c *Config) form(subject string) url.Values {
	form := make(url.Values)
	for name, value := range c.Parameters {
		form.Set(name, value)
	}
	set := func(name, value string) {
		if value != "" {
			form.Set(name, value)
		}
	}
	switch c.Grant {
	case OnBehalfOf:
		set("grant_type", token.JWTBearerGrant)
		set("requested_token_use", "on_behalf_of")
		set("assertion", subject)
	default:
		set("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
		set("subject_token", subject)
		set("subject_token_type", types["access_token"])
		set("requested_token_type", c.requestedType())
	}
	set("audience", c.Audience)
	set("resource", c.Resource)
	set("scope", strings.Join(c.Scopes, " "))
	return form
}

func (c *Config) requestedType() string { return cmp.Or(types[c.RequestedType], c.RequestedType) }

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 10

// ask sends a request for a token of a subject.
func (c *Config) ask(ctx context.Context, subject string) (*outbound.Answer, error) {
	endpoint, err := c.Endpoint(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	form := c.form(subject)
	header := http.Header{"Accept": {"application/json"}, "Content-Type": {"application/x-www-form-urlencoded"}}
	if err := c.Auth(form, header); err != nil {
		return nil, unavailable(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, unavailable(err)
	}
	req.Header = header
	a, err := outbound.Ask(c.Client, req, maxAnswer)
	if err != nil {
		_, tooLarge := errors.AsType[*outbound.TooLargeError](err)
		return nil, &outbound.UnavailableError{Outage: !tooLarge, Err: fmt.Errorf("token exchange: %w", err)}
	}
	return a, nil
}

// unavailable returns err as an [*outbound.UnavailableError].
func unavailable(err error) error {
	if _, ok := errors.AsType[*outbound.UnavailableError](err); ok {
		return err
	}
	return &outbound.UnavailableError{Err: fmt.Errorf("token exchange: %w", err)}
}
