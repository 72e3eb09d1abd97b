package verifiers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/option"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

func init() {
	caddy.RegisterModule(Introspection{})
}

// Introspection verifies opaque tokens by asking the authorization server whether
// they are active (RFC 7662). The front door authenticates there as a client of
// its own, which the operator of the authorization server registers.
//
// The user is the answer's sub, else its username. An answer that doesn't
// refer to a user is about a client that acts on its own behalf.
type Introspection struct {
	// The introspection endpoint. Default: introspection_endpoint of the
	// issuer's metadata. Give the final address: redirects are not followed.
	// Placeholders are replaced once, at provision.
	Endpoint string `json:"endpoint,omitempty"`

	Credentials

	// Also introspect the issuer's signed JWTs, after their signature and
	// claims have been checked here, so that a revocation takes effect before
	// the token expires. It replaces the jwt verifier.
	ConfirmJWT bool `json:"confirm_jwt,omitempty"`

	// Accept answers without an audience, for authorization servers that have
	// none. Insecure: any active token of the issuer is accepted, whatever
	// resource it was issued for.
	InsecureAllowMissingAudience bool `json:"insecure_allow_missing_audience,omitempty"`

	// What this issuer's opaque tokens begin with, such as `ory_at_`. Other
	// tokens are not sent there, and tokens with the prefix are sent nowhere
	// else. Default: any token may be the issuer's, so it sees the tokens of
	// other issuers.
	TokenPrefix []string `json:"token_prefix,omitempty"`

	// How far nbf and iat may lie in the future. At most 5m. Default: 30s.
	Leeway caddy.Duration `json:"leeway,omitempty"`

	logger *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (Introspection) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.mcp_auth.verifiers.introspection",
		New: func() caddy.Module { return new(Introspection) },
	}
}

// Provision sets up the verifier.
func (v *Introspection) Provision(ctx caddy.Context) error {
	v.logger = ctx.Logger()
	return nil
}

// TokenVerifier implements [Verifier].
func (v *Introspection) TokenVerifier(iss IssuerInfo) (none token.Source, err error) {
	if leeway := time.Duration(v.Leeway); leeway < 0 || leeway > maxLeeway {
		return none, fmt.Errorf("leeway %s is not between 0 and %s", leeway, maxLeeway)
	}
	if err := option.Replace(option.Setting{Name: "endpoint", Value: &v.Endpoint}); err != nil {
		return none, err
	}
	auth, err := v.Authenticator(iss.Issuer)
	if err != nil {
		return none, err
	}
	if v.Endpoint == "" && !iss.Discovery.Knows("introspection_endpoint") {
		return none, errors.New("discovery is off, so the endpoint must be given: endpoint <url>")
	}
	config := token.IntrospectionConfig{
		Issuer:               iss.Issuer,
		Auth:                 auth,
		Audience:             iss.Audience,
		AllowMissingAudience: v.InsecureAllowMissingAudience,
		Prefixes:             v.TokenPrefix,
		Client:               iss.Client,
		Leeway:               time.Duration(v.Leeway),
		AllowBound:           true, // the front door looks at Binding
		OnNoUser: sync.OnceFunc(func() {
			v.logger.Warn("an introspection answer names no user, so its client counts as the user: right for client credentials, wrong if people sign in; have the authorization server add sub or username",
				zap.String("issuer", iss.Issuer),
				zap.String("resource", iss.Resource))
		}),
		Endpoint: func(ctx context.Context) (string, error) {
			if v.Endpoint != "" {
				return v.Endpoint, nil
			}
			return iss.Discovery.Endpoint(ctx, "introspection_endpoint")
		},
	}
	if v.Endpoint != "" {
		if err := web.CheckAddress(v.Endpoint); err != nil {
			return none, fmt.Errorf("endpoint: %w", err)
		}
	}
	if v.ConfirmJWT {
		if config.JWT, err = (&JWT{Leeway: v.Leeway}).verifier(iss); err != nil {
			return none, err
		}
	}
	if v.InsecureAllowMissingAudience {
		v.logger.Warn("insecure_allow_missing_audience is on: tokens that the issuer issued for other resources are accepted",
			zap.String("issuer", iss.Issuer),
			zap.String("resource", iss.Resource))
	}
	verifier, err := token.NewIntrospection(config)
	if err != nil {
		return none, err
	}
	return verifier.Source(), nil
}

// ConfirmsJWT implements [JWTConfirmer].
func (v *Introspection) ConfirmsJWT() bool { return v.ConfirmJWT }

// UnmarshalCaddyfile sets up the verifier from Caddyfile tokens. Syntax:
//
//	introspection {
//	    endpoint      <url>
//	    client_id     <id>
//	    client_secret <secret>
//	    client_auth   client_secret_basic | client_secret_post | private_key_jwt
//	    private_key   <file>
//	    key_id        <kid>
//	    token_prefix  <prefix...>
//	    confirm_jwt
//	    insecure_allow_missing_audience
//	    leeway        <duration>
//	}
func (v *Introspection) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the verifier's name
	if d.NextArg() {
		return d.Errf("introspection takes no value, but a block: what is %q?", d.Val())
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		known, err := v.Option(d)
		if known {
			if err != nil {
				return err
			}
			continue
		}
		switch d.Val() {
		case "endpoint":
			err = option.Text(d, &v.Endpoint)
		case "token_prefix":
			err = option.List(d, &v.TokenPrefix)
		case "confirm_jwt":
			err = option.Flag(d, &v.ConfirmJWT)
		case "insecure_allow_missing_audience":
			err = option.Flag(d, &v.InsecureAllowMissingAudience)
		case "leeway":
			err = leewayOption(d, &v.Leeway)
		default:
			err = d.Errf("unrecognized option of introspection: %s (known: endpoint, client_id, client_secret, client_auth, private_key, key_id, token_prefix, confirm_jwt, insecure_allow_missing_audience, leeway)", d.Val())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Interface guards
var (
	_ Verifier              = (*Introspection)(nil)
	_ JWTConfirmer          = (*Introspection)(nil)
	_ caddy.Provisioner     = (*Introspection)(nil)
	_ caddyfile.Unmarshaler = (*Introspection)(nil)
)
