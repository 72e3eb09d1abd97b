//go:build bench

package bench

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/option"
)

// measureProofs compares a request with a known token and a DPoP proof with the bare
// check of the proof's signature.
func measureProofs(t *testing.T, results *table) {
	srv := oauthtest.New(t, oauthtest.Options{Algorithm: "ES256"})
	base, err := caddy.ProvisionContext(&caddy.Config{
		Admin:   &caddy.AdminConfig{Disabled: true},
		AppsRaw: caddy.ModuleMap{"events": json.RawMessage(`{}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(base)
	t.Cleanup(cancel)
	h := &caddymcpauth.Handler{
		Resource: audience,
		Issuers:  []*caddymcpauth.Issuer{{Issuer: srv.Issuer()}},
		DPoP:     &option.DPoP{Mode: "required"},
	}
	if err := h.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Cleanup() })
	w := httptest.NewRecorder()
	next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })

	// A proof counts once, and a key has a limited number of them: each pair has a key of
	// its own, whose token is known.
	const pairs, perPair = 65, 64
	var served, checked []time.Duration
	for range pairs {
		p := srv.NewProver("ES256")
		bound := srv.Mint(p.Bound())
		credentials := []string{"DPoP " + bound}
		requests := make([]*http.Request, perPair+1)
		for i := range requests {
			r := httptest.NewRequest(http.MethodPost, audience, nil)
			r.Header["Authorization"], r.Header["Dpop"] = credentials, []string{p.Prove("POST", audience, bound, nil)}
			requests[i] = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
		}
		bare := bareCheck(t, "ES256", p.Key, p.Prove("POST", audience, bound, nil))
		serve := func(r *http.Request) {
			if err := h.ServeHTTP(w, r, next); err != nil {
				t.Fatal(err)
			}
		}
		serve(requests[perPair])
		// One of each in turn, so that a busy neighbor hits both.
		for _, r := range requests[:perPair] {
			began := time.Now()
			bare()
			between := time.Now()
			serve(r)
			checked = append(checked, between.Sub(began))
			served = append(served, time.Since(between))
		}
	}
	if w.Code != http.StatusOK {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	// Neighbors only ever add: of each, the time that one in ten keeps.
	quick := func(list []time.Duration) float64 {
		slices.Sort(list)
		return float64(list[len(list)/10])
	}
	results.add("a request with a known token and a DPoP proof / bare ES256 check", "<= 1.25 x", "%.2f x  (%.0f / %.0f µs)", quick(served)/quick(checked), quick(served)/1e3, quick(checked)/1e3)
}
