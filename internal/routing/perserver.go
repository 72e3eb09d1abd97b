package routing

import (
	"context"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// PerServer holds a value for each server of the loaded configurations. A server
// with hundreds of front doors would otherwise look through its routes once for
// each of them.
type PerServer[T any] struct {
	mu     sync.Mutex
	values map[*caddyhttp.Server]func() (T, error)
}

// Of returns the result of find for the server. It calls find once. The value is
// dropped with the configuration that ctx belongs to.
func (p *PerServer[T]) Of(ctx caddy.Context, server *caddyhttp.Server, find func() (T, error)) (T, error) {
	p.mu.Lock()
	value, ok := p.values[server]
	if !ok {
		if p.values == nil {
			p.values = make(map[*caddyhttp.Server]func() (T, error))
		}
		value = sync.OnceValues(find)
		p.values[server] = value
		context.AfterFunc(ctx, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.values, server)
		})
	}
	p.mu.Unlock()
	return value()
}

var provisioning, serving PerServer[*Tree]

// Provisioning is [New] for handlers that are being provisioned: all of them get the
// tree as it was for the first.
func Provisioning(ctx caddy.Context, server *caddyhttp.Server) (*Tree, error) {
	return provisioning.Of(ctx, server, func() (*Tree, error) { return New(ctx, server) })
}

// Serving is [New] for handlers that serve requests: by then, all routes of the
// server are provisioned.
func Serving(ctx caddy.Context, server *caddyhttp.Server) (*Tree, error) {
	return serving.Of(ctx, server, func() (*Tree, error) { return New(ctx, server) })
}
