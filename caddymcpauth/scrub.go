package caddymcpauth

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	caddy.RegisterModule(Scrub{})
}

// Scrub removes from every request what the client sent under the name of an
// identity header, or under a name that a server behind may take for it. What a
// front door has set stays.
//
// mcp_auth does this itself for the requests it protects. The mcp_auth directive
// adds this handler for all other requests of the site, if it has both a matcher
// and identity headers: a server that also answers requests without a token must
// not find an identity in them that anybody could have written there.
type Scrub struct {
	// The names of the headers. Required.
	Header []string `json:"header"`
}

// CaddyModule returns the Caddy module information.
func (Scrub) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.mcp_auth_scrub",
		New: func() caddy.Module { return new(Scrub) },
	}
}

// Validate implements [caddy.Validator].
func (s *Scrub) Validate() error {
	if len(s.Header) == 0 {
		return errors.New("no header to remove")
	}
	return identityHeaders(s.Header).check()
}

func (s *Scrub) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	identityHeaders(s.Header).without(setHeaders(r)).scrub(r)
	return next.ServeHTTP(w, r)
}

// Interface guards
var (
	_ caddy.Validator             = (*Scrub)(nil)
	_ caddyhttp.MiddlewareHandler = (*Scrub)(nil)
)
