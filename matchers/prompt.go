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
	caddy.RegisterModule(MatchPrompt{})
}

// MatchPrompt matches requests about a prompt by the prompt's name: prompts/get
// and completion/complete.
//
// A request without a message, such as a GET, doesn't match. A message that can't be
// read is an error: 400, 413 if it is too large, 415 if it isn't JSON.
type MatchPrompt struct {
	named
}

// CaddyModule returns the Caddy module information.
func (MatchPrompt) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.matchers.mcp_prompt",
		New: func() caddy.Module { return new(MatchPrompt) },
	}
}

// CELLibrary makes the matcher a function in `expression`:
//
//	expression mcp_prompt('review_*')
func (MatchPrompt) CELLibrary(ctx caddy.Context) (cel.Library, error) {
	return library("mcp_prompt", func(names []string) (caddyhttp.RequestMatcherWithError, error) {
		return compiled(ctx, &MatchPrompt{named{Names: names}})
	})
}

// Provision checks the names.
func (m *MatchPrompt) Provision(caddy.Context) error { return m.provision("prompts") }

// Match is MatchWithError for callers that take no error; see [boolean].
func (m *MatchPrompt) Match(r *http.Request) bool { return boolean(r, m) }

// MatchWithError implements [caddyhttp.RequestMatcherWithError].
func (m *MatchPrompt) MatchWithError(r *http.Request) (bool, error) {
	return match(r, m.matches)
}

func (m *MatchPrompt) matches(msg *message.Message) (bool, error) {
	return msg.Kind == mcp.Prompt && m.names.Match(msg.Name), nil
}

// Interface guards
var (
	_ caddy.Provisioner                 = (*MatchPrompt)(nil)
	_ caddyfile.Unmarshaler             = (*MatchPrompt)(nil)
	_ caddyhttp.CELLibraryProducer      = (*MatchPrompt)(nil)
	_ caddyhttp.RequestMatcherWithError = (*MatchPrompt)(nil)
)
