package token

// This file reads which key the sender of a token must have: cnf (RFC 7800), with
// jkt (RFC 9449, section 6) and x5t#S256 (RFC 8705, section 3). Other members, such as
// jwk and kid, are not supported.

import (
	"crypto/sha256"
	"errors"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/strictjson"
)

// Binding says which keys the sender of a token must have, besides the token. If there
// is more than one, the sender must have all of them.
type Binding struct {
	// Key is the thumbprint of the key that makes DPoP proofs (cnf.jkt), in base64url.
	// Empty if there is none.
	Key string

	// Certificate is the SHA-256 of the client's TLS certificate (cnf.x5t#S256), in
	// base64url. Empty if there is none.
	Certificate string
}

// IsZero reports whether any sender of the token is its rightful one.
func (b Binding) IsZero() bool { return b == Binding{} }

// merged returns the binding to all the keys of b and other. It reports false if these
// are two different keys of a kind.
func (b Binding) merged(other Binding) (Binding, bool) {
	for _, field := range []struct {
		to   *string
		from string
	}{{&b.Key, other.Key}, {&b.Certificate, other.Certificate}} {
		switch {
		case field.from == "":
		case *field.to == "":
			*field.to = field.from
		case *field.to != field.from:
			return Binding{}, false
		}
	}
	return b, true
}

var errUnknownBinding = errors.New("a kind of confirmation that is not supported")

// parseBinding reads the value of cnf. A member that isn't known is an error: it may be
// what the issuer relies on.
func parseBinding(value jsontext.Value) (Binding, error) {
	var b Binding
	err := strictjson.Members(value, func(name string, value jsontext.Value) (err error) {
		switch name {
		case "jkt":
			b.Key, err = thumbprint(value)
		case "x5t#S256":
			b.Certificate, err = thumbprint(value)
		default:
			err = errUnknownBinding
		}
		return err
	})
	if err == nil && b.IsZero() {
		err = errUnknownBinding
	}
	if err != nil {
		return Binding{}, err
	}
	return b, nil
}

// thumbprint reads a SHA-256 in base64url.
func thumbprint(value jsontext.Value) (string, error) {
	s, err := strictjson.String(value)
	if err != nil {
		return "", err
	}
	if sum, err := base64url.DecodeString(s); err != nil || len(sum) != sha256.Size || len(s) != base64url.EncodedLen(sha256.Size) {
		return "", errUnknownBinding
	}
	return s, nil
}

// boundAs returns t, which is also bound to the keys that confirmed is bound to: either
// source may be the only one to say.
func (t *Token) boundAs(confirmed *Token) (*Token, error) {
	binding, ok := t.Binding.merged(confirmed.Binding)
	switch {
	case !ok:
		return nil, invalid(BadClaims, "introspection names a different key than the token")
	case binding == t.Binding:
		return t, nil
	}
	bound := *t
	bound.Binding = binding
	return &bound, nil
}

// readBinding reads cnf. What can't be understood can't be checked either, so the token
// counts as bound to something unknown.
func (c *claims) readBinding(value jsontext.Value) {
	var err error
	if c.binding, err = parseBinding(value); err != nil {
		c.unprovable = true
	}
}

// checkBinding returns an error for a token that is bound to a key in a way that can't
// be checked, or at all unless bound tokens are allowed. To accept it as a plain bearer
// token would remove the protection that the client asked for (RFC 9449, section 7.2;
// RFC 8705).
func (c *claims) checkBinding(allowed bool) error {
	switch {
	case c.unprovable, c.ofDPoP && c.binding.Key == "":
		return breaks(ruleConstrained, SenderConstrained, "bound to a key by cnf in a way that is not supported")
	case !allowed && !c.binding.IsZero():
		return breaks(ruleConstrained, SenderConstrained, "bound to a key by cnf, which is not supported")
	}
	return nil
}
