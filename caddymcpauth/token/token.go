// Package token judges bearer tokens. It says what a token means and whether
// that can be relied on; it decides nothing about a request and knows nothing
// of Caddy.
package token

import (
	"context"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Token is what a verified access token says. It is shared between requests
// and must not be changed.
type Token struct {
	// Issuer is the authorization server that vouches for the token, as it is
	// configured. Subjects of two issuers are two users: identify a user by
	// Issuer and Subject together.
	Issuer string

	// Subject is the user, or the client itself for a token that a client
	// obtained on its own behalf. Never empty.
	Subject string

	// ClientID is the OAuth client that the token was issued to (client_id,
	// else azp). May be empty: not every authorization server says.
	ClientID string

	// Audience lists the resources that the token was issued for.
	Audience []string

	// Scopes lists the granted scopes.
	Scopes []string

	// Expiry is the moment from which the token is no longer valid. Zero if
	// the authorization server doesn't say.
	Expiry time.Time

	// claims is the verified JSON object: a JWT's payload, an introspection
	// answer, a userinfo answer. A verdict on a JWT is remembered without it:
	// the token itself, which every request brings along, has it.
	claims jsontext.Value

	// keys is the key set in which the key of a JWT was found.
	keys *KeySet
}

// New returns t with the verified claims it was read from, which must be a JSON
// object.
func New(t Token, claims []byte) *Token {
	t.claims = claims
	return &t
}

// Claims returns a copy of all verified claims as the issuer wrote them.
// Numbers are float64, as in encoding/json. The token itself is not among them.
func (t *Token) Claims() map[string]any {
	var claims map[string]any
	if err := json.Unmarshal(t.claims, &claims); err != nil {
		return nil // made by a caller without claims
	}
	return claims
}

// slim returns t without claims if they can be restored.
func (t *Token) slim() *Token {
	if t.keys == nil {
		return t
	}
	s := *t
	s.claims = nil
	return &s
}

// Restore returns t with its claims, if t is a remembered verdict on the JWT
// raw; otherwise t itself.
func (t *Token) Restore(raw string) *Token {
	if t.claims != nil || t.keys == nil {
		return t
	}
	_, payload, _ := strings.Cut(raw, ".")
	payload, _, _ = strings.Cut(payload, ".")
	claims, err := base64url.DecodeString(payload)
	if err != nil {
		return t // not the token that t is about
	}
	return New(*t, claims)
}

// contextKey is the key of the verified token in a request's context.
type contextKey struct{}

// carrier is a context with a verified token. Its claims are restored when
// somebody asks for the token: most requests are let in without.
type carrier struct {
	context.Context
	token *Token
	raw   string
}

// Value implements [context.Context].
func (c *carrier) Value(key any) any {
	if key == (contextKey{}) {
		return c.token.Restore(c.raw)
	}
	return c.Context.Value(key)
}

// NewContext returns a copy of ctx that carries t, the verdict on raw.
func NewContext(ctx context.Context, t *Token, raw string) context.Context {
	return &carrier{ctx, t, raw}
}

// FromContext returns the verified token of the request that ctx belongs to.
// It reports false where no front door has let the request in.
func FromContext(ctx context.Context) (*Token, bool) {
	t, ok := ctx.Value(contextKey{}).(*Token)
	return t, ok
}
