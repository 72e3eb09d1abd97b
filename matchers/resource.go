package matchers

import (
	"errors"
	"net/http"
	"slices"

	"cel.dev/cel-go/cel"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/message"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

func init() {
	caddy.RegisterModule(MatchResource{})
}

// MatchResource matches requests about a resource by the resource's URI:
// resources/read, resources/subscribe and resources/unsubscribe;
// subscriptions/listen, if one of its resources matches; and completion/complete,
// by the text of the URI template.
//
// A request without a message, such as a GET, doesn't match. A message that can't be
// read is an error: 400, 413 if it is too large, 415 if it isn't JSON. So is a URI that
// isn't in the normal form of RFC 3986, section 6.2: the server could take it for
// another URI.
type MatchResource struct {
	named
}

// CaddyModule returns the Caddy module information.
func (MatchResource) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.matchers.mcp_resource",
		New: func() caddy.Module { return new(MatchResource) },
	}
}

// CELLibrary makes the matcher a function in `expression`:
//
//	expression mcp_resource('file:///public/*')
func (MatchResource) CELLibrary(ctx caddy.Context) (cel.Library, error) {
	return library("mcp_resource", func(names []string) (caddyhttp.RequestMatcherWithError, error) {
		return compiled(ctx, &MatchResource{named{Names: names}})
	})
}

// Provision checks the names.
func (m *MatchResource) Provision(caddy.Context) error { return m.provision("resources") }

// Match is MatchWithError for callers that take no error; see [boolean].
func (m *MatchResource) Match(r *http.Request) bool { return boolean(r, m) }

// MatchWithError implements [caddyhttp.RequestMatcherWithError].
func (m *MatchResource) MatchWithError(r *http.Request) (bool, error) {
	return match(r, m.matches)
}

// errURI says that servers may read a URI in several ways.
var errURI = errors.New("mcp: a resource's URI is not in normal form (RFC 3986, section 6.2)")

func (m *MatchResource) matches(msg *message.Message) (bool, error) {
	uris := msg.URIs
	switch {
	case msg.Kind == mcp.Resource && msg.Completes:
		return m.names.Match(msg.Name), nil
	case msg.Kind == mcp.Resource:
		uris = []string{msg.Name}
	}
	for _, uri := range uris {
		if !mcp.NormalURI(uri) {
			return false, errURI
		}
	}
	return slices.ContainsFunc(uris, m.names.Match), nil
}

// Interface guards
var (
	_ caddy.Provisioner                 = (*MatchResource)(nil)
	_ caddyfile.Unmarshaler             = (*MatchResource)(nil)
	_ caddyhttp.CELLibraryProducer      = (*MatchResource)(nil)
	_ caddyhttp.RequestMatcherWithError = (*MatchResource)(nil)
)
