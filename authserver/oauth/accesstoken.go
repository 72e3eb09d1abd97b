package oauth

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// accessClaims are the claims of an access token (RFC 9068, section 2.2).
type accessClaims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	ClientID string `json:"client_id"`
	Scope    string `json:"scope"`
	ID       string `json:"jti"`
	IssuedAt int64  `json:"iat"`
	Expires  int64  `json:"exp"`

	// Confirmation says which keys the sender must have. Nil for a bearer token.
	Confirmation *confirmation `json:"cnf,omitempty"`
	// Actor is the client that acts for the user, in an exchanged token.
	Actor *actor `json:"act,omitempty"`

	AuthTime int64 `json:"auth_time,omitempty"`
	// Section 2.2.2: claims about the user, so that a resource server need not
	// ask for them.
	Username      string   `json:"preferred_username,omitempty"`
	Name          string   `json:"name,omitempty"`
	Email         string   `json:"email,omitempty"`
	EmailVerified bool     `json:"email_verified,omitempty"`
	Groups        []string `json:"groups,omitempty"`
}

// accessToken makes an access token of a grant. Its jti begins with the grant's
// identifier, which is how revocation and introspection find it.
func (s *Server) accessToken(ctx context.Context, grant string, g *grant, audience string, scopes []string) (string, error) {
	return s.sign(ctx, g.claims(grant, audience, scopes))
}

// claims returns the claims of an access token of the grant with that identifier.
func (g *grant) claims(id, audience string, scopes []string) *accessClaims {
	u := g.User
	var signedIn int64 // left out if it is not known
	if !u.SignedIn.IsZero() {
		signedIn = u.SignedIn.Unix()
	}
	return &accessClaims{
		Subject:       u.Subject,
		Audience:      audience,
		ClientID:      g.ClientID,
		Scope:         strings.Join(scopes, " "),
		ID:            id + "." + rand.Text(),
		AuthTime:      signedIn,
		Username:      u.Username,
		Name:          u.Name,
		Email:         u.Email,
		EmailVerified: u.EmailVerified,
		Groups:        u.Groups,
	}
}

// sign completes the claims and signs them. The token is bound to the keys that the
// sender of the request has proved to have. Where the claims have an expiry, it doesn't
// last longer.
func (s *Server) sign(ctx context.Context, claims *accessClaims) (string, error) {
	if err := s.useProof(ctx); err != nil {
		return "", err
	}
	claims.Confirmation = senderOf(ctx).confirmation()
	keys, err := s.keys.Current(ctx)
	if err != nil {
		return "", unavailable(err)
	}
	now := s.now()
	claims.Issuer = s.config.Issuer
	claims.IssuedAt = now.Unix()
	claims.Expires = lifetimeOf(claims.Expires, now, s.config.AccessTokenLifetime)
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: keys.Signing(now)},
		(&jose.SignerOptions{}).WithType("at+jwt"),
	)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// grantOfToken returns the grant that an access token belongs to; empty for a
// token from client credentials.
func grantOfToken(t *token.Token) string {
	id, _, found := strings.Cut(t.ClaimText("jti"), ".")
	if !found {
		return ""
	}
	return id
}

// tokens is a token response (RFC 6749, section 5.1).
type tokens struct {
	AccessToken  string `json:"access_token"`
	IssuedType   string `json:"issued_token_type,omitempty"` // RFC 8693, section 2.2.1
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token,omitempty"`
	Scope        string `json:"scope"`
}

// clientCredentials issues a token to a client that acts on its own behalf (OAuth
// 2.1, section 4.2). There is no refresh token, because the client can request
// another token at any time.
func (s *Server) clientCredentials(ctx context.Context, c *Client, scope string, target []string) (*tokens, error) {
	if !c.ClientCredentials {
		return nil, badRequest("unauthorized_client", "The client may not use this grant.")
	}
	resource, failure := s.resourceFor(target)
	if failure != nil {
		return nil, failure
	}
	scopes, _, err := s.grantedScopes(c, scope)
	if err != nil {
		return nil, err
	}
	access, err := s.sign(ctx, &accessClaims{
		Subject:  c.ID, // RFC 9068, section 2.2
		Audience: resource,
		ClientID: c.ID,
		Scope:    strings.Join(scopes, " "),
		ID:       rand.Text(),
	})
	if err != nil {
		return nil, err
	}
	return &tokens{
		AccessToken: access,
		TokenType:   senderOf(ctx).tokenType(),
		ExpiresIn:   int64(s.config.AccessTokenLifetime / time.Second),
		Scope:       strings.Join(scopes, " "),
	}, nil
}
