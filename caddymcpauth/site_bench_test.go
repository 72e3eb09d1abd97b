package caddymcpauth_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// BenchmarkSite is what a whole site makes of a request, with the guard, the front
// door and Caddy's matchers, but without a network and a server behind. The row
// without is to be taken off the others: the rest is ours.
func BenchmarkSite(b *testing.B) {
	issuer := newIssuer(b)
	door := "mcp_auth /mcp* " + testResource + " {\n\tissuer " + issuer.Issuer() + "\n"
	claims := "\theader X-User {http.auth.user.id}\n\theader X-Email {http.auth.user.email}\n\theader X-Name {http.auth.user.name}\n"
	for _, bm := range []struct {
		name, site, path string
		anonymous        bool
	}{
		{"without", "", "/mcp", false},
		{"door", door + "}", "/mcp", false},
		{"claims", door + claims + "}", "/mcp", false},
		{"beside", door + "}", "/other/page", false},
		{"beside, no token", door + "}", "/other/page", true},
	} {
		b.Run(bm.name, func(b *testing.B) {
			routes, err := adapt(bm.site + "\nvars x y")
			if err != nil {
				b.Fatal(err)
			}
			c, err := provision(b, routes)
			if err != nil {
				b.Fatal(err)
			}
			server := new(caddyhttp.Server)
			reached := false
			behind := next(func(http.ResponseWriter, *http.Request) error { reached = true; return nil })
			token := []string{"Bearer " + issuer.Mint(map[string]any{"email": "ada@example.com", "name": "Ada Lovelace"})}
			template := http.Header{
				"Accept": {"application/json, text/event-stream"}, "Accept-Encoding": {"gzip"}, "Accept-Language": {"*"},
				"Authorization": token, "Cache-Control": {"no-cache"}, "Content-Length": {"40"}, "Content-Type": {"application/json"},
				"Mcp-Method": {"ping"}, "Mcp-Protocol-Version": {"2026-07-28"}, "User-Agent": {"node"},
			}
			if bm.anonymous {
				delete(template, "Authorization")
			}
			w := httptest.NewRecorder()
			send := func() {
				r := &http.Request{
					Method: http.MethodPost, URL: &url.URL{Path: bm.path}, RequestURI: bm.path, Host: "mcp.example.com", RemoteAddr: "192.0.2.1:1234",
					Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: maps.Clone(template), Body: http.NoBody,
				}
				r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, server)
				if err := c.routes.ServeHTTP(w, r, behind); err != nil {
					b.Fatal(err)
				}
			}
			if send(); !reached {
				b.Fatalf("got %d", w.Code)
			}
			b.ReportAllocs()
			for b.Loop() {
				send()
			}
		})
	}
}
