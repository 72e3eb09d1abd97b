package caddymcpauth_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

// Opaque tokens have characters that RFC 6750 doesn't know. They are taken where a
// verifier takes opaque tokens, and nowhere else.
func TestOpaqueCharacters(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	opaque, signed := serve(t, guestDoorOf(issuer.Issuer(), "userinfo"), nil), serve(t, frontDoor(issuer.Issuer(), ""), nil)
	for name, raw := range map[string]string{
		"Salesforce":       "00D5g000004yNZ6!AQ4AQFd.nCnEQm_8PzQ",
		"Laravel Sanctum":  "17|Xy4kq1vQn0dAb7Gm2Rt9Lp",
		"JetBrains":        "perm:cm9vdA==.NDgtMA==.4WlB3kQ1",
		"Atlassian":        "ATATT3xFfGF0T=5C2D1E7A",
		"other characters": "a#b$c%d&e'f(g)h*i<j>k?l@m[n]o^p`q{r}s",
		"encrypted":        "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..aXY.Y2lwaGVydGV4dA.dGFn",
	} {
		t.Run(name, func(t *testing.T) {
			issuer.AddOpaque(raw, map[string]any{"sub": "ada"})
			if got := opaque.do(t, http.MethodGet, "/", "Authorization", "Bearer "+raw); got.StatusCode != http.StatusOK {
				t.Errorf("userinfo: got %d %s, want 200", got.StatusCode, got.body)
			}
			if got := signed.do(t, http.MethodGet, "/", "Authorization", "Bearer "+raw); got.StatusCode != http.StatusBadRequest && got.StatusCode != http.StatusUnauthorized {
				t.Errorf("jwt: got %d %s, want 400 or 401", got.StatusCode, got.body)
			}
		})
	}
	for name, raw := range map[string]string{
		"two tokens": "a, b", "comma": "a,b", "quotes": `"a"`, "semicolon": "a;b", "backslash": `a\b`, "tab": "a\tb", "letter of another script": "é", "padding alone": "==",
	} {
		if got := opaque.do(t, http.MethodGet, "/", "Authorization", "Bearer "+raw); got.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: got %d %s, want 400", name, got.StatusCode, got.body)
		}
	}
	if n := issuer.Count(oauthtest.Userinfo); n != 6 {
		t.Errorf("got %d questions, want 6", n)
	}
}

// A client can't have a proxy on the way take the identity in Authorization out again.
func TestAuthorizationIsNotForOneHop(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	e := newTokenEndpoint(t, answersAlways(200, exchangedToken))
	var seen atomic.Value
	backend := serveHTTP(t, func(_ http.ResponseWriter, r *http.Request) { seen.Store(r.Header.Clone()) })
	for name, door := range map[string]string{
		"exchange":      exchangeDoor(issuer.Issuer(), e.url, "audience backend"),
		"assertion":     frontDoor(issuer.Issuer(), "assertion {\naudience https://backend.internal\nauthorization\n}"),
		"forward_token": frontDoor(issuer.Issuer(), "forward_token"),
	} {
		s := serve(t, door+"\nreverse_proxy "+backend.Listener.Addr().String(), nil)
		for _, option := range []string{"Authorization", "authorization", "keep-alive, AUTHORIZATION"} {
			got := s.send(t, "POST", "/mcp", strings.NewReader("a body"), append(bearer(issuer.Mint(nil)), "Connection", option)...)
			if header := seen.Load().(http.Header); got.StatusCode != 200 || len(header["Authorization"]) != 1 {
				t.Errorf("%s, Connection: %s: got %d, and the server behind %q", name, option, got.StatusCode, header)
			}
		}
	}
}
