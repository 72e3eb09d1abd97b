package oauth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// revokedMemory is how long a revoked token is remembered after its expiry, for
// clocks that differ.
const revokedMemory = time.Hour

// revokedToken is the record of a revoked access token from client credentials.
// There is no grant that could end with it. The record is kept until the token
// would have expired.
type revokedToken struct {
	Expires time.Time `json:"expires"`
}

func revokedKey(t *token.Token) string { return revokedPrefix + hashed(t.ClaimText("jti")) }

// revoke is the revocation endpoint (RFC 7009). Revoking a token ends its whole
// grant, as section 2.1 requires for refresh tokens and allows for access tokens.
func (s *Server) revoke(ctx context.Context, w http.ResponseWriter, c *Client, form url.Values, event *Event) error {
	value := form.Get("token")
	if value == "" {
		return invalidRequest("token is missing.")
	}
	k, err := s.secret(ctx)
	if err != nil {
		return err
	}
	if id, _, ok := k.grantOf(value); ok {
		err = s.revokeGrantOf(ctx, c, id, event)
	} else {
		err = s.revokeAccessToken(ctx, c, value, event)
	}
	if err != nil {
		return err
	}
	// Section 2.2: revoking an unknown token succeeds.
	w.WriteHeader(http.StatusOK)
	return nil
}

func (s *Server) revokeGrantOf(ctx context.Context, c *Client, id string, event *Event) error {
	var g grant
	found, err := s.load(ctx, grantKey(id), &g)
	// Section 2.1: the answer says nothing about another client's token.
	if err != nil || !found || g.ClientID != c.ID {
		return err
	}
	event.Subject = g.User.Subject
	if err := s.spend(ctx, c); err != nil {
		return err
	}
	return s.revokeGrant(ctx, id)
}

func (s *Server) revokeAccessToken(ctx context.Context, c *Client, value string, event *Event) error {
	t, err := s.verify(ctx, value)
	if err != nil || t == nil {
		return err
	}
	if id := grantOfToken(t); id != "" {
		return s.revokeGrantOf(ctx, c, id, event)
	}
	if t.ClientID != c.ID {
		return nil
	}
	return s.store(ctx, revokedKey(t), &revokedToken{Expires: t.Expiry})
}

// verify returns what an access token of this server says; nil if it is not a
// valid one.
func (s *Server) verify(ctx context.Context, value string) (*token.Token, error) {
	presented, err := token.Present(value)
	if err != nil {
		return nil, nil
	}
	t, err := s.judge.Verify(ctx, presented)
	if _, unavailable := errors.AsType[*token.UnavailableError](err); unavailable {
		return nil, err
	}
	if err != nil {
		return nil, nil
	}
	return t, nil
}
