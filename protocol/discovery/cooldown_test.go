package discovery_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
)

// A caller that wants newer keys than those just fetched waits for the cooldown, once.
// On a clock that stands still it never passes.
func TestCooldownWaitsOnce(t *testing.T) {
	t.Parallel()
	bubble(t, oauthtest.Options{}, func(t *testing.T, srv *oauthtest.Server, config discovery.Config) {
		c := testkit.NewClock()
		config.Now = c.Now
		iss := newIssuer(t, config)
		keysOf(t, iss, time.Time{})
		keysOf(t, iss, c.Now()) // as of this very moment: no other fetch
		c.Advance(time.Millisecond)
		began := time.Now()
		set, err := iss.KeySet(t.Context(), c.Now())
		una := wantUnavailable(t, "on a clock that stands still", set, err)
		if got, want := time.Since(began), time.Second-time.Millisecond; got != want || una.RetryAfter < time.Second {
			t.Errorf("got %v after %v, retry after %v, want an answer after %v, and a second or more", una, got, una.RetryAfter, want)
		}
		if got := srv.Count(oauthtest.JWKS); got != 1 {
			t.Errorf("got %d fetches, want 1", got)
		}
	})
}

// While an issuer fails it is asked ever more seldom.
func TestBackoff(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		endpoint oauthtest.Endpoint
		fault    oauthtest.Fault
		want     []int // seconds
	}{
		"keys fail":                {oauthtest.JWKS, oauthtest.Status(500), []int{1, 2, 4, 8, 16, 30, 30}},
		"keys fail, Retry-After 7": {oauthtest.JWKS, oauthtest.RetryAfter(7), []int{7, 7, 7}},
		"Retry-After of an hour":   {oauthtest.JWKS, oauthtest.RetryAfter(3600), []int{30, 30}},
		"Retry-After of 0":         {oauthtest.JWKS, oauthtest.RetryAfter(0), []int{1, 2}},
		"Retry-After that is none": {oauthtest.JWKS, oauthtest.RetryAfter(-5), []int{1, 2}},
		"metadata fails":           {oauthtest.Metadata, oauthtest.Status(500), []int{1, 2, 4, 8, 16, 30, 30}},
		"metadata, Retry-After 7":  {oauthtest.Metadata, oauthtest.RetryAfter(7), []int{7, 7, 7}},
		// The first location says when to come again no more than 404 does.
		"metadata, Retry-After 7 at the second place": {
			oauthtest.Metadata,
			func(w http.ResponseWriter, r *http.Request, honest http.HandlerFunc) {
				at("/.well-known/oauth-authorization-server", oauthtest.Status(404))(w, r,
					func(w http.ResponseWriter, r *http.Request) { oauthtest.RetryAfter(7)(w, r, honest) })
			},
			[]int{7, 7, 7},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := testkit.NewClock()
			srv := newServer(t, oauthtest.Options{})
			srv.SetFault(tc.endpoint, tc.fault)
			iss := newIssuer(t, discovery.Config{Issuer: srv.Issuer(), Now: c.Now})
			for i, seconds := range tc.want {
				set, err := iss.KeySet(t.Context(), time.Time{})
				una := wantUnavailable(t, "asked", set, err)
				want := time.Duration(seconds) * time.Second
				if una.RetryAfter != want {
					t.Errorf("failure %d: got retry after %v, want %v", i+1, una.RetryAfter, want)
				}
				fetched := srv.Count(tc.endpoint)
				c.Advance(want - time.Millisecond)
				set, err = iss.KeySet(t.Context(), time.Time{})
				wantUnavailable(t, "too early", set, err)
				if got := srv.Count(tc.endpoint); got != fetched {
					t.Errorf("failure %d: got %d requests before the time, want none", i+1, got-fetched)
				}
				c.Advance(time.Millisecond)
			}
			srv.SetFault(tc.endpoint, nil)
			keysOf(t, iss, time.Time{})
		})
	}
}
