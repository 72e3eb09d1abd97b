package discovery_test

import (
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
)

// The status says what was fetched and what failed, and fetches nothing.
func TestStatus(t *testing.T) {
	t.Parallel()
	bubble(t, oauthtest.Options{}, func(t *testing.T, srv *oauthtest.Server, config discovery.Config) {
		iss := newIssuer(t, config)
		if got := iss.Status(); got != (discovery.Status{}) || len(srv.Requests()) != 0 {
			t.Errorf("at first: got %+v after %d requests, want nothing", got, len(srv.Requests()))
		}
		began := time.Now()
		keysOf(t, iss, time.Time{})
		got := iss.Status()
		if !got.Metadata.At.Equal(began) || !got.Keys.At.Equal(began) || got.KeyCount == 0 || got.Keys.Err != nil {
			t.Errorf("got %+v, want both, fetched just now", got)
		}
		srv.SetFault(oauthtest.JWKS, oauthtest.Status(500))
		time.Sleep(time.Minute)
		if _, err := iss.KeySet(t.Context(), time.Now()); err == nil {
			t.Fatal("the fault isn't there")
		}
		got = iss.Status()
		if !got.Keys.At.Equal(began) || got.Keys.Failures == 0 || !strings.Contains(got.Keys.Err.Error(), "500") || got.KeyCount == 0 {
			t.Errorf("got %+v, want the keys from before, and why there are no others", got)
		}
	})
}
