package verifiers

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/option"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

func init() {
	caddy.RegisterModule(Userinfo{})
}

// Userinfo verifies opaque access tokens by asking the issuer's userinfo endpoint
// (OpenID Connect Core 1.0, section 5.3) which user they belong to. Signed JWTs
// are left to `jwt`.
//
// The answer has no audience: any token of the issuer is accepted, whichever
// application got it. A warning at provision says so. Prefer `introspection` if
// the issuer offers it. The answer has no scopes either, so a resource that
// needs scopes accepts none of these tokens.
type Userinfo struct {
	// The userinfo endpoint: an https URL, or http on loopback. Default:
	// `userinfo_endpoint` of the issuer's metadata. Placeholders are replaced
	// once, at provision.
	Endpoint string `json:"endpoint,omitempty"`

	// Claims that the answer must have, each with its allowed values; if the
	// claim is a list, one element must match. `true`, `false` and numbers are
	// written as in JSON. A dot in a name selects a member of an object. A
	// token whose answer doesn't match is refused.
	Require map[string][]string `json:"require,omitempty"`

	// What this issuer's opaque tokens begin with, such as `ory_at_`. Other
	// tokens are not sent there, and tokens with the prefix are sent nowhere
	// else. Default: any token may be the issuer's, so it sees the tokens of
	// other issuers.
	TokenPrefix []string `json:"token_prefix,omitempty"`

	logger *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (Userinfo) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.mcp_auth.verifiers.userinfo",
		New: func() caddy.Module { return new(Userinfo) },
	}
}

// Provision sets up the verifier.
func (v *Userinfo) Provision(ctx caddy.Context) error {
	v.logger = ctx.Logger()
	return nil
}

// TokenVerifier implements [Verifier].
func (v *Userinfo) TokenVerifier(iss IssuerInfo) (none token.Source, err error) {
	config := token.UserinfoConfig{
		Issuer:   iss.Issuer,
		Require:  v.Require,
		Prefixes: v.TokenPrefix,
		Client:   iss.Client,
		OnFailure: sometimes(func(err error) {
			v.logger.Warn("the userinfo endpoint can't be asked, so opaque tokens are answered with 503", zap.String("issuer", iss.Issuer), zap.Error(err))
		}),
	}
	if v.Endpoint == "" {
		if !iss.Discovery.Knows("userinfo_endpoint") {
			return none, errors.New("discovery is off, so the userinfo endpoint must be given: endpoint <url>")
		}
		config.Discover = userinfoEndpoint(iss.Discovery)
	} else {
		if err := option.Replace(option.Setting{Name: "endpoint", Value: &v.Endpoint}); err != nil {
			return none, err
		}
		config.Endpoint = v.Endpoint
	}
	verifier, err := token.NewUserinfo(config)
	if err != nil {
		return none, err
	}
	v.logger.Warn("userinfo cannot check a token's audience: any token of this issuer is accepted, whatever it was issued for",
		zap.String("issuer", iss.Issuer),
		zap.String("resource", iss.Resource))
	return verifier.Source(), nil
}

// sometimes calls report at most once a minute, because every request may fail.
func sometimes(report func(error)) func(error) {
	pause := rate.Sometimes{Interval: time.Minute}
	return func(err error) { pause.Do(func() { report(err) }) }
}

// UnmarshalCaddyfile sets up the verifier from Caddyfile tokens. Syntax:
//
//	userinfo {
//	    endpoint     <url>
//	    token_prefix <prefix...>
//	    require      <claim> <values...>
//	}
func (v *Userinfo) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the verifier's name
	if d.NextArg() {
		return d.Errf("userinfo takes no value, but a block: what is %q?", d.Val())
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "endpoint":
			if err := option.Text(d, &v.Endpoint); err != nil {
				return err
			}
		case "token_prefix":
			if err := option.List(d, &v.TokenPrefix); err != nil {
				return err
			}
		case "require":
			args := d.RemainingArgs()
			if len(args) < 2 || slices.Contains(args, "") {
				return d.Err("require takes a claim and the values that it may have, for example: require email_verified true")
			}
			if _, ok := v.Require[args[0]]; ok {
				return d.Errf("require %s is given twice: list all its values in one line", args[0])
			}
			if v.Require == nil {
				v.Require = make(map[string][]string)
			}
			v.Require[args[0]] = args[1:]
		default:
			return d.Errf("unrecognized option of userinfo: %s (known: endpoint, token_prefix, require)", d.Val())
		}
	}
	return nil
}

// userinfoEndpoint returns a function that says where the issuer's metadata has
// the endpoint.
func userinfoEndpoint(discovery Discovery) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		return discovery.Endpoint(ctx, "userinfo_endpoint")
	}
}

// Interface guards
var (
	_ Verifier              = (*Userinfo)(nil)
	_ caddy.Provisioner     = (*Userinfo)(nil)
	_ caddyfile.Unmarshaler = (*Userinfo)(nil)
)
