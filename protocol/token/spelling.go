package token

import (
	"encoding/base64"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
)

// Spellings returns the other ways to write the token, two at most. Each is judged
// for itself: that two spellings are one token takes more than a look to see. But
// an operator who has one forgotten means all of them.
//
// A signed JWT has at most one other spelling. Base64 leaves no choice here (see
// base64url), what is signed can't be changed, and RSA and Ed25519 accept one form
// of a signature only. With ECDSA, if (r, s) is a signature, so is (r, n-s). Others
// insist on the lower s, which JOSE doesn't ask for: it would refuse half of all
// tokens. What an opaque token means only its issuer knows; one that decodes it from
// base64 may take it with padding and without.
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
