// Package token verifies bearer tokens: JWTs by the keys of their issuer, opaque
// tokens by asking the issuer, and API keys. It says what a token means, and whether
// that is certain. It decides nothing about a request; see package judge for which
// verifier is asked, and how often.
package token

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
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

	// Type says whether the subject is a user or the client itself.
	Type SubjectType

	// ClientID is the OAuth client that the token was issued to (client_id,
	// cid, appid, else azp). May be empty: not every authorization server says.
	ClientID string

	// Audience lists the resources that the token was issued for.
	Audience []string

	// Scopes lists the granted scopes.
	Scopes []string

	// Expiry is the moment from which the token is no longer valid. Zero if
	// the authorization server doesn't say.
	Expiry time.Time

	// Binding says which keys the sender must have. Unless it is zero, a request with
	// the token alone proves nothing.
	Binding Binding

	// claims is the verified JSON object: a JWT's payload, or an answer of the
	// introspection or userinfo endpoint. As a string, because a parsed one takes
	// several times the memory.
	claims string

	// common has further members of the object, which many tokens share.
	common string

	// raw is the JWT itself if the other fields are yet to be read from it; see
	// Full.
	raw string

	// keys is the key set that had the key of a JWT.
	keys *keys.Set

	// kept is for [Reader.Select]. Nil unless the token was remembered.
	kept *Kept
}

// New returns t with its verified claims, which must be a JSON object.
func New(t Token, claims []byte) *Token {
	t.claims = string(claims)
	return &t
}

// Claims returns a copy of all verified claims as the issuer wrote them. Numbers are
// float64, as in encoding/json. The token itself is not in it.
func (t *Token) Claims() map[string]any { return claimsOf(t.Full().object()) }

// Same reports whether t and other, verdicts on one raw token, say the same. It may
// report false for two that say the same in another form.
func (t *Token) Same(other *Token) bool {
	if t.Issuer != other.Issuer || t.Subject != other.Subject || !t.Expiry.Equal(other.Expiry) || !slices.Equal(t.Scopes, other.Scopes) {
		return false
	}
	if t.Signed() || other.Signed() {
		return t.Signed() && other.Signed() // the rest is in the raw token
	}
	return t.claims == other.claims && t.common == other.common
}

// object returns all claims as one JSON object.
func (t *Token) object() string {
	switch {
	case t.common == "":
		return t.claims
	case t.claims == "{}":
		return "{" + t.common + "}"
	default:
		return "{" + t.common + "," + strings.TrimPrefix(t.claims, "{")
	}
}

// Full returns t with all fields and claims. A JWT that was remembered (see [Slim])
// has Issuer, Subject, Scopes and Expiry only; Full reads the rest from the JWT again.
// To read more than once, use a [Reader].
func (t *Token) Full() *Token {
	if t.raw == "" {
		return t
	}
	return NewReader(t).Token()
}

// contextKey is the key of the verified token in a request's context.
type contextKey struct{}

// NewContext returns a copy of ctx that carries t.
func NewContext(ctx context.Context, t *Token) context.Context {
	return context.WithValue(ctx, contextKey{}, t.Full())
}

// FromContext returns the verified token of the request that ctx belongs to.
// It reports false if the request didn't pass a front door.
func FromContext(ctx context.Context) (*Token, bool) {
	t, ok := ctx.Value(contextKey{}).(*Token)
	return t, ok
}
