package caddymcpauth_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/inprocess"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

// When an operator ends a user's access, tokens that were issued before are refused,
// remembered or not, and those of others aren't.
func TestEndedAccess(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	s := serve(t, frontDoor(issuer.Issuer(), ""), nil)
	now := time.Now()
	mint := func(sub, client string, issued time.Time) string {
		return issuer.Mint(map[string]any{"sub": sub, "client_id": client, "iat": issued.Unix()})
	}
	tokens := map[string]string{
		"ada's":              mint("ada", "desk", now.Add(-time.Minute)),
		"ada's, unknown yet": mint("ada", "desk", now.Add(-2*time.Minute)),
		"ada's elsewhere":    mint("ada", "phone", now.Add(-time.Minute)),
		"ada's later one":    mint("ada", "desk", now.Add(2*time.Second)),
		"bob's":              mint("bob", "desk", now.Add(-time.Minute)),
	}
	check := func(when, name string, want int) {
		t.Helper()
		got := s.do(t, "POST", "/mcp", bearer(tokens[name])...)
		if got.StatusCode != want {
			t.Errorf("%s: %s token: got %d, want %d", when, name, got.StatusCode, want)
		}
		if want == 401 && challengeParams(t, got.Header)["error"] != "invalid_token" {
			t.Errorf("%s: %s token: got %q, want invalid_token", when, name, got.Header["Www-Authenticate"])
		}
	}
	for name := range tokens {
		if name != "ada's, unknown yet" {
			check("before", name, 200)
		}
	}
	inprocess.End("https://other.example.com", "ada", "", now, now.Add(time.Hour))
	check("ended at another issuer", "ada's", 200)
	inprocess.End(issuer.Issuer(), "ada", "desk", now, now.Add(time.Hour))
	for name, want := range map[string]int{"ada's": 401, "ada's, unknown yet": 401, "ada's elsewhere": 200, "ada's later one": 200, "bob's": 200} {
		check("the desk's ended", name, want)
	}
	// A reload changes nothing.
	s = serve(t, frontDoor(issuer.Issuer(), "offer write"), nil)
	check("after a reload", "ada's", 401)
	inprocess.End(issuer.Issuer(), "ada", "", now.Add(time.Minute), now.Add(time.Hour))
	for name, want := range map[string]int{"ada's": 401, "ada's elsewhere": 401, "ada's later one": 401, "bob's": 200} {
		check("all ended", name, want)
	}
}

// An exchanged token names the client that exchanged it. It ends with the access of the
// client that the user's token was for, which it doesn't name: so with that of any.
func TestEndedAccessEndsExchangedTokens(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	s := serve(t, frontDoor(issuer.Issuer(), ""), nil)
	now := time.Now()
	mint := func(sub string, issued time.Time, act any) string {
		return issuer.Mint(map[string]any{"sub": sub, "client_id": "door", "iat": issued.Unix(), "act": act})
	}
	door := map[string]any{"sub": "door"}
	tokens := map[string]struct {
		token string
		want  int
	}{
		"exchanged before":       {mint("ada", now.Add(-time.Minute), door), 401},
		"exchanged later":        {mint("ada", now.Add(2*time.Second), door), 200},
		"another user's":         {mint("bob", now.Add(-time.Minute), door), 200},
		"the door's, by sign-in": {issuer.Mint(map[string]any{"sub": "ada", "client_id": "door", "iat": now.Add(-time.Minute).Unix()}), 200},
	}
	for name, test := range tokens {
		if got := s.do(t, "POST", "/mcp", bearer(test.token)...); got.StatusCode != 200 {
			t.Errorf("before, %s: got %d, want 200", name, got.StatusCode)
		}
	}
	inprocess.End(issuer.Issuer(), "ada", "desk", now, now.Add(time.Hour))
	for name, test := range tokens {
		if got := s.do(t, "POST", "/mcp", bearer(test.token)...); got.StatusCode != test.want {
			t.Errorf("after, %s: got %d, want %d", name, got.StatusCode, test.want)
		}
	}
}

// An API key is nobody's token, even if it has the name of a user.
func TestEndedAccessLeavesKeys(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	code, out, _ := command(t, "", "new-key", "--name", "ada")
	key, line, found := strings.Cut(strings.TrimSpace(out), "\n")
	if code != 0 || !found {
		t.Fatalf("got %d %s", code, out)
	}
	s := serve(t, "mcp_auth "+testResource+" {\n\tissuer "+issuer.Issuer()+" {\n\t\tjwt\n\t\tstatic {\n\t\t\t"+line+"\n\t\t}\n\t}\n}", nil)
	inprocess.End(issuer.Issuer(), "ada", "", time.Now(), time.Now().Add(time.Hour))
	if got := s.do(t, "POST", "/mcp", bearer(key)...); got.StatusCode != 200 {
		t.Errorf("got %d %s, want 200", got.StatusCode, got.body)
	}
}

// Streams that are open end.
func TestEndedAccessEndsStreams(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, issuer *oauthtest.Server) {
		c := mustProvision(t, frontDoor(issuer.Issuer(), ""))
		for sub, want := range map[string]time.Duration{"ada": time.Minute, "bob": time.Hour} {
			start := time.Now()
			r := httptest.NewRequestWithContext(t.Context(), "GET", "/mcp", nil)
			r.Header.Set("Authorization", "Bearer "+issuer.Mint(map[string]any{"sub": sub, "iat": start.Unix(), "exp": start.Add(2 * time.Hour).Unix()}))
			timer := time.AfterFunc(time.Minute, func() {
				inprocess.End(issuer.Issuer(), "ada", "", time.Now(), time.Now().Add(24*time.Hour))
			})
			c.handler(func(w http.ResponseWriter, r *http.Request) error {
				w.Header().Set("Content-Type", "text/event-stream")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-r.Context().Done():
				case <-time.After(time.Hour):
				}
				return nil
			}).ServeHTTP(httptest.NewRecorder(), r)
			timer.Stop()
			if got := time.Since(start); got != want {
				t.Errorf("%s: the stream ended after %s, want %s", sub, got, want)
			}
		}
	})
}
