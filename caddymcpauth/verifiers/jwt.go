package verifiers

import (
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/option"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

func init() {
	caddy.RegisterModule(JWT{})
}

// JWT verifies signed JWT access tokens (RFC 9068) with the keys that the issuer
// publishes. It is the default verifier of an issuer.
//
// A token must be a JWS in compact serialization, with typ `at+jwt`, `JWT` or
// none, whose iss is the issuer, whose aud names the resource, and which has an
// exp and a sub or client_id. ID tokens, refresh tokens and sender-constrained
// tokens are refused.
type JWT struct {
	// The algorithms that a token may be signed with. Default: RS256, RS384,
	// RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519. An
	// unknown name, or a symmetric algorithm, is an error.
	Algorithms []string `json:"algorithms,omitempty"`

	// How far nbf and iat may lie in the future, for issuers whose clock is
	// ahead. It does not prolong exp. At most 5m. Default: 30s.
	Leeway caddy.Duration `json:"leeway,omitempty"`
}

// maxLeeway bounds leeway: maintained clocks never differ by more.
const maxLeeway = 5 * time.Minute

// CaddyModule returns the Caddy module information.
func (JWT) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.mcp_auth.verifiers.jwt",
		New: func() caddy.Module { return new(JWT) },
	}
}

// TokenVerifier implements [Verifier].
func (v *JWT) TokenVerifier(iss IssuerInfo) (token.Source, error) {
	verifier, err := v.verifier(iss)
	if err != nil {
		return token.Source{}, err
	}
	return verifier.Source(), nil
}

// AcceptsJWT implements [JWTAccepter].
func (*JWT) AcceptsJWT() bool { return true }

// verifier returns the verifier itself.
func (v *JWT) verifier(iss IssuerInfo) (*token.JWT, error) {
	if leeway := time.Duration(v.Leeway); leeway < 0 || leeway > maxLeeway {
		return nil, fmt.Errorf("leeway %s is not between 0 and %s", leeway, maxLeeway)
	}
	if !iss.Discovery.Knows("jwks_uri") {
		return nil, errors.New("discovery is off, so the issuer's keys must be given: metadata jwks_uri <url>")
	}
	return token.NewJWT(token.JWTConfig{
		Issuer:     iss.Issuer,
		Keys:       iss.Discovery,
		Audience:   iss.Audience,
		Algorithms: v.Algorithms,
		Leeway:     time.Duration(v.Leeway),
		AllowBound: true, // the front door looks at Binding
	})
}

// UnmarshalCaddyfile sets up the verifier from Caddyfile tokens. Syntax:
//
//	jwt {
//	    algorithms <names...>
//	    leeway     <duration>
//	}
func (v *JWT) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the verifier's name
	if d.NextArg() {
		return d.Errf("jwt takes no value, but a block: what is %q?", d.Val())
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "algorithms":
			if err := option.List(d, &v.Algorithms); err != nil {
				return err
			}
		case "leeway":
			if err := leewayOption(d, &v.Leeway); err != nil {
				return err
			}
		default:
			return d.Errf("unrecognized option of jwt: %s (known: algorithms, leeway)", d.Val())
		}
	}
	return nil
}

func leewayOption(d *caddyfile.Dispenser, leeway *caddy.Duration) error {
	if *leeway != 0 {
		return d.Errf("leeway is given twice")
	}
	var arg string
	if !d.AllArgs(&arg) {
		return d.Err("leeway takes a duration such as 30s" + option.Unset)
	}
	duration, err := caddy.ParseDuration(arg)
	if err != nil || duration <= 0 {
		return d.Errf("leeway %q is not a duration such as 30s", arg)
	}
	*leeway = caddy.Duration(duration)
	return nil
}

// Interface guards
var (
	_ Verifier              = (*JWT)(nil)
	_ JWTAccepter           = (*JWT)(nil)
	_ caddyfile.Unmarshaler = (*JWT)(nil)
)
