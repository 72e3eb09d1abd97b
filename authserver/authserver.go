// Package authserver is the embedded authorization server, for operators who have
// an MCP server but no authorization server that MCP clients can use. It contains
// the module, the pages, sign-in, consent and storage. Package oauth below it
// implements OAuth itself.
package authserver

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/audit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/browser"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/option"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pool"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/unread"
)

func init() {
	caddy.RegisterModule(Handler{})
}

// Handler is an OAuth 2.1 authorization server for MCP clients (revision
// 2026-07-28 and earlier). Users sign in with a password or at an
// upstream; clients are registered dynamically (RFC 7591), by Client ID Metadata
// Documents, or by the operator.
//
// It answers, below the path of the issuer:
//
//	/oauth/authorize    sign-in and consent, for browsers
//	/oauth/token        tokens (RFC 6749)
//	/oauth/register     dynamic registration (RFC 7591)
//	/oauth/revoke       revocation (RFC 7009)
//	/oauth/introspect   introspection (RFC 7662), for clients with that right
//	/oauth/jwks         the keys of access tokens (RFC 7517)
//	/oauth/account      the user's own page: shows and revokes access
//
// and its metadata at /.well-known/oauth-authorization-server and
// /.well-known/openid-configuration. Every other request goes to the next
// handler, without this server's cookies.
//
// Refused requests have the fields `mcp_auth_server_error` and
// `mcp_auth_server_cause` in the access log; token requests have
// `mcp_auth_server_grant`, `mcp_auth_server_client` and `mcp_auth_server_user`.
//
// Its state is in Caddy's storage below `mcp_auth_server/`, shared by all
// instances on that storage.
type Handler struct {
	// The issuer identifier: the origin of the site, such as
	// https://mcp.example.com, or a URL with a path. https, or http for
	// localhost; no slash at the end. Required.
	Issuer string `json:"issuer"`

	// The resources that tokens may be issued for, named as in `mcp_auth`. At
	// least one.
	Resources []string `json:"resources"`

	// The scopes that can be granted. A client that requests none gets the
	// first. At least one.
	Scopes []Scope `json:"scopes"`

	// Users who sign in with a password.
	Users []*User `json:"users,omitempty"`

	// Providers where other users sign in.
	Upstreams []*Upstream `json:"upstreams,omitempty"`

	// How long an access token lasts. A resource server that only checks
	// signatures accepts it until then, even if it is revoked. At most 24h.
	// Default: 15m.
	AccessTokenLifetime caddy.Duration `json:"access_token_lifetime,omitempty"`

	// How long a client may stay away before the user has to sign in again. For
	// users of an upstream, also how long the data from the upstream is trusted.
	// Default: 30d.
	RefreshTokenLifetime caddy.Duration `json:"refresh_token_lifetime,omitempty"`

	// How long a replaced refresh token is answered with the same replacement, if
	// that is still unused. This helps clients whose processes share a token, and
	// clients that lost a response. At most 1h. Negative disables it. Default:
	// 30s.
	RefreshTokenGrace caddy.Duration `json:"refresh_token_grace,omitempty"`

	// How long a browser stays signed in. Default: 12h.
	SessionLifetime caddy.Duration `json:"session_lifetime,omitempty"`

	// Whether clients may, or must, prove that they have a key, to which their tokens are
	// then bound. With `accepted`, a client that sends a proof gets bound tokens; with
	// `required`, a request for tokens without one is refused. The front doors must
	// accept such tokens. Default: proofs are ignored.
	DPoP *option.DPoP `json:"dpop,omitempty"`

	// Bind tokens to the certificate that a client shows on its TLS connection to this
	// server, if it shows one. The site must ask for certificates, and the front doors
	// must accept such tokens. Default: certificates are ignored.
	ClientCertificates bool `json:"client_certificates,omitempty"`

	// Which clients may register themselves. Default: all whose redirect URIs
	// are https or on loopback.
	Registration *Registration `json:"registration,omitempty"`

	// Clients that the operator registers.
	Clients []*Client `json:"clients,omitempty"`

	// How Client ID Metadata Documents are fetched.
	ClientDocuments *ClientDocuments `json:"client_documents,omitempty"`

	// The master secret, of at least 32 characters. It encrypts the stored signing
	// keys and everything that browsers and clients keep for this server: cookies,
	// forms, client identifiers. All instances of this issuer need the same; other
	// issuers may have it too, for every key depends on the issuer as well. When it
	// changes, people sign in again, and clients register again. Placeholders are
	// replaced. Default: one is made and kept in the storage.
	Secret string `json:"secret,omitempty"`

	registrationSaid bool // while a Caddyfile is parsed

	server   *oauth.Server
	store    oauth.Store
	base     string // path of the issuer
	secure   bool   // https
	site     string // host, for pages
	users    map[string]*User
	kinds    []*User // of each way to hash passwords, one who has it
	browsers *browser.Site
	state    *serverState
	routes   map[string]route
	now      func() time.Time
	logger   *zap.Logger
	audited  audit.Log
	shared   pool.References
}

// Scope is something that a client can be allowed to do.
type Scope struct {
	// The name, as clients request it. Required.
	Name string `json:"name"`
	// The meaning of the scope, in words, for the consent page. Default: the
	// name.
	Description string `json:"description,omitempty"`
}

