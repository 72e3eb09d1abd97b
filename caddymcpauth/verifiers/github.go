package verifiers

import (
	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/option"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

func init() {
	caddy.RegisterModule(GitHub{})
}

// GitHub verifies the opaque tokens that GitHub users grant to your application,
// an OAuth app or a GitHub App.
//
// GitHub's tokens name no audience. The application takes its place: GitHub is asked
// whether it issued the token to the application, and then who the user is. The
// subject is the user's number; the claims are sub, id, login, type, name, email,
// company, avatar_url and html_url. The scopes are those that GitHub reports; tokens
// of GitHub Apps have none.
type GitHub struct {
	// Where the REST API is: an https URL, or http on loopback. Default:
	// `https://api.github.com` if the issuer is of github.com; for any other,
	// such as a GitHub Enterprise Server with `https://<host>/api/v3`, it is
	// required. Placeholders are replaced once, at provision.
	Endpoint string `json:"endpoint,omitempty"`

	// The client id of the application whose tokens are accepted. Placeholders
	// are replaced once, at provision.
	ClientID string `json:"client_id,omitempty"`

	// A client secret of the application. Write it as a placeholder, such as
	// `{env.GITHUB_CLIENT_SECRET}` or `{file./run/secrets/github}`.
	ClientSecret string `json:"client_secret,omitempty"`

	// Accept tokens of any application, instead of client_id and client_secret.
	// Insecure: the owner of any application that one of your users signs in
	// to can act as that user here.
	InsecureAnyApplication bool `json:"insecure_any_application,omitempty"`

	// What tokens begin with. Other tokens are not sent to GitHub, and tokens with
	// the prefix are sent nowhere else. Default: `gho_` and `ghu_`, the
	// tokens of applications; with insecure_any_application also `ghp_` and
	// `github_pat_`. By default other tokens are sent to GitHub only if no other
	// verifier of this resource asks an issuer about opaque tokens.
	TokenPrefix []string `json:"token_prefix,omitempty"`

	// Organizations that, with their teams, become the claim `groups`: `acme`,
	// `acme/maintainers`, in lower case. `*` stands for all that the token shows.
	// This takes two more questions for each token, and the scope `read:org`. While
	// GitHub can't answer them, the token can't be used (503). Default: no such
	// claim.
	Groups []string `json:"groups,omitempty"`

	logger *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (GitHub) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.mcp_auth.verifiers.github",
		New: func() caddy.Module { return new(GitHub) },
	}
}

// Provision sets up the verifier.
func (v *GitHub) Provision(ctx caddy.Context) error {
	v.logger = ctx.Logger()
	return nil
}

// TokenVerifier implements [Verifier].
func (v *GitHub) TokenVerifier(iss IssuerInfo) (none token.Source, err error) {
	config := token.GitHubConfig{
		Issuer:                 iss.Issuer,
		InsecureAnyApplication: v.InsecureAnyApplication,
		Prefixes:               v.TokenPrefix,
		Groups:                 v.Groups,
		Client:                 iss.Client,
	}
	if err := option.Replace(
		option.Setting{Name: "endpoint", Value: &v.Endpoint},
		option.Setting{Name: "client_id", Value: &v.ClientID},
		option.Setting{Name: "client_secret", Value: &v.ClientSecret},
	); err != nil {
		return none, err
	}
	config.Endpoint, config.ClientID, config.ClientSecret = v.Endpoint, v.ClientID, v.ClientSecret
	verifier, err := token.NewGitHub(config)
	if err != nil {
		return none, err
	}
	if v.InsecureAnyApplication {
		v.logger.Warn("insecure_any_application is on: any GitHub token is accepted, whichever application it was issued to",
			zap.String("issuer", iss.Issuer),
			zap.String("resource", iss.Resource))
	}
	return verifier.Source(), nil
}

// UnmarshalCaddyfile sets up the verifier from Caddyfile tokens. Syntax:
//
//	github {
//	    client_id     <id>
//	    client_secret <secret>
//	    endpoint      <url>
//	    token_prefix  <prefix...>
//	    groups        * | <organization...>
//	    insecure_any_application
//	}
func (v *GitHub) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the verifier's name
	if d.NextArg() {
		return d.Errf("github takes no value, but a block: what is %q?", d.Val())
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		var err error
		switch d.Val() {
		case "endpoint":
			err = option.Text(d, &v.Endpoint)
		case "client_id":
			err = option.Text(d, &v.ClientID)
		case "client_secret":
			err = option.Text(d, &v.ClientSecret)
		case "token_prefix":
			err = option.List(d, &v.TokenPrefix)
		case "groups":
			err = option.List(d, &v.Groups)
		case "insecure_any_application":
			err = option.Flag(d, &v.InsecureAnyApplication)
		default:
			err = d.Errf("unrecognized option of github: %s (known: client_id, client_secret, endpoint, token_prefix, groups, insecure_any_application)", d.Val())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Interface guards
var (
	_ Verifier              = (*GitHub)(nil)
	_ caddy.Provisioner     = (*GitHub)(nil)
	_ caddyfile.Unmarshaler = (*GitHub)(nil)
)
