// Package streams ends long-lived requests: when their configuration stops, so
// that they don't keep the process or the old configuration alive; and when the
// token that they came with is no longer valid.
//
// An MCP client holds a stream open for as long as it runs: a GET, or a POST of
// subscriptions/listen. Unless grace_period is set, Caddy waits for open requests
// without a limit, so one such client would delay a shutdown forever. Ordinary
// calls are left to finish.
package streams

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

// errStopping is the cause of the cancellation of a stream's context.
var errStopping = errors.New("configuration is stopping")

// Closer ends the streams of one handler. Provision it before use.
type Closer struct {
	// running ends with the configuration. It is stored here because it belongs
	// to the handler, not to a request.
	running context.Context
	stop    context.CancelCauseFunc
}

// Provision subscribes to the end of the configuration that ctx belongs to.
func (c *Closer) Provision(ctx caddy.Context) error {
	app, err := ctx.App("events")
	if err != nil {
		return fmt.Errorf("loading events app: %w", err)
	}
	c.running, c.stop = context.WithCancelCause(context.Background())
	return app.(*caddyevents.App).On("stopping", c)
}

// Handle ends the streams. Caddy calls it when the configuration stops.
func (c *Closer) Handle(context.Context, caddy.Event) error {
	c.stop(errStopping)
	return nil
}

// Wrap returns r with a context that ends when the configuration stops, if r asks
// for a long-lived stream; otherwise it returns r. The caller must call release
// when the request is over.
func (c *Closer) Wrap(r *http.Request) (_ *http.Request, release func()) {
	if !IsStream(r) {
		return r, func() {}
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	unhook := context.AfterFunc(c.running, func() { cancel(errStopping) })
	return r.WithContext(ctx), func() {
		unhook()
		cancel(nil)
	}
}

// IsStream reports whether r asks for a stream that ends only when a side hangs
// up: the GET stream of the revisions up to 2025-11-25 and of HTTP+SSE, which may
// also be upgraded; a WebSocket over HTTP/2 or 3 (RFC 8441); or
// subscriptions/listen of 2026-07-28, which names its method in a header that the
// server must compare with the body. A client that lies only ends its own call.
func IsStream(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodConnect:
		return true
	case http.MethodPost:
		return r.Header.Get("Mcp-Method") == mcp.Listen
	}
	return false
}

// Interface guard
var _ caddyevents.Handler = (*Closer)(nil)
