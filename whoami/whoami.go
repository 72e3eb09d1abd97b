// Package whoami implements an MCP server with a single tool, which tells its
// caller who they are: what to put behind the front door to see it work.
package whoami

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/streams"
)

func init() {
	caddy.RegisterModule(Handler{})
}

// defaultName is how the server introduces itself unless configured otherwise.
const defaultName = "caddy-mcp-whoami"

// maxBody is how much of a request's body is read, in bytes. The tool takes no
// arguments: what clients say about themselves fits many times over.
const maxBody = 1 << 20

// Handler is an MCP server with one tool, `whoami`, which returns the verified
// claims of its caller's access token as JSON. Without a front door (the
// `mcp_auth` handler) before it nobody is verified, and the tool returns
// `{"error":"Not authenticated"}`. The token itself is never shown.
//
// Every request that is routed here is answered here: the next handler is
// never called. All revisions of the Streamable HTTP transport are served at
// any URL, 2026-07-28 included, without sessions: nothing is lost in a reload.
//
// It answers 200 or 202 to what it understands, 400, 404, 405, 413 (a body of
// more than 1 MiB) or 415 to what it doesn't. It never asks for credentials:
// that is the front door's part.
type Handler struct {
	// The name by which the server introduces itself to clients. Global
	// placeholders such as `{env.*}` are replaced when the configuration is
	// loaded. Default: `caddy-mcp-whoami`
	Name string `json:"name,omitempty"`

	// The path of the HTTP+SSE transport of 2024-11-05, for clients that know
	// no other, such as `/sse`: a GET opens the event stream, whose first event
	// names the URL to POST to. It is compared with the path as routed, that
	// is, without what `handle_path` strips, and must match exactly. A session
	// belongs to the user who opened it; a POST of anyone else is answered 404
	// as if there were no such session. Global placeholders are replaced when
	// the configuration is loaded. Default: none, the transport is off
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
	repl := caddy.NewReplacer()
	var err error
	if h.Name, err = repl.ReplaceOrErr(h.Name, true, true); err != nil {
		return fmt.Errorf("name: %w", err)
	}
	if h.SSE, err = repl.ReplaceOrErr(h.SSE, true, true); err != nil {
		return fmt.Errorf("sse: %w", err)
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
			// Revision 2026-07-28 is served only so, and no session can be
			// hijacked, or lost in a reload, where there are none.
			Stateless: true,
			// A single JSON object needs no stream.
			JSONResponse: true,
			// It refuses a public Host over a loopback connection, which is
			// what a request from any proxy on this machine looks like. Which
			// hosts are served is up to Caddy's routes.
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