// Registration configures which clients may register themselves, dynamically or
// with a metadata document.
type Registration struct {
	// Disables dynamic registration and metadata documents; only the operator's
	// clients remain.
	Off bool `json:"off,omitempty"`
	// The only redirect URIs allowed, on loopback with any port. One that ends in
	// /* allows everything below its path, for clients with a separate address
	// for each connector: https://chatgpt.com/connector/oauth/*.
	RedirectURIs []string `json:"redirect_uris,omitempty"`
	// Additional URI schemes, of native applications, such as cursor.
	PrivateSchemes []string `json:"private_schemes,omitempty"`
}

// Client is a client that the operator registers.
type Client struct {
	// The client identifier. Required.
	ID string `json:"id"`
	// The name on the consent page. Default: the identifier.
	Name string `json:"name,omitempty"`
	// Where users are sent back to. Compared exactly, except for the port on
	// loopback. One that ends in /* allows everything below its path.
	RedirectURIs []string `json:"redirect_uris,omitempty"`
	// The secret of a confidential client, of at least 16 characters.
	// Placeholders are replaced. Default: none, a public client.
	Secret string `json:"secret,omitempty"`
	// The public keys of a confidential client that authenticates by assertions that
	// it signs (private_key_jwt), as a JSON Web Key Set. Instead of a secret.
	JWKS json.RawMessage `json:"jwks,omitempty"`
	// Where the client publishes such keys: an https URL, or http on loopback.
	// Fetched at first need. Placeholders are replaced. Instead of jwks.
	JWKSURI string `json:"jwks_uri,omitempty"`
	// The scopes that the client may have. Default: all.
	Scopes []string `json:"scopes,omitempty"`
	// Allows the client credentials grant. Needs a secret or keys.
	ClientCredentials bool `json:"client_credentials,omitempty"`
	// Allows the client, a front door, to exchange the tokens of users for others that
	// a server behind it uses (RFC 8693): for any of the resources, with the same or
	// fewer scopes. Needs a secret or keys.
	TokenExchange bool `json:"token_exchange,omitempty"`
	// Allows the client, a resource server, to introspect tokens. Needs a
	// secret or keys.
	Introspection bool `json:"introspection,omitempty"`
}

// ClientDocuments configures how Client ID Metadata Documents are fetched. They
// are fetched from public addresses only, because their URLs come from strangers.
type ClientDocuments struct {
	// Disables Client ID Metadata Documents.
	Off bool `json:"off,omitempty"`
	// Also fetch documents from private and loopback addresses. Insecure: anyone
	// can then make this server send requests there. It is for tests and closed
	// networks. A proxy then gets names instead of addresses, and decides which
	// addresses are reached.
	InsecureAllowPrivate bool `json:"insecure_allow_private,omitempty"`
	// A PEM file of certificates to trust instead of the system's.
	TrustedRoots string `json:"trusted_roots,omitempty"`
	// A proxy to fetch through: an HTTP proxy that supports CONNECT,
	// http://host:port, or a SOCKS 5 proxy, socks5://host:port. It gets the address
	// that this server has resolved and checked. `off` disables it. Placeholders are
	// replaced. Default: from the environment (HTTPS_PROXY, NO_PROXY).
	Proxy string `json:"proxy,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.mcp_auth_server",
		New: func() caddy.Module { return new(Handler) },
	}
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if h.server.ServesPath(r.URL.Path) {
		h.state.proxy.Check(r, h.logger)
		h.server.ServeHTTP(unread.Track(w, r), r)
		return nil
	}
	path, below := strings.CutPrefix(r.URL.Path, h.base)
	if serve, ok := h.routes[path]; ok && below {
		return h.servePage(unread.Track(w, r), r, serve)
	}
	return next.ServeHTTP(w, r)
}

// Cleanup releases what is shared with other configurations.
func (h *Handler) Cleanup() error { return h.shared.Release() }

func (h *Handler) sessionLifetime() time.Duration {
	if h.SessionLifetime > 0 {
		return time.Duration(h.SessionLifetime)
	}
	return 12 * time.Hour
}

// observe counts requests to the endpoints, and adds the cause of a refusal to
// the access log.
func (h *Handler) observe(ctx context.Context, e oauth.Event) {
	outcome := "ok"
	if e.Err != nil {
		outcome = e.Err.Code
		logRefusal(ctx, e.Err.Code, e.Err)
	}
	requests.WithLabelValues(h.Issuer, e.Endpoint, outcome).Inc()
	logGrant(ctx, e)
	h.countIdentity(ctx, e)
	h.auditEndpoint(ctx, e)
	if e.Warning != "" {
		h.logger.Warn(e.Warning, zap.String("client_id", e.Client), zap.String("user", e.Subject))
	}
	if e.Err != nil && e.Err.Status >= http.StatusInternalServerError {
		h.logger.Error("answering failed", zap.String("endpoint", e.Endpoint), zap.Error(e.Err))
	}
}

// logRefusal adds what was refused, and why, to the access log.
func logRefusal(ctx context.Context, code string, cause error) {
	if fields, ok := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		fields.Add(zap.String("mcp_auth_server_error", code))
		fields.Add(zap.String("mcp_auth_server_cause", cause.Error()))
	}
}

// logGrant adds to the access log who got a token, or wanted one, and for whom.
func logGrant(ctx context.Context, e oauth.Event) {
	fields, ok := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields)
	if !ok || e.Grant == "" {
		return
	}
	for name, value := range map[string]string{"grant": e.Grant, "client": e.Client, "user": e.Subject} {
		if value != "" {
			fields.Add(zap.String("mcp_auth_server_"+name, audit.Cut(value)))
		}
	}
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
