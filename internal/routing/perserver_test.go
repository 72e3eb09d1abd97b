package routing_test

import (
	"errors"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/routing"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// A value, or the error in its place, is found out once for each server, and goes
// with the configuration.
func TestPerServer(t *testing.T) {
	t.Parallel()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	var p routing.PerServer[int]
	calls, failure := 0, errors.New("a wrong route")
	find := func() (int, error) {
		calls++
		return calls, failure
	}
	one, two := new(caddyhttp.Server), new(caddyhttp.Server)
	for _, want := range []struct {
		server *caddyhttp.Server
		value  int
	}{{one, 1}, {one, 1}, {two, 2}, {one, 1}, {two, 2}} {
		if got, err := p.Of(ctx, want.server, find); got != want.value || !errors.Is(err, failure) {
			t.Errorf("got %d, %v, want %d and %v", got, err, want.value, failure)
		}
	}
	cancel()
	later, done := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer done()
	testkit.Eventually(t, "the value is dropped", func() bool {
		got, _ := p.Of(later, one, find)
		return got > 2
	})
}
