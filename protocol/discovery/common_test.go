package discovery_test

import (
	"cmp"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// newServer starts an issuer with keys that are cheap to make.
func newServer(t testing.TB, opts oauthtest.Options) *oauthtest.Server {
	t.Helper()
	opts.Algorithm = cmp.Or(opts.Algorithm, "ES256")
	return oauthtest.New(t, opts)
}

// bubble runs f on a fake clock, with an issuer in memory and config's client in the
// same network.
func bubble(t *testing.T, opts oauthtest.Options, f func(t *testing.T, srv *oauthtest.Server, config discovery.Config)) {
	t.Helper()
	opts.Algorithm = cmp.Or(opts.Algorithm, "ES256")
	oauthtest.Bubble(t, opts, func(t *testing.T, srv *oauthtest.Server, network *testkit.Network) {
		f(t, srv, discovery.Config{Issuer: srv.Issuer(), Client: network.Through(t, outbound.NewClient())})
	})
}

// newIssuer returns what is known of config's issuer until the test ends.
func newIssuer(t testing.TB, config discovery.Config) *discovery.Issuer {
	t.Helper()
	iss, err := discovery.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(iss.Close)
	return iss
}

// keysOf fetches until it gets the keys or fails the test.
func keysOf(t testing.TB, iss *discovery.Issuer, since time.Time) *keys.Set {
	t.Helper()
	set, err := iss.KeySet(t.Context(), since)
	if err != nil {
		t.Fatalf("got %v, want keys", err)
	}
	return set
}

// wantUnavailable checks that err says that the issuer could not be asked.
func wantUnavailable(t testing.TB, what string, set any, err error) *token.UnavailableError {
	t.Helper()
	var una *token.UnavailableError
	if !errors.As(err, &una) {
		t.Fatalf("%s: got %v, %v, want an *UnavailableError", what, set, err)
	}
	return una
}

// outcomes collects what [discovery.Config.OnFetch] is told.
type outcomes struct {
	mu   sync.Mutex
	seen []string
}

func (o *outcomes) OnFetch(document string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		document += " failed"
	}
	o.seen = append(o.seen, document)
}

func (o *outcomes) take() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	seen := o.seen
	o.seen = nil
	return seen
}
