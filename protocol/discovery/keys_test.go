package discovery_test

import (
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
)

func TestRefusedEndpoints(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		value any
		want  string
	}{
		"http":        {"http://as.example/jwks", "jwks_uri: not https"},
		"relative":    {"/jwks", "jwks_uri: not an absolute URL"},
		"file":        {"file:///etc/passwd", "jwks_uri: not an absolute URL"},
		"missing":     {oauthtest.Absent, "no jwks_uri: set it by hand"},
		"empty":       {"", "no jwks_uri: set it by hand"},
		"not a text":  {[]string{"https://as.example/jwks"}, "no jwks_uri: set it by hand"},
		"unparseable": {"https://as.example:x/jwks", "jwks_uri: not an absolute URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := oauthtest.Options{Metadata: map[string]any{"jwks_uri": tc.value}}
			bubble(t, opts, func(t *testing.T, srv *oauthtest.Server, config discovery.Config) {
				set, err := newIssuer(t, config).KeySet(t.Context(), time.Time{})
				if una := wantUnavailable(t, name, set, err); !strings.Contains(una.Error(), tc.want) {
					t.Errorf("got %v, want an error with %q", una, tc.want)
				}
				// Metadata that lacks what is needed is asked for a second time.
				if got := srv.Count(oauthtest.Any); got > 2 || got != srv.Count(oauthtest.Metadata) {
					t.Errorf("got %d requests, want one or two for the metadata, and no other", got)
				}
			})
		})
	}
}

func TestMetadataByHand(t *testing.T) {
	t.Parallel()
	t.Run("overrides", func(t *testing.T) {
		t.Parallel()
		srv := newServer(t, oauthtest.Options{Metadata: map[string]any{"jwks_uri": "https://wrong.example/jwks"}})
		iss := newIssuer(t, discovery.Config{Issuer: srv.Issuer(), Metadata: map[string]any{"jwks_uri": srv.Endpoint(oauthtest.JWKS), "x": "y"}})
		m, err := iss.Metadata(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for field, want := range map[string]string{
			"jwks_uri": srv.Endpoint(oauthtest.JWKS), "x": "y", "issuer": srv.Issuer(), "scopes_supported": "", "missing": "",
		} {
			if got := m.Text(field); got != want {
				t.Errorf("%s: got %q, want %q", field, got, want)
			}
		}
		keysOf(t, iss, time.Time{})
	})
	t.Run("jwks_uri alone needs no metadata", func(t *testing.T) {
		t.Parallel()
		srv := newServer(t, oauthtest.Options{MetadataAt: oauthtest.Nowhere})
		iss := newIssuer(t, discovery.Config{Issuer: srv.Issuer(), Metadata: map[string]any{"jwks_uri": srv.Endpoint(oauthtest.JWKS)}})
		keysOf(t, iss, time.Time{})
		if got := srv.Count(oauthtest.Metadata); got != 0 {
			t.Errorf("got %d requests for metadata, want none", got)
		}
	})
	t.Run("off", func(t *testing.T) {
		t.Parallel()
		srv := newServer(t, oauthtest.Options{})
		iss := newIssuer(t, discovery.Config{Issuer: srv.Issuer(), Off: true, Metadata: map[string]any{"jwks_uri": srv.Endpoint(oauthtest.JWKS)}})
		m, err := iss.Metadata(t.Context())
		if err != nil || m.Text("jwks_uri") != srv.Endpoint(oauthtest.JWKS) || m.Text("token_endpoint") != "" {
			t.Errorf("got %v (%v), want what was set by hand and nothing else", m, err)
		}
		if got := srv.Count(oauthtest.Any); got != 0 {
			t.Errorf("got %d requests, want none", got)
		}
		keysOf(t, iss, time.Time{})
		if got := srv.Count(oauthtest.Metadata); got != 0 {
			t.Errorf("got %d requests for metadata, want none", got)
		}
	})
	t.Run("off without jwks_uri", func(t *testing.T) {
		t.Parallel()
		srv := newServer(t, oauthtest.Options{})
		iss := newIssuer(t, discovery.Config{Issuer: srv.Issuer(), Off: true})
		set, err := iss.KeySet(t.Context(), time.Time{})
		if una := wantUnavailable(t, "off", set, err); !strings.Contains(una.Error(), "set it by hand") {
			t.Errorf("got %v, want the cure in it", una)
		}
		if got := srv.Count(oauthtest.Any); got != 0 {
			t.Errorf("got %d requests, want none", got)
		}
	})
}

// Nothing takes the place of good keys but good keys.
func TestGoodKeysStay(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]oauthtest.Fault{
		"empty object": oauthtest.Empty(),
		"no keys":      oauthtest.EmptyKeys(),
		"unusable key": oauthtest.Answer(200, "application/json", `{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`),
		"HTML":         oauthtest.Garbage(),
		"nothing":      oauthtest.Answer(200, "application/json", ""),
		"204":          oauthtest.Answer(204, "application/json", ""),
		"404":          oauthtest.Status(404),
		"500":          oauthtest.Status(500),
		"429":          oauthtest.RetryAfter(1),
		"truncated":    oauthtest.Truncate(),
		"dropped":      oauthtest.Close(),
		"too big":      oauthtest.Huge(2),
		"elsewhere":    oauthtest.Redirect(302, "http://localhost:1/jwks"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := testkit.NewClock()
			srv := newServer(t, oauthtest.Options{})
			iss := newIssuer(t, discovery.Config{Issuer: srv.Issuer(), Now: c.Now})
			good := keysOf(t, iss, time.Time{})

			srv.SetFault(oauthtest.JWKS, fault)
			c.Advance(2 * time.Second)
			set, err := iss.KeySet(t.Context(), c.Now())
			una := wantUnavailable(t, "asked again", set, err)
			if strings.Contains(una.Error(), "upstream-secret") {
				t.Errorf("got %v, want nothing of the issuer's own text in it", una)
			}
			if got := keysOf(t, iss, time.Time{}); got != good {
				t.Errorf("got other keys than before, want those")
			}

			srv.SetFault(oauthtest.JWKS, nil)
			srv.Rotate(true)
			c.Advance(una.RetryAfter)
			if got := keysOf(t, iss, c.Now()).Len(); got != 2 {
				t.Errorf("after the fault: got %d keys, want 2", got)
			}
		})
	}
}

