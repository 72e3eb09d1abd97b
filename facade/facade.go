// Package facade makes an existing authorization server usable for MCP clients,
// without becoming one. It provides complete metadata and a registration
// endpoint, and repairs requests that the server would not understand.
package facade

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/facade/reading"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/facade/repair"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/audit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/browser"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pages"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pool"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/storage"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/unread"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
)

func init() {
	caddy.RegisterModule(Handler{})
}

// Handler stands in front of an authorization server. It answers
//
//	/.well-known/oauth-authorization-server, /.well-known/openid-configuration
//	                        with and without the issuer's path: the metadata
//	<issuer>/oauth/register registration (RFC 7591), if there is a registrar
//
// inspects requests to the authorization, token, revocation and introspection
// endpoints, if they are on the issuer's origin, and passes on these and all
// others. At those endpoints a request is understood in exactly one way or refused,
// and what was understood is rewritten for the server behind. Authorization
// requests without PKCE S256 are refused.
//
// What it refuses or repairs is in the access log as `mcp_auth_facade_error`,
// `mcp_auth_facade_cause` and `mcp_auth_facade_repairs`.
type Handler struct {
	// The issuer identifier that clients see: the authorization server's own,
	// unless it sends no `iss`. https, or http for localhost; no query.
	// Required.
	Issuer string `json:"issuer"`

	// A known kind of server, whose settings are used where none are given here.
	// One of django-oauth-toolkit, logto, keycloak, auth0, entra, cognito,
	// google. Default: none.
	Preset string `json:"preset,omitempty"`

	// The address of the server, if it can't be reached at the issuer: its
	// metadata is fetched from there, and its URLs begin with this address.
	// Default: the issuer.
	Upstream string `json:"upstream,omitempty"`

	// The URL of the metadata document, or `off` if there is none. Default: where
	// clients look, below the upstream or the issuer.
	Discovery string `json:"discovery,omitempty"`

	// Metadata fields to set or correct (RFC 8414, section 2). Default: none.
	Metadata map[string]any `json:"metadata,omitempty"`

	// Metadata fields to remove. Default: none.
	Remove []string `json:"remove,omitempty"`

	// How clients are registered. Default: not by this handler; the registration
	// endpoint in the server's own metadata remains.
	RegistrarRaw json.RawMessage `json:"register,omitempty" caddy:"namespace=http.mcp_auth.registrars inline_key=registrar"`

	// Schemes of native applications that are allowed in redirect URIs, in
	// addition to https and loopback. Default: none.
	PrivateSchemes []string `json:"private_schemes,omitempty"`

	// Parameters to remove from authorization and token requests, such as
	// `resource`. Default: none.
	Strip []string `json:"strip,omitempty"`

	// Parameters to set in authorization and token requests, such as `audience`.
	// Default: none.
	Add map[string]string `json:"add,omitempty"`

	// Maps the scopes that clients use to the server's names for them. Default:
	// none.
	Scopes map[string]string `json:"scopes,omitempty"`

	// `upstream` says that the server itself asks its users for consent for each
	// client. Default: if clients share one client identifier, the façade asks,
	// once per redirect URI.
	Consent string `json:"consent,omitempty"`

	logger    *zap.Logger
	audited   audit.Log
	base      string // path of the issuer
	origin    string
	site      string // host, for pages
	secure    bool
	discovery *discovery.Issuer
	repairs   repair.Requests
	corrected repair.Metadata
	applied   *applied
	policy    registration.Policy
	own       []inspected // the façade's endpoints

	authorizations, tokens *reading.Reader

	registrar  ClientRegistrar
	shared     SharedClient // nil unless clients share an identifier
	limits     *limits
	secret     *storage.Secret
	browsers   *browser.Site
	now        func() time.Time
	references pool.References
}

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.mcp_auth_facade",
		New: func() caddy.Module { return new(Handler) },
	}
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	reading.WithoutOtherPaths(r.Header)
	if h.isMetadata(r.URL.Path) {
		return h.serveMetadata(w, r)
	}
	g, err := h.endpointOf(r)
	switch {
	case g != nil && err != nil:
		return h.refuseMisread(w, r, g, err)
	case err != nil:
		return h.unavailableAnywhere(w, r, err)
	case g == nil:
		return next.ServeHTTP(w, r)
	}
	switch g.kind {
	case authorizationRequest:
		return h.authorize(w, r, g, next)
	case consentRequest:
		return h.serveConsent(w, r)
	case registrationRequest:
		return h.serveRegistration(w, r)
	case tokenRequest:
		return h.token(w, r, g, next)
	default:
		h.refuseProgram(w, r, g.label, http.StatusBadRequest, errors.New("pushed authorization requests are not supported: send the parameters themselves"))
		return nil
	}
}

// Cleanup releases what is shared with other configurations.
func (h *Handler) Cleanup() error { return h.references.Release() }

// unavailable reports that the server's metadata is not available: to people on a
// page, to programs in JSON.
func (h *Handler) unavailable(w http.ResponseWriter, r *http.Request, endpoint string, err error) error {
	unread.Answer(w, r)
	h.count(endpoint, "temporarily_unavailable")
	logRefusal(r.Context(), "temporarily_unavailable", err)
	w.Header().Set("Retry-After", "5")
	says := "The authorization server's metadata is not available right now: the log of the server in front of it says why."
	if unusable, ok := errors.AsType[repair.Unusable](err); ok {
		says = "The metadata can't be used: " + unusable.Says + "."
	}
	if endpoint != atAuthorization && endpoint != atConsent {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		writeError(w, http.StatusServiceUnavailable, "temporarily_unavailable", says)
		return nil
	}
	pages.Message{
		Site:   h.site,
		Title:  "This doesn't work right now",
		Text:   "The server that signs you in did not respond.",
		Cure:   "Try again in a minute.",
		Detail: "temporarily_unavailable: " + says,
	}.Write(w, http.StatusServiceUnavailable)
	return nil
}

// unavailableAnywhere answers a request while the endpoints are unknown: people
// with a browser get a page, programs JSON.
func (h *Handler) unavailableAnywhere(w http.ResponseWriter, r *http.Request, err error) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return h.unavailable(w, r, atAuthorization, err)
	}
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		return h.unavailable(w, r, atAuthorization, err)
	}
	return h.unavailable(w, r, atToken, err)
}

// logRefusal adds what was refused, and why, to the access log.
func logRefusal(ctx context.Context, code string, cause error) {
	logField(ctx, "mcp_auth_facade_error", code)
	logField(ctx, "mcp_auth_facade_cause", cause.Error())
}

func logField(ctx context.Context, name, value string) {
	if fields, ok := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		fields.Add(zap.String(name, value))
	}
}

// writeError answers with an OAuth error in JSON.
func writeError(w http.ResponseWriter, status int, code, description string) {
	// Nothing can be done about a failed write.
	_ = writeJSON(w, status, map[string]any{"error": code, "error_description": description})
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("writing an answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
	return nil
}

var errNotDiscovered = errors.New("the authorization server's metadata is not known")

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
