// Package guard provides the handler that comes first in a site that has a front
// door, an authorization server or a façade. It is a separate Caddy module because
// those handlers see only some of the site's requests.
package guard

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/browser"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/routing"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/unread"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

func init() {
	caddy.RegisterModule(Handler{})
}

// Handler removes from every request of a site what a client could use to get past
// mcp_auth, and what the servers behind must not see:
//
//	upgrades                 all but WebSocket handshakes (RFC 6455)
//	CONNECT                  405, but for WebSockets (RFC 8441, RFC 9220)
//	ambiguous paths          400 where a server behind may read a path as one that
//	                         a door protects, and Caddy doesn't
//	access tokens            those for a door of the site, where the request
//	                         doesn't come through one, unless it has forward_token
//	identity headers         those that any mcp_auth of this server sets, and
//	                         names that a server behind may take for them
//	cookies mcp_auth_*       sessions of mcp_auth_server and mcp_auth_facade,
//	                         which still see them
//
// An identity header that mcp_auth has set for this very request stays.
//
// The directives mcp_auth, mcp_auth_server and mcp_auth_facade add this handler to
// their site and to its error routes. In JSON, make it the first handler of both:
// a configuration where a request could reach another server without it is
// refused. Having it twice does no harm.
type Handler struct {
	headers *Headers
	// repeated says that another guard has just seen the same request.
	repeated func() bool
	routes   func() (*routing.Tree, error)
}

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.mcp_auth_guard",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision looks up which headers carry an identity.
func (g *Handler) Provision(ctx caddy.Context) error {
	s, err := surveyOf(ctx)
	if err != nil {
		return fmt.Errorf("looking for the front doors: %w", err)
	}
	g.headers = NewHeaders(s.headers...)
	g.routes = routes(ctx)
	g.repeated = g.repeats(ctx)
	return s.dropIdleErrors()
}

// watched are the names of the headers that every guard acts on.
var watched = web.NewNames(slices.Concat(upgradeHeaders.Names(), []string{protocolHeader}, routing.PathHeaders.Names())...)

func (g *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if g.repeated != nil && g.repeated() {
		return next.ServeHTTP(w, r)
	}
	if strings.EqualFold(r.Method, http.MethodConnect) && !isWebSocketConnect(r) {
		return refuseConnect(w, r)
	}
	tree, err := g.tree()
	if err != nil {
		return caddyhttp.Error(http.StatusInternalServerError, fmt.Errorf("following the routes: %w", err))
	}
	found := g.find(r.Header)
	if tree.Misread(r, found) {
		return refuseMisread(w, r)
	}
	scrubToken(tree, r)
	scrubUpgrade(r, found)
	if g.headers != nil {
		g.headers.without(setHeaders(r)).scrub(r, found)
	}
	return next.ServeHTTP(w, browser.Hide(r))
}

// find returns the names in header that any of the guard's rules is about. A single
// pass serves all rules, because hardly any request has such a header.
func (g *Handler) find(header http.Header) []string {
	var found []string
	for name := range header {
		if watched.Contains(name) || g.headers != nil && g.headers.set.Contains(name) {
			found = append(found, name)
		}
	}
	return found
}

// refuseConnect answers a request for a tunnel. Nothing checks what a client sends
// through a tunnel: reverse_proxy would pass it on, and the server behind could
// read further requests in it.
func refuseConnect(w http.ResponseWriter, r *http.Request) error {
	if fields, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		fields.Add(zap.String("mcp_auth_refusal", "connect"))
	}
	unread.Answer(w, r)
	w.Header().Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
	w.WriteHeader(http.StatusMethodNotAllowed)
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
