package caddymcpauth_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

// A stream ends 30 s after its token has expired, for clocks that differ; a call is
// left alone.
func TestStreamEndsWithItsToken(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, issuer *oauthtest.Server) {
		c := mustProvision(t, frontDoor(issuer.Issuer(), ""))
		for method, want := range map[string]time.Duration{"GET": 34 * time.Second, "POST": time.Hour} {
			start := time.Now()
			r := httptest.NewRequestWithContext(t.Context(), method, "/mcp", nil)
			r.Header.Set("Authorization", "Bearer "+issuer.Mint(map[string]any{"exp": start.Add(4 * time.Second).Unix()}))
			c.handler(func(w http.ResponseWriter, r *http.Request) error {
				w.Header().Set("Content-Type", "text/event-stream")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-r.Context().Done():
				case <-time.After(time.Hour):
				}
				return nil
			}).ServeHTTP(httptest.NewRecorder(), r)
			if got := time.Since(start); got != want {
				t.Errorf("%s: ended after %s, want %s", method, got, want)
			}
		}
	})
}