// A day without its issuer is survived, and not more.
func TestIssuerDown(t *testing.T) {
	t.Parallel()
	c := testkit.NewClock()
	srv := newServer(t, oauthtest.Options{})
	iss := newIssuer(t, discovery.Config{Issuer: srv.Issuer(), Now: c.Now})
	good := keysOf(t, iss, time.Time{})
	srv.SetFault(oauthtest.Any, oauthtest.Status(503))
	for hour := range 23 {
		c.Advance(time.Hour)
		if got := keysOf(t, iss, time.Time{}); got != good {
			t.Fatalf("after %d hours: got other keys than before, want those", hour+1)
		}
	}
	testkit.Eventually(t, "tries in the background", func() bool { return srv.Count(oauthtest.JWKS) > 1 })
	c.Advance(time.Hour - time.Second)
	if got := keysOf(t, iss, time.Time{}); got != good {
		t.Fatalf("in the last second: got other keys than before, want those")
	}
	c.Advance(time.Minute)
	set, err := iss.KeySet(t.Context(), time.Time{})
	wantUnavailable(t, "after more than a day", set, err)

	// A fetch in the background may have begun before the fault ended, and fail after.
	srv.SetFault(oauthtest.Any, nil)
	testkit.Eventually(t, "keys again", func() bool {
		c.Advance(time.Minute)
		_, err := iss.KeySet(t.Context(), time.Time{})
		return err == nil
	})
}

// Keys are refreshed while the old ones serve, as often as the issuer says,
// within bounds.
func TestBackgroundRefresh(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		cacheControl string
		fresh        time.Duration
	}{
		"says nothing": {"", 10 * time.Minute},
		"max-age":      {"public, Max-Age=120, must-revalidate", 2 * time.Minute},
		"too short":    {"max-age=5", time.Minute},
		"too long":     {"max-age=86400", time.Hour},
		"no number":    {"max-age=soon", 10 * time.Minute},
		"overflowing":  {"max-age=99999999999999999999", time.Hour},
		"negative":     {"max-age=-1", 10 * time.Minute},
		"no-store":     {"no-store", 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := testkit.NewClock()
			srv := newServer(t, oauthtest.Options{JWKSCacheControl: tc.cacheControl})
			iss := newIssuer(t, discovery.Config{Issuer: srv.Issuer(), Now: c.Now})
			keysOf(t, iss, time.Time{})
			srv.Rotate(true)

			c.Advance(tc.fresh - time.Second)
			if got := keysOf(t, iss, time.Time{}).Len(); got != 1 || srv.Count(oauthtest.JWKS) != 1 {
				t.Errorf("still fresh: got %d keys, %d fetches, want 1, 1", got, srv.Count(oauthtest.JWKS))
			}
			c.Advance(2 * time.Second)
			if got := keysOf(t, iss, time.Time{}).Len(); got != 1 {
				t.Errorf("stale: got %d keys, want the old one at once", got)
			}
			testkit.Eventually(t, "new keys", func() bool { return keysOf(t, iss, time.Time{}).Len() == 2 })
			if got := srv.Count(oauthtest.JWKS); got != 2 {
				t.Errorf("got %d fetches, want 2", got)
			}
		})
	}
}
