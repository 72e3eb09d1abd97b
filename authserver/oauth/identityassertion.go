package oauth

// This file accepts identity assertions (ID-JAG,
// draft-ietf-oauth-identity-assertion-authz-grant; MCP's extension for
// enterprise-managed authorization): an identity provider has decided that a client may
// act for a user, and no browser is needed. Workload identities use the same grant with
// another typ; they are not supported.

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// identityProfile is the profile of the grant in the metadata.
const identityProfile = "urn:ietf:params:oauth:grant-profile:id-jag"

const (
	// maxIdentityAssertion is how far the expiry of an identity assertion may lie in
	// the future. Providers choose five minutes.
	maxIdentityAssertion = time.Hour

	// maxIdentityAssertions is how many assertions about one user are remembered.
	maxIdentityAssertions = 256
)

// Provider is an identity provider that may let clients act for its users.
type Provider struct {
	// Issuer is its issuer identifier. Required.
	Issuer string
	// Keys has the keys that it signs with. Required.
	Keys keys.Source
	// User returns the user that an assertion is about, by its sub and all of its
	// claims, as when that user signs in with a browser. An error means that the user
	// may not sign in here, unless it is an [*outbound.UnavailableError]. Required.
	User func(ctx context.Context, subject string, claims map[string]any) (User, error)
}

func (s *Server) checkProviders() error {
	for i, p := range s.config.Providers {
		switch {
		case p.Issuer == "" || p.Keys == nil || p.User == nil:
			return errors.New("a provider of identities needs an issuer, keys and users")
		case p.Issuer == s.config.Issuer:
			return errors.New("this server can't be its own provider of identities")
		case slices.ContainsFunc(s.config.Providers[:i], func(other Provider) bool { return other.Issuer == p.Issuer }):
			return fmt.Errorf("the provider of identities %s is given twice: a user would be two subjects", p.Issuer)
		}
	}
	return nil
}

// provider returns the provider with that issuer identifier; nil if there is none.
func (s *Server) provider(issuer string) *Provider {
	i := slices.IndexFunc(s.config.Providers, func(p Provider) bool { return p.Issuer == issuer })
	if i < 0 {
		return nil
	}
	return &s.config.Providers[i]
}

// acceptIdentity exchanges an identity assertion for an access token (section 4.4 of the
// draft). There is no refresh token: the provider decides again when the client gets its
// next assertion.
func (s *Server) acceptIdentity(ctx context.Context, c *Client, form url.Values, event *Event) (*tokens, error) {
	switch {
	case len(s.config.Providers) == 0:
		return nil, badRequest("unsupported_grant_type", "This server trusts no provider of identities.")
	case !form.Has("assertion"):
		return nil, invalidRequest("assertion is missing.")
	case c.Secret == "" && c.assertion == nil:
		// Section 8.1 of the draft. client_id in the assertion would be of no use if
		// anyone could send it as that client.
		return nil, badRequest("unauthorized_client", "The client must authenticate to use this grant: it needs a secret or a key.")
	}
	a, p, err := s.identityOf(ctx, c, form.Get("assertion"))
	if err != nil {
		return nil, err
	}
	event.Provider = p.Issuer
	audience, err := s.assertedResource(a, form["resource"])
	if err != nil {
		return nil, err
	}
	scopes, err := s.assertedScopes(c, a, form.Get("scope"))
	if err != nil {
		return nil, err
	}
	user, err := s.assertedUser(ctx, p, a)
	if err != nil {
		return nil, err
	}
	event.Subject = user.Subject
	if err := s.spend(ctx, c); err != nil {
		return nil, err
	}
	first, err := s.useOnce(ctx, "user\n"+p.Issuer+"\n"+a.Subject, a, maxIdentityAssertions)
	if err != nil {
		return nil, err
	}
	if !first {
		return nil, invalidGrant("The assertion has been used before: get another one from the provider.")
	}
	g := grant{
		User:         user,
		ClientID:     c.ID,
		Provider:     p.Issuer,
		Resource:     audience,
		Scopes:       scopes,
		Confidential: true,
		Created:      s.now(),
	}
	return s.issue(ctx, newGrantID(), &g, &standing{nil, audience, scopes}, scopes, "")
}

