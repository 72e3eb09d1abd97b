package matchers

import (
	"net/http"

	"cel.dev/cel-go/cel"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/message"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

func init() {
	caddy.RegisterModule(MatchTool{})
}

// MatchTool matches calls of tools by the tool's name.
//
// A request without a message, such as a GET, doesn't match. A message that can't be
// read is an error: 400, 413 if it is too large, 415 if it isn't JSON.
type MatchTool struct {
	named
}

// CaddyModule returns the Caddy module information.
func (MatchTool) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.matchers.mcp_tool",
		New: func() caddy.Module { return new(MatchTool) },
	}
}

// CELLibrary makes the matcher a function in `expression`:
//
//	expression mcp_tool('delete_*')
func (MatchTool) CELLibrary(ctx caddy.Context) (cel.Library, error) {
	return library("mcp_tool", func(names []string) (caddyhttp.RequestMatcherWithError, error) {
		return compiled(ctx, &MatchTool{named{Names: names}})
	})
}

// Provision checks the names.
func (m *MatchTool) Provision(caddy.Context) error { return m.provision("tools") }

// Match is MatchWithError for callers that take no error; see [boolean].
func (m *MatchTool) Match(r *http.Request) bool { return boolean(r, m) }

// MatchWithError implements [caddyhttp.RequestMatcherWithError].
func (m *MatchTool) MatchWithError(r *http.Request) (bool, error) {
	return match(r, m.matches)
}

func (m *MatchTool) matches(msg *message.Message) (bool, error) {
	return msg.Kind == mcp.Tool && m.names.Match(msg.Name), nil
}

// Interface guards
var (
	_ caddy.Provisioner                 = (*MatchTool)(nil)
	_ caddyfile.Unmarshaler             = (*MatchTool)(nil)
	_ caddyhttp.CELLibraryProducer      = (*MatchTool)(nil)
	_ caddyhttp.RequestMatcherWithError = (*MatchTool)(nil)
)
