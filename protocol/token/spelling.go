package token

import (
	"encoding/base64"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
)

// Spellings returns the other ways to write the token, at most two. Each is verified
// on its own. But an operator who revokes one of them means all.
//
// A signed JWT has at most one other spelling. What is signed can't be changed, base64
// leaves no choice (see base64url), and RSA and Ed25519 have one form of a signature
// only. With ECDSA, if (r, s) is a valid signature, so is (r, n-s). To accept only the
// lower s, as some do, would refuse half of all tokens: JOSE doesn't require it.
//
// How an opaque token can be written, only its issuer knows. One that decodes it from
// base64 may accept it with and without padding.
func (p *Presented) Spellings() (others []string) {
	if p.JWS != nil {
		if twin := p.JWS.twin(); twin != "" {
			others = append(others, twin)
		}
		return others
	}
	body := strings.TrimRight(p.Raw, "=")
	for _, padding := range []string{"", "=", "=="} {
		if other := body + padding; other != p.Raw {
			others = append(others, other)
		}
	}
	return others
}

// twin returns the token with the other form of its ECDSA signature; empty if
// it has none.
func (jws *JWS) twin() string {
	other := keys.Twin(jws.Algorithm, jws.signature)
	if other == nil {
		return ""
	}
	return jws.input + "." + base64.RawURLEncoding.EncodeToString(other)
}
