package caddymcpauth_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

// BenchmarkHit is the handler's own time for a token that it knows.
func BenchmarkHit(b *testing.B) {
	issuer := oauthtest.New(b, oauthtest.Options{})
	h := &caddymcpauth.Handler{
		Resource: "https://mcp.example.com/mcp",
		Issuers:  []*caddymcpauth.Issuer{{Issuer: issuer.Issuer()}},
	}
	base, err := caddy.ProvisionContext(&caddy.Config{
		Admin:   &caddy.AdminConfig{Disabled: true},
		AppsRaw: caddy.ModuleMap{"events": json.RawMessage(`{}`)},
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(base)
	b.Cleanup(cancel)
	if err := h.Provision(ctx); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = h.Cleanup() })

	credentials := []string{"Bearer " + issuer.Mint(nil)}
	w := httptest.NewRecorder()
	next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })
	fresh := func() *http.Request {
		r := httptest.NewRequest(http.MethodPost, "https://mcp.example.com/mcp", nil)
		r.Header["Authorization"] = credentials
		return caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
	}
	r := fresh()
	if err := h.ServeHTTP(w, r, next); err != nil || w.Code != http.StatusOK {
		b.Fatalf("got %d, %v", w.Code, err)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		// The replacer collects what a request's handlers add to it.
		if n++; n%100 == 0 {
			b.StopTimer()
			r = fresh()
			b.StartTimer()
		}
		r.Header["Authorization"] = credentials
		if err := h.ServeHTTP(w, r, next); err != nil {
			b.Fatal(err)
		}
	}
}
