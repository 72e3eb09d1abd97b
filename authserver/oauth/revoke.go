package oauth

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth/token"
)

// revoke is the revocation endpoint (RFC 7009). A token's whole grant ends with
// it, as section 2.1 asks for refresh tokens and allows for access tokens.
func (s *Server) revoke(ctx context.Context, w http.ResponseWriter, c *Client, form url.Values, event *Event) error {
	value := form.Get("token")
	if value == "" {
		return invalidRequest("token is missing.")
	}
	id, err := s.grantBehind(ctx, value)
	if err != nil {
		return err
	}
	if id != "" {
		var g grant
		found, err := s.load(ctx, grantKey(id), &g)
		if err != nil {
			return err
		}
		// Section 2.1: of another client's token nothing is said.
		if found && g.ClientID == c.ID {
			event.Subject = g.User.Subject
			if err := s.revokeGrant(ctx, id); err != nil {
				return err
			}
		}
	}
	// Section 2.2: an unknown token is as good as a revoked one.
	w.WriteHeader(http.StatusOK)
	return nil
}

// grantBehind returns the grant that a token of either kind came of; empty if
// there is none.
func (s *Server) grantBehind(ctx context.Context, value string) (string, error) {
	k, err := s.secret(ctx)
	if err != nil {
		return "", err
	}
	if id, _, ok := k.grantOf(value); ok {
		return id, nil
	}
	t, err := s.verify(ctx, value)
	if err != nil || t == nil {
		return "", err
	}
	return grantOfToken(t), nil
}

// verify returns what an access token of this server says; nil if it isn't one,
// or has expired.
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
