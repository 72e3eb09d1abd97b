package caddymcpauth_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// The second try goes the same way through the site's routes as the first: a handle
// block that has taken the request takes it again, and it is rewritten once.
func TestExchangeAgainByTheSameRoutes(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	e := newTokenEndpoint(t, answersAlways(200, exchangedToken))
	var tries atomic.Int32
	backend := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if tries.Add(1) == 1 {
			w.WriteHeader(401)
			return
		}
		_, _ = fmt.Fprint(w, r.Method, " ", r.URL, " ", r.Header["Authorization"], r.Header["X-Path"], string(body))
	})
	const message = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"x"}}`
	door := strings.Replace(exchangeDoor(issuer.Issuer(), e.url, "audience backend"), "exchange {", "tools *\nexchange {", 1)
	for name, tc := range map[string]struct{ routes, want string }{
		"handle":      {"handle /mcp* {\nreverse_proxy " + backend.Listener.Addr().String() + "\n}\nhandle {\nrespond 404\n}", "POST /mcp?a=b"},
		"handle_path": {"handle_path /mcp* {\nreverse_proxy " + backend.Listener.Addr().String() + "\n}", "POST /?a=b"},
		"rewrite":     {"rewrite * /api{uri}\nreverse_proxy " + backend.Listener.Addr().String(), "POST /api/mcp?a=b"},
		"in a route":  {"route {\nuri strip_prefix /mcp\nrewrite * /x{path}?{query}&c=d\nreverse_proxy " + backend.Listener.Addr().String() + "\n}", "POST /x/?a=b&c=d"},
	} {
		tries.Store(0)
		s := serve(t, "route {\n"+door+"\nrequest_header X-Path {path}\n"+tc.routes+"\n}", nil)
		got := s.send(t, "POST", "/mcp?a=b", strings.NewReader(message), append(bearer(issuer.Mint(nil)), "Content-Type", "application/json")...)
		want := tc.want + " [Bearer for-the-server-behind] [/mcp]" + message
		if got.StatusCode != 200 || got.body != want || tries.Load() != 2 {
			t.Errorf("%s: got %d %q after %d tries, want %q", name, got.StatusCode, got.body, tries.Load(), want)
		}
	}
}

// Nothing of the answer to the first try is in the other, not even what came after its
// body.
func TestExchangeAgainWithoutTrailers(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	e := newTokenEndpoint(t, answersAlways(200, exchangedToken))
	var tries atomic.Int32
	backend := serveHTTP(t, func(w http.ResponseWriter, _ *http.Request) {
		if tries.Add(1) == 1 {
			w.Header().Set("Trailer", "X-First")
			w.WriteHeader(401)
			_, _ = io.WriteString(w, "refused")
			w.Header().Set("X-First", "yes")
		}
	})
	s := serve(t, exchangeDoor(issuer.Issuer(), e.url, "audience backend")+"\nreverse_proxy "+backend.Listener.Addr().String(), nil)
	got := s.do(t, "GET", "/mcp", bearer(issuer.Mint(nil))...)
	if got.StatusCode != 200 || tries.Load() != 2 || got.Header.Get("X-First") != "" {
		t.Errorf("got %d %v after %d tries", got.StatusCode, got.Header, tries.Load())
	}
}
