package oauth

// This file authenticates clients by an assertion that they sign (RFC 7523, section
// 2.2; private_key_jwt of OpenID Connect Core 1.0, section 9). Not supported:
// client_secret_jwt, SAML.

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

const (
	// maxClientAssertion is how far the expiry of a client's assertion may lie in the
	// future. Libraries choose one to five minutes.
	maxClientAssertion = 10 * time.Minute

	// maxClientAssertions is how many assertions of one client are remembered. A
	// client with assertions of five minutes reaches it with 13 requests a second.
	maxClientAssertions = 4096
)

// clientAssertionTypes are the accepted values of typ. Most libraries write JWT, or
// nothing. Other kinds of JWT have a typ of their own.
var clientAssertionTypes = []string{token.ClientAssertionTyp, "jwt", ""}

// authenticateByKey returns the client whose assertion is in the form. client_id may be
// left out: the assertion names the client (RFC 7521, section 4.2).
func (s *Server) authenticateByKey(ctx context.Context, r *http.Request, form url.Values) (*Client, error) {
	switch {
	case len(r.Header.Values("Authorization")) > 0 || form.Has("client_secret"):
		return nil, invalidRequest("The client uses two authentication methods at once.")
	case !form.Has("client_assertion") || !form.Has("client_assertion_type"):
		return nil, invalidRequest("client_assertion and client_assertion_type belong together.")
	case form.Get("client_assertion_type") != token.ClientAssertionType:
		return nil, invalidClient("The client_assertion_type is not supported: it must be "+token.ClientAssertionType+".", nil)
	}
	a, err := token.PresentAssertion(form.Get("client_assertion"))
	if err != nil {
		return nil, badClientAssertion(err)
	}
	if form.Has("client_id") && form.Get("client_id") != a.Subject {
		return nil, invalidClient("The assertion is not about the client that the request names.", nil)
	}
	if a.Subject == "" {
		return nil, badClientAssertion(errors.New("no sub"))
	}
	known, err := s.client(ctx, a.Subject)
	if err != nil {
		return nil, err
	}
	if known.Keys == nil {
		return nil, invalidClient("The client has no keys.", nil)
	}
	rules := &token.AssertionRules{
		Types:       clientAssertionTypes,
		Issuer:      known.ID,
		Subject:     known.ID,
		Audience:    []string{s.config.Issuer},
		MaxLifetime: maxClientAssertion,
		Keys:        known.Keys,
		Now:         s.now,
	}
	if known.Kind != PreRegistered {
		// ChatGPT was seen to write the URL of the token endpoint, which RFC 7523
		// allows, and uses its key as soon as the metadata lists the method. Another
		// authorization server may get such an assertion from it. But unlike that of
		// a machine, it gives nobody a token: that needs a user's code or refresh
		// token as well, and without its key the client would be one that anyone can
		// pose as.
		rules.Audience = append(rules.Audience, s.config.Issuer+TokenPath)
	}
	if known.SigningAlg != "" {
		rules.Algorithms = []string{known.SigningAlg}
	}
	err = a.Verify(ctx, rules)
	if _, wrong := errors.AsType[*token.InvalidError](err); wrong {
		return nil, badClientAssertion(err)
	}
	if err != nil {
		e := unavailable(err)
		e.Description = "The client's keys can't be had right now: try again."
		return nil, e
	}
	c := *known
	c.assertion = a
	if c.Kind == PreRegistered {
		err = s.use(ctx, &c)
	}
	return &c, err
}

func badClientAssertion(cause error) *Error {
	return invalidClient("The client's assertion is not acceptable: it needs iss and sub, the client; aud, the issuer alone; exp, within ten minutes; jti; "+
		"and a signature by one of the client's keys.", cause)
}

// spend uses up the assertion that a client has sent, if it has. The error is an
// [*Error] if the assertion was used before.
//
// The assertion of a client that the operator registered is used up when the client
// authenticates. Anyone can be any number of other clients, so theirs would let
// anyone fill the store; they are used up when they come with something that a user
// has allowed the client: a code or a token. No other request has an effect that
// could be repeated.
func (s *Server) spend(ctx context.Context, c *Client) error {
	if c.assertion == nil || c.Kind == PreRegistered {
		return nil
	}
	return s.use(ctx, c)
}

func (s *Server) use(ctx context.Context, c *Client) error {
	first, err := s.useOnce(ctx, "client\n"+c.ID, c.assertion, maxClientAssertions)
	if err == nil && !first {
		err = invalidClient("The client's assertion has been used before: sign a new one, with another jti, for each request.", nil)
	}
	return err
}

// publishedKeys are the keys that a client publishes at an address, which anyone may
// have chosen.
type publishedKeys struct {
	documents Documents
	address   string
}

// KeySet implements [keys.Source].
func (k publishedKeys) KeySet(ctx context.Context, since time.Time) (*keys.Set, error) {
	set, err := k.documents.KeySet(ctx, k.address, since)
	if _, away := errors.AsType[*outbound.UnavailableError](err); err != nil && !away {
		// The address is not acceptable, which is the client's fault.
		err = &token.InvalidError{Reason: token.UnknownKey, Detail: err.Error()}
	}
	return set, err
}
