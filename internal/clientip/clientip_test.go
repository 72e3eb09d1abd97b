package clientip_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/clientip"
)

func request(vars map[string]any, headers ...string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r.WithContext(context.WithValue(r.Context(), caddyhttp.VarsCtxKey, vars))
}

func TestOf(t *testing.T) {
	t.Parallel()
	if got := clientip.Of(request(map[string]any{caddyhttp.ClientIPVarKey: "192.0.2.1"}).Context()); got != "192.0.2.1" {
		t.Errorf("got %q", got)
	}
	if got := clientip.Of(t.Context()); got != "" {
		t.Errorf("outside of a server: got %q", got)
	}
}

func TestProxyWarning(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, address string
		trusted       bool
		headers       []string
		want          int
	}{
		{"loopback", "127.0.0.1", false, []string{"X-Forwarded-For", "192.0.2.1"}, 1},
		{"loopback, IPv6", "::1", false, []string{"X-Forwarded-For", "192.0.2.1"}, 1},
		{"loopback, as IPv6", "::ffff:127.0.0.1", false, []string{"X-Forwarded-For", "192.0.2.1"}, 1},
		{"private", "10.0.0.1", false, []string{"Forwarded", "for=192.0.2.1"}, 1},
		{"private, IPv6", "fd00::1", false, []string{"X-Forwarded-For", "192.0.2.1"}, 1},
		{"a tunnel's", "100.64.0.1", false, []string{"X-Forwarded-For", "192.0.2.1"}, 1},
		{"no proxy", "127.0.0.1", false, nil, 0},
		{"an empty header", "127.0.0.1", false, []string{"X-Forwarded-For", ""}, 0},
		{"trusted, and the client's address is private", "10.0.0.1", true, []string{"X-Forwarded-For", "10.0.0.1"}, 0},
		{"a client on the Internet that pretends", "198.51.100.1", false, []string{"X-Forwarded-For", "192.0.2.1"}, 0},
		{"a Unix socket", "@", false, []string{"X-Forwarded-For", "192.0.2.1"}, 0},
	} {
		core, logs := observer.New(zap.WarnLevel)
		var w clientip.ProxyWarning
		for range 3 {
			w.Check(request(map[string]any{caddyhttp.ClientIPVarKey: tt.address, caddyhttp.TrustedProxyVarKey: tt.trusted}, tt.headers...), zap.New(core))
		}
		if got := logs.Len(); got != tt.want {
			t.Errorf("%s: %d warnings, want %d", tt.name, got, tt.want)
		}
	}
}
