package oauth

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
)

// standing is what today's configuration leaves of a grant.
type standing struct {
	consent  *Consent // nil if the grant comes from an identity assertion
	resource string   // in today's spelling
	scopes   []string
}

// standing returns what is left of a grant today: what the user allowed, minus
// what the configuration, the consent, and the user's own right to sign in no
// longer allow. Everything that is issued or said because of a grant goes by it,
// so a narrower configuration applies immediately to earlier grants. The client c
// is as configured today. id is empty before the grant begins.
//
// The error is [invalidGrant] if nothing is left. The grant stays stored, so an
// operator who undoes a change gets the grants back.
func (s *Server) standing(ctx context.Context, c *Client, id string, g *grant) (*standing, error) {
	audience, scopes, refused := s.granted(c, g)
	switch {
	case refused != nil:
		return nil, refusedGrant(refused.Description, refused.Cause)
	case g.Confidential && c.Public() && !c.unread:
		// Its tokens were only usable with the secret or key. Now anyone who reads
		// them could use them.
		return nil, invalidGrant("The client no longer has the secret or key that its tokens are bound to.")
	}
	if expires := s.grantExpires(g); !expires.IsZero() && !s.now().Before(expires) {
		return nil, invalidGrant("The client's access has expired.")
	}
	if g.Provider != "" {
		// The provider's decision takes the place of the user's.
		return &standing{nil, audience, scopes}, s.checkUser(ctx, g.User)
	}
	consent, err := s.consent(ctx, g.User.Subject, g.ClientID)
	switch {
	case err != nil:
		return nil, err
	case consent == nil || consent.ID != g.Consent:
		return nil, invalidGrant("The user has revoked the client's access.")
	}
	if id != "" && !slices.Contains(consent.Grants, id) {
		return nil, invalidGrant("The user has signed in to the client many times since then.")
	}
	if err := s.checkUser(ctx, g.User); err != nil {
		return nil, err
	}
	return &standing{consent, audience, scopes}, nil
}

// granted returns what today's configuration leaves of a grant, see
// [Server.permitted].
func (s *Server) granted(c *Client, g *grant) (string, []string, *Error) {
	switch {
	case g.Provider == "":
		return s.permitted(c, g.Redirect, g.Resource, g.Scopes)
	case s.provider(g.Provider) == nil:
		return "", nil, invalidGrant("This server no longer trusts the provider of the user's identity.")
	}
	return s.within(c, g.Resource, g.Scopes)
}

// permitted returns what today's configuration allows the client at a redirect
// URI: the resource as it is spelled today, and the remaining scopes in the order
// in which they were granted. It doesn't use the store or the network.
func (s *Server) permitted(c *Client, redirect, audience string, scopes []string) (string, []string, *Error) {
	if _, err := c.redirectURI(redirect); redirect == "" || err != nil {
		return "", nil, s.wrongRedirect(c, redirect, err)
	}
	return s.within(c, audience, scopes)
}

// within is [Server.permitted] without the redirect URI.
func (s *Server) within(c *Client, audience string, scopes []string) (string, []string, *Error) {
	i := slices.IndexFunc(s.config.Resources, func(known string) bool { return resource.Same(known, audience) })
	if i < 0 {
		return "", nil, badRequest("invalid_target", "This server no longer issues tokens for the resource.")
	}
	allowed := s.allowedScopes(c)
	left := slices.DeleteFunc(slices.Clone(scopes), func(name string) bool { return !slices.Contains(allowed, name) })
	if len(left) == 0 {
		return "", nil, badRequest("invalid_scope", "This server no longer grants the client any of these scopes.")
	}
	return s.config.Resources[i], left, nil
}

// allowedScopes returns the scopes that the client may have, in this server's
// order.
func (s *Server) allowedScopes(c *Client) []string {
	if len(c.Scopes) == 0 {
		return s.scopes
	}
	return slices.DeleteFunc(slices.Clone(s.scopes), func(name string) bool { return !slices.Contains(c.Scopes, name) })
}

// grantExpires returns when a grant ends by today's lifetimes, which may be
// shorter than those that it was made with. Zero means that the grant hasn't
// begun.
func (s *Server) grantExpires(g *grant) time.Time {
	if g.Expires.IsZero() {
		return time.Time{}
	}
	lifetime := s.config.AccessTokenLifetime
	if g.Refreshable {
		lifetime = s.config.RefreshTokenLifetime
	}
	expires := earlier(g.Expires, g.Renewed.Add(lifetime))
	if g.Refreshable && g.User.Source != "" {
		// The upstream's data gets old: the user may have left the organization,
		// or lost the address.
		expires = earlier(expires, g.User.SignedIn.Add(s.config.RefreshTokenLifetime))
	}
	return expires
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// checkUser returns an error if the user may no longer sign in here, or if that
// can't be found out.
func (s *Server) checkUser(ctx context.Context, user User) error {
	if s.config.CheckUser == nil {
		return nil
	}
	err := s.config.CheckUser(ctx, user)
	if _, away := errors.AsType[*outbound.UnavailableError](err); err == nil || away {
		return err
	}
	return refusedGrant("The user may no longer sign in here.", err)
}

// knownClient returns the client of an earlier grant, without any request to the
// client's web site: what the operator allows is known without its metadata
// document, and the answer to a resource server must not depend on that site.
func (s *Server) knownClient(ctx context.Context, id, redirect string) (*Client, error) {
	if s.clients[id] != nil || !isDocument(id) {
		return s.client(ctx, id)
	}
	if err := s.acceptsDocuments(); err != nil {
		return nil, err
	}
	c := &Client{ID: id, Kind: ByDocument, unread: true}
	if redirect != "" { // which a grant from an identity assertion doesn't have
		c.RedirectURIs = []string{redirect}
	}
	return c, s.stillAllowed(c)
}

// refusal reports whether err says that nothing is left of a grant, or that its
// client is refused. Other errors mean that this can't be found out now.
func refusal(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Status < 500
}
