// Package whoami implements an MCP server with a single tool, which tells its
// caller who they are. Put it behind the front door to see that work.
package whoami

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/option"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/streams"
)

func init() {
	caddy.RegisterModule(Handler{})
}

// defaultName is how the server introduces itself unless configured otherwise.
const defaultName = "caddy-mcp-whoami"

// maxBody bounds a request's body, in bytes. The tool takes no arguments, so this
// is far more than any client sends.
const maxBody = 1 << 20

// Handler is an MCP server with one tool, `whoami`, which returns the verified
// claims of its caller's access token as JSON. Without a front door (the
// `mcp_auth` handler) before it, no caller is verified, and the tool returns
// `{"error":"Not authenticated"}`. The token itself is never returned.
//
// It answers every request that it gets; the next handler is never called. It
// supports all revisions of the Streamable HTTP transport, 2026-07-28 included,
// at any URL and without sessions, so a reload loses nothing.
//
// It answers 200 or 202 to valid requests, and 400, 404, 405, 413 (a body of more
// than 1 MiB) or 415 to others. It never asks for credentials; the front door
// does.
type Handler struct {
	// The name by which the server introduces itself to clients. Global
	// placeholders such as `{env.*}` are replaced when the configuration is
	// loaded. Default: `caddy-mcp-whoami`.
	Name string `json:"name,omitempty"`

	// The path of the HTTP+SSE transport of 2024-11-05, such as `/sse`, for
	// clients that support no other. A GET opens the event stream, whose first
	// event has the URL to POST to. The path is compared exactly, as routed:
	// without what `handle_path` strips. A session belongs to the user who opened
	// it; another user's POST is answered 404, as if the session didn't exist.
	// Global placeholders are replaced when the configuration is loaded. Default:
	// none; the transport is off.
	SSE string `json:"sse,omitempty"`

	streams    streams.Closer
	streamable http.Handler
	sse        http.Handler
}

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.mcp_whoami",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision sets up the MCP server.
func (h *Handler) Provision(ctx caddy.Context) error {
	if err := option.Replace(option.Setting{Name: "name", Value: &h.Name}, option.Setting{Name: "sse", Value: &h.SSE}); err != nil {
		return err
	}
	if h.Name == "" {
		h.Name = defaultName
	}

	if err := h.streams.Provision(ctx); err != nil {
		return err
	}

	server := newServer(h.Name)
	h.streamable = identify(mcp.NewStreamableHTTPHandler(
		func(*http.Request) *mcp.Server { return server },
		&mcp.StreamableHTTPOptions{
			// Revision 2026-07-28 needs it. Without sessions, none can be
			// hijacked, or lost in a reload.
			Stateless: true,
			// A single JSON object needs no stream.
			JSONResponse: true,
			// The protection refuses a public Host over a loopback connection,
			// which is how requests from a proxy on this machine look. Caddy's
			// routes decide which hosts are served.
			DisableLocalhostProtection: true,
			MaxRequestBodyBytes:        maxBody,
		}))
	h.sse = identify(newSSEHandler(server))
	return nil
}

// Validate checks the path of the HTTP+SSE transport.
func (h *Handler) Validate() error {
	if h.SSE != "" && (!strings.HasPrefix(h.SSE, "/") || strings.ContainsAny(h.SSE, "*?#")) {
		return fmt.Errorf("sse: %q is not an exact path: use one like /sse", h.SSE)
	}
	return nil
}

// ServeHTTP serves MCP.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	w = &responseWriter{&caddyhttp.ResponseWriterWrapper{ResponseWriter: w}}
	r, release := h.streams.Wrap(r)
	defer release()

	if h.SSE != "" && r.URL.Path == h.SSE {
		h.sse.ServeHTTP(w, r)
		return nil
	}
	h.streamable.ServeHTTP(w, r)
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ caddyfile.Unmarshaler       = (*Handler)(nil)
)