// identityOf returns the identity assertion, verified, and the provider that signed it.
func (s *Server) identityOf(ctx context.Context, c *Client, raw string) (*token.Assertion, *Provider, error) {
	a, err := token.PresentAssertion(raw)
	if err != nil {
		return nil, nil, badIdentity(err)
	}
	if a.Type != token.IdentityAssertionTyp {
		// The first question: other kinds of JWT in this grant have other rules.
		return nil, nil, invalidGrant("The assertion is not an identity assertion: its typ must be " + token.IdentityAssertionTyp + ".")
	}
	p := s.provider(a.Issuer)
	if p == nil {
		return nil, nil, invalidGrant("The assertion is not from a provider of identities that this server trusts.")
	}
	err = a.Verify(ctx, &token.AssertionRules{
		Types:        []string{token.IdentityAssertionTyp},
		Issuer:       p.Issuer,
		ClientID:     c.ID,
		Audience:     []string{s.config.Issuer},
		MaxLifetime:  maxIdentityAssertion,
		NeedIssuedAt: true,
		Keys:         p.Keys,
		Now:          s.now,
	})
	if _, wrong := errors.AsType[*token.InvalidError](err); wrong {
		return nil, nil, badIdentity(err)
	}
	if err != nil {
		e := unavailable(err)
		e.Description = "The keys of the provider of identities can't be had right now: try again."
		return nil, nil, e
	}
	return a, p, nil
}

func badIdentity(cause error) *Error {
	return refusedGrant("The assertion is not acceptable: it needs iss, a trusted provider; sub; client_id, the client that sends it; aud, this issuer alone; "+
		"exp, iat and jti; and the provider's signature.", cause)
}

// assertedResource returns the resource that the assertion is for. The provider has
// decided about it together with this server, so nothing else is granted, whatever the
// request names. If the assertion names none, the provider has decided for all resources
// of this server.
func (s *Server) assertedResource(a *token.Assertion, requested []string) (string, error) {
	if len(a.Resources) == 0 {
		return failed(s.resourceFor(requested))
	}
	var ours []string
	for _, known := range s.config.Resources {
		if slices.ContainsFunc(a.Resources, func(named string) bool { return resource.Same(known, named) }) {
			ours = append(ours, known)
		}
	}
	switch {
	case len(ours) == 0:
		return "", invalidGrant("The assertion is for a resource that this server issues no tokens for.")
	case len(requested) == 0 && len(ours) == 1:
		return ours[0], nil
	}
	named, err := failed(s.resourceFor(requested))
	if err == nil && !slices.Contains(ours, named) {
		err = badRequest("invalid_target", "The assertion is for another resource than the request.")
	}
	return named, err
}

// failed converts a nil [*Error] to a nil error.
func failed(value string, err *Error) (string, error) {
	if err != nil {
		return "", err
	}
	return value, nil
}

// assertedScopes returns the scopes that the provider, this server and the request all
// name. An assertion without scope leaves it to this server (RFC 6749, section 3.3),
// which then grants no more than to a client that requests none.
func (s *Server) assertedScopes(c *Client, a *token.Assertion, requested string) ([]string, error) {
	allowed := s.allowedScopes(c)
	if a.Scopes == nil {
		var err error
		if allowed, _, err = s.grantedScopes(c, ""); err != nil {
			return nil, err
		}
	} else {
		allowed = both(allowed, a.Scopes)
	}
	names := strings.Fields(requested)
	for _, name := range names {
		if token.CheckScope(name) != nil {
			return nil, badRequest("invalid_scope", "scope is malformed.")
		}
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == OfflineAccess || name == "openid" })
	if len(names) > 0 {
		allowed = both(allowed, names)
	}
	if len(allowed) == 0 {
		return nil, badRequest("invalid_scope", "None of the scopes that the request and the assertion have in common is one that this server grants the client.")
	}
	return allowed, nil
}

// both returns the elements of a that are in b too.
func both(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(name string) bool { return !slices.Contains(b, name) })
}

// assertedUser returns the user that the assertion is about, if that user may sign in.
func (s *Server) assertedUser(ctx context.Context, p *Provider, a *token.Assertion) (User, error) {
	user, err := p.User(ctx, a.Subject, a.Claims())
	if err == nil {
		return user, s.checkUser(ctx, user)
	}
	if _, away := errors.AsType[*outbound.UnavailableError](err); away {
		return User{}, err
	}
	return User{}, refusedGrant("The user may not sign in here.", err)
}
