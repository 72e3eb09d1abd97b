package caddymcpauth_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
)

// BenchmarkHit is the handler's own time for a token that it knows.
func BenchmarkHit(b *testing.B) { benchmarkHandler(b, caddymcpauth.Policy{}, "") }

// BenchmarkHitWithRules is that with a message of a kilobyte, which the rules allow.
func BenchmarkHitWithRules(b *testing.B) {
	rules := policy.Rules{Tools: []policy.Line{{Names: []string{"delete_*"}, Nobody: true}, {Names: []string{"get_*"}}}}
	benchmarkHandler(b, caddymcpauth.Policy{Rules: rules}, toolCall("get_x", `{"text":"`+strings.Repeat("x", 900)+`"}`))
}

func benchmarkHandler(b *testing.B, rules caddymcpauth.Policy, body string) {
	issuer := oauthtest.New(b, oauthtest.Options{})
	h := &caddymcpauth.Handler{
		Resource: "https://mcp.example.com/mcp",
		Issuers:  []*caddymcpauth.Issuer{{Issuer: issuer.Issuer()}},
		Policy:   rules,
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
		r.Header["Authorization"], r.Header["Content-Type"] = credentials, []string{"application/json"}
		return caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
	}
	r := fresh()
	again := func() {
		if body != "" {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		}
		r.Header["Authorization"] = credentials
	}
	again()
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
		again()
		if err := h.ServeHTTP(w, r, next); err != nil {
			b.Fatal(err)
		}
	}
}
