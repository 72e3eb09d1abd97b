// Package assertion signs who a request is from, for the server behind: in a JSON
// Web Token (RFC 7519) that lives for a minute and that any JWT library checks by
// published keys. It keeps what it has signed for as long as it is of use.
package assertion

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

const (
	// DefaultHeader is the request header that has the assertion.
	DefaultHeader = "X-Mcp-Auth-Assertion"
	// KeysPath is where the public keys are, at the resource's origin.
	KeysPath = "/.well-known/mcp-auth/jwks.json"

	// DefaultLifetime is how long an assertion is valid.
	DefaultLifetime = time.Minute
	// MinLifetime leaves time for a slow request.
	MinLifetime = 10 * time.Second
	// MaxLifetime bounds how long an assertion is of use to a thief.
	MaxLifetime = 10 * time.Minute

	// MaxSize is the longest assertion, in bytes. Many servers refuse a request with
	// a header of more than 8 KiB.
	MaxSize = 8<<10 - 256
)

// reserved are the claims that an assertion sets itself, and those that would change
// what it means: nbf when it begins, cnf and act who may use it.
var reserved = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "scope", "sub_id", "cnf", "act", "may_act"}

// Config describes the assertions of a door.
type Config struct {
	// Resource is the door's resource identifier, which is the issuer. Required.
	Resource string
	// Audience is the server behind. Required.
	Audience string
	// Claims are copied from the token. A dot leads into an object, as in
	// realm_access.roles; the claim has the same name in the assertion. Those that
	// the token doesn't have are left out.
	Claims []string
	// Lifetime is how long an assertion is valid, at most as long as the token. Zero
	// means [DefaultLifetime].
	Lifetime time.Duration
	// AccessToken makes it an access token (RFC 9068), for servers that look at
	// nothing but a bearer token.
	AccessToken bool
}

// check returns an error for what can't be signed, and fills in the defaults.
func (c *Config) check() error {
	if c.Lifetime == 0 {
		c.Lifetime = DefaultLifetime
	}
	switch {
	case c.Resource == "":
		return errors.New("no resource")
	case c.Audience == "":
		return errors.New("no audience: name the server behind, as it is configured to expect itself in aud")
	case c.Audience == c.Resource:
		// Anything that accepts tokens for the resource would take it for one.
		return fmt.Errorf("the audience is the resource itself, %s: choose another name for the server behind, such as https://backend.internal", c.Resource)
	case c.Lifetime < MinLifetime || c.Lifetime > MaxLifetime:
		return fmt.Errorf("the lifetime is %s: choose one between %s and %s", c.Lifetime, MinLifetime, MaxLifetime)
	}
	for i, name := range c.Claims {
		switch {
		case name == "":
			return errors.New("a claim has no name")
		case slices.Contains(reserved, name):
			return fmt.Errorf("claim %s: it has a meaning of its own in an assertion, and can't be copied", name)
		case slices.Contains(c.Claims[:i], name):
			return fmt.Errorf("claim %s is given twice", name)
		}
	}
	return nil
}

var (
	// ErrExpired means that the token has expired since it was verified, or is about to:
	// there is less than a second left.
	ErrExpired = errors.New("the token has expired")
	// ErrTooLarge means that an assertion would be longer than [MaxSize].
	ErrTooLarge = fmt.Errorf("the assertion would be longer than %d bytes: choose fewer claims", MaxSize)
)

// subjectID names a user by issuer and subject together (RFC 9493, section 3.2.4).
type subjectID struct {
	Format  string `json:"format"`
	Issuer  string `json:"iss"`
	Subject string `json:"sub"`
}

// sign returns the assertion about the sender of a token, and when it expires.
func (c *Config) sign(key jose.JSONWebKey, sender *token.Reader, now time.Time) (text string, expires time.Time, err error) {
	t := sender.Token()
	expires = time.Unix(now.Add(c.Lifetime).Unix(), 0)
	if !t.Expiry.IsZero() && t.Expiry.Before(expires) {
		expires = time.Unix(t.Expiry.Unix(), 0)
	}
	if !now.Before(expires) {
		return "", expires, ErrExpired
	}
	claims := map[string]any{
		"iss":    c.Resource,
		"aud":    c.Audience,
		"sub":    t.Subject,
		"sub_id": subjectID{"iss_sub", t.Issuer, t.Subject},
		"iat":    now.Unix(),
		"exp":    expires.Unix(),
		"jti":    rand.Text(), // RFC 9068, section 2.2
	}
	if t.ClientID != "" {
		claims["client_id"] = t.ClientID
	}
	if len(t.Scopes) > 0 {
		claims["scope"] = strings.Join(t.Scopes, " ")
	}
	for _, name := range c.Claims {
		if value := sender.Claim(name); value != nil && string(value) != "null" {
			claims[name] = json.RawMessage(value)
		}
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", expires, fmt.Errorf("writing the claims: %w", err)
	}
	typ := jose.ContentType("JWT")
	if c.AccessToken {
		typ = "at+jwt"
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: key},
		(&jose.SignerOptions{}).WithType(typ).WithHeader(token.AssertionParameter, true),
	)
	if err != nil {
		return "", expires, fmt.Errorf("signing: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", expires, fmt.Errorf("signing: %w", err)
	}
	if text, err = signed.CompactSerialize(); err != nil {
		return "", expires, fmt.Errorf("signing: %w", err)
	}
	if len(text) > MaxSize {
		return "", expires, ErrTooLarge
	}
	return text, expires, nil
}
