package oauthtest

import (
	"testing"
	"testing/synctest"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// Bubble runs f on the fake clock of a [synctest] bubble, with a server in memory.
// Clients reach it through network, see [testkit.Network.Through].
func Bubble(t *testing.T, opts Options, f func(t *testing.T, srv *Server, network *testkit.Network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		opts.Network = testkit.NewNetwork()
		f(t, New(t, opts), opts.Network)
	})
}
