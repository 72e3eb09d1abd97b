package oauth

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// introspect is the introspection endpoint (RFC 7662), for resource servers that
// can't check signatures, or that must notice revocations immediately. A refresh
// token is never active here: no resource server has a use for one, and a server
// that takes "active" for access would accept it as an access token.
func (s *Server) introspect(ctx context.Context, w http.ResponseWriter, c *Client, form url.Values, _ *Event) error {
	if !c.Introspection {
		// Section 2.1: otherwise anyone could test tokens here.
		return &Error{
			Code:        "access_denied",
			Description: "The client may not introspect tokens.",
			Status:      http.StatusForbidden,
		}
	}
	value := form.Get("token")
	if value == "" {
		return invalidRequest("token is missing.")
	}
	answer, err := s.introspection(ctx, value)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, answer)
}

// introspection returns the members of an introspection response (RFC 7662,
// section 2.2): what the token says, as far as it still holds.
func (s *Server) introspection(ctx context.Context, value string) (map[string]any, error) {
	inactive := map[string]any{"active": false}
	t, err := s.verify(ctx, value)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return inactive, nil
	}
	answer := t.Claims()
	// The token may have been issued with a longer lifetime than today's.
	issued, _ := answer["iat"].(float64)
	expires := earlier(t.Expiry, time.Unix(int64(issued), 0).Add(s.config.AccessTokenLifetime))
	if !s.now().Before(expires) {
		return inactive, nil
	}
	answer["exp"] = expires.Unix()
	var allowed []string
	if id := grantOfToken(t); id != "" {
		client := t.ClientID
		if answer["act"] != nil && s.exchanges(client) {
			client = "" // the grant is that of the client whose token was exchanged
		}
		allowed, err = s.grantToday(ctx, id, client, answer)
	} else {
		allowed, err = s.clientToday(ctx, t)
	}
	if refusal(err) {
		return inactive, nil
	}
	if err != nil {
		return nil, err
	}
	scopes := slices.DeleteFunc(slices.Clone(t.Scopes), func(name string) bool { return !slices.Contains(allowed, name) })
	if len(scopes) == 0 {
		return inactive, nil
	}
	answer["scope"] = strings.Join(scopes, " ")
	answer["active"] = true
	answer["token_type"] = sender{binding: t.Binding}.tokenType() // cnf is among the claims
	return answer, nil
}

// grantToday returns the scopes that are left of the grant that a token belongs
// to, and adds what is known about its user to the answer. client is whose grant it has
// to be; empty if it may be any client's.
func (s *Server) grantToday(ctx context.Context, id, client string, answer map[string]any) ([]string, error) {
	var g grant
	found, err := s.load(ctx, grantKey(id), &g)
	if err != nil {
		return nil, err
	}
	if !found || client != "" && g.ClientID != client {
		return nil, invalidGrant("The grant has ended.")
	}
	c, err := s.knownClient(ctx, g.ClientID, g.Redirect)
	if err != nil {
		return nil, err
	}
	st, err := s.standing(ctx, c, id, &g)
	if err != nil {
		return nil, err
	}
	answer["username"] = g.User.Username
	return st.scopes, nil
}

// clientToday returns the scopes that a client may have today for itself, unless
// it has revoked the token.
func (s *Server) clientToday(ctx context.Context, t *token.Token) ([]string, error) {
	c := s.clients[t.ClientID]
	if c == nil || !c.ClientCredentials || c.Public() {
		return nil, invalidGrant("The client may not act on its own behalf.")
	}
	revoked, err := s.loadWhole(ctx, revokedKey(t), new(revokedToken))
	if err != nil {
		return nil, err
	}
	if revoked {
		return nil, invalidGrant("The token was revoked.")
	}
	return s.allowedScopes(c), nil
}
