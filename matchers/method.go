package matchers

import (
	"net/http"

	"cel.dev/cel-go/cel"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/message"
)

func init() {
	caddy.RegisterModule(MatchMethod{})
}

// MatchMethod matches requests by the method of the MCP message in them, such as
// tools/call. A client's response has no method and doesn't match.
//
// A request without a message, such as a GET, doesn't match. A message that can't be
// read is an error: 400, 413 if it is too large, 415 if it isn't JSON.
type MatchMethod struct {
	named
}

// CaddyModule returns the Caddy module information.
func (MatchMethod) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.matchers.mcp_method",
		New: func() caddy.Module { return new(MatchMethod) },
	}
}

// CELLibrary makes the matcher a function in `expression`:
//
//	expression mcp_method('tools/call', 'tasks/*')
func (MatchMethod) CELLibrary(ctx caddy.Context) (cel.Library, error) {
	return library("mcp_method", func(names []string) (caddyhttp.RequestMatcherWithError, error) {
		return compiled(ctx, &MatchMethod{named{Names: names}})
	})
}

// Provision checks the names.
func (m *MatchMethod) Provision(caddy.Context) error { return m.provision("methods") }

// Match is MatchWithError for callers that take no error; see [boolean].
func (m *MatchMethod) Match(r *http.Request) bool { return boolean(r, m) }

// MatchWithError implements [caddyhttp.RequestMatcherWithError].
func (m *MatchMethod) MatchWithError(r *http.Request) (bool, error) {
	return match(r, m.matches)
}

func (m *MatchMethod) matches(msg *message.Message) (bool, error) {
	return msg.Method != "" && m.names.Match(msg.Method), nil
}

// Interface guards
var (
	_ caddy.Provisioner                 = (*MatchMethod)(nil)
	_ caddyfile.Unmarshaler             = (*MatchMethod)(nil)
	_ caddyhttp.CELLibraryProducer      = (*MatchMethod)(nil)
	_ caddyhttp.RequestMatcherWithError = (*MatchMethod)(nil)
)
