//go:build bench

package bench

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

const audience = "https://mcp.example.com/mcp"

// newVerifier returns a jwt verifier for the tokens of srv, with its keys known.
func newVerifier(t testing.TB, srv *oauthtest.Server) *token.JWT {
	t.Helper()
	issuer, err := discovery.New(discovery.Config{Issuer: srv.Issuer()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(issuer.Close)
	v, err := token.NewJWT(token.JWTConfig{Issuer: srv.Issuer(), Keys: issuer, Audience: []string{audience}})
	if err != nil {
		t.Fatal(err)
	}
	firstSight(t, v, srv.Mint(nil))
	return v
}

func firstSight(t testing.TB, v token.Verifier, raw string) {
	p, err := token.Present(raw)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(context.Background(), p); err != nil {
		t.Fatal(err)
	}
}

// measureVerification compares the first sight of a token with the bare check of
// its signature, and a hit with the hash that it needs.
func measureVerification(t *testing.T, results *table) {
	for _, alg := range []string{"RS256", "ES256", "EdDSA", "ES384"} {
		srv := oauthtest.New(t, oauthtest.Options{Algorithm: alg})
		v := newVerifier(t, srv)
		raw := srv.Mint(nil)
		bare := bareCheck(t, alg, srv.CurrentKey(), raw)
		goal := ""
		if alg == "RS256" {
			goal = "<= 1.40 x"
		}
		// Alternating, so that a busy neighbor hits both.
		var whole, check float64
		for range 3 {
			check += perOp(func() { bare() })
			whole += perOp(func() { firstSight(t, v, raw) })
		}
		results.add("first sight "+alg+" / bare signature check", goal, "%.2f x  (%.0f / %.0f µs)", whole/check, whole/3e3, check/3e3)
	}
	raw := strings.Repeat("x", 836)
	var buf [836]byte
	hash := perOp(func() { copy(buf[:], raw); _ = sha256.Sum256(buf[:]) })
	hit, allocs := measureHit(t)
	results.add("handler's own time on a hit", "<= 1.2 µs", "%.2f µs", hit/1e3)
	results.add("  of that SHA-256 of the token", "", "%.2f µs", hash/1e3)
	results.add("  allocations", "<= 2", "%d", allocs)
}

// perOp returns the nanoseconds that f takes.
func perOp(f func()) float64 {
	r := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			f()
		}
	})
	return float64(r.NsPerOp())
}

// bareCheck returns a check of the signature of raw with the standard library
// alone.
func bareCheck(t *testing.T, alg string, key *oauthtest.Key, raw string) func() {
	t.Helper()
	dot := strings.LastIndexByte(raw, '.')
	input := []byte(raw[:dot])
	signature, err := base64.RawURLEncoding.DecodeString(raw[dot+1:])
	if err != nil {
		t.Fatal(err)
	}
	hash := map[string]crypto.Hash{"RS256": crypto.SHA256, "ES256": crypto.SHA256, "ES384": crypto.SHA384, "RS512": crypto.SHA512}[alg]
	digest := func() []byte {
		h := hash.New()
		h.Write(input)
		return h.Sum(nil)
	}
	switch private := key.Private.(type) {
	case *rsa.PrivateKey:
		return func() { _ = rsa.VerifyPKCS1v15(&private.PublicKey, hash, digest(), signature) }
	case *ecdsa.PrivateKey:
		half := len(signature) / 2
		r, s := new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])
		return func() { ecdsa.Verify(&private.PublicKey, digest(), r, s) }
	case ed25519.PrivateKey:
		public := private.Public().(ed25519.PublicKey)
		return func() { ed25519.Verify(public, input, signature) }
	}
	t.Fatalf("no bare check for %T", key.Private)
	return nil
}

// measureHit returns the handler's own nanoseconds and allocations for a token
// that it knows.
func measureHit(t *testing.T) (float64, int64) {
	srv := oauthtest.New(t, oauthtest.Options{})
	base, err := caddy.ProvisionContext(&caddy.Config{
		Admin:   &caddy.AdminConfig{Disabled: true},
		AppsRaw: caddy.ModuleMap{"events": json.RawMessage(`{}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(base)
	t.Cleanup(cancel)
	h := &caddymcpauth.Handler{Resource: audience, Issuers: []*caddymcpauth.Issuer{{Issuer: srv.Issuer()}}}
	if err := h.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Cleanup() })
	w := httptest.NewRecorder()
	next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })
	credentials := []string{"Bearer " + srv.Mint(map[string]any{"padding": strings.Repeat("p", 300)})}
	// Prepared before: the replacer of a request collects what is added to it.
	const prepared = 4096
	requests := make([]*http.Request, prepared)
	prepare := func() {
		for i := range requests {
			r := httptest.NewRequest(http.MethodPost, audience, nil)
			r.Header["Authorization"] = credentials
			requests[i] = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
		}
	}
	r := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			if i%prepared == 0 {
				b.StopTimer()
				prepare()
				b.StartTimer()
			}
			if err := h.ServeHTTP(w, requests[i%prepared], next); err != nil {
				b.Fatal(err)
			}
		}
	})
	if w.Code != http.StatusOK {
		t.Fatalf("got %d", w.Code)
	}
	return float64(r.NsPerOp()), r.AllocsPerOp()
}

// measureMemory counts the live bytes of a cached verdict.
func measureMemory(t *testing.T, results *table) {
	const n = 50_000
	srv := oauthtest.New(t, oauthtest.Options{Algorithm: "EdDSA"})
	v := newVerifier(t, srv)
	cache, err := judge.NewCache(judge.CacheConfig{MaxEntries: 2 * n})
	if err != nil {
		t.Fatal(err)
	}
	cached := cache.Cached(v.Source())
	raws := make([]string, n)
	for i := range raws {
		raws[i] = srv.Mint(map[string]any{"sub": fmt.Sprintf("user-%08d-of-many", i)})
	}
	before := liveHeap()
	for _, raw := range raws {
		firstSight(t, cached, raw)
	}
	after := liveHeap()
	runtime.KeepAlive(raws)
	runtime.KeepAlive(cached)
	results.add("live bytes per cached JWT", "<= 300", "%d", (after-before)/n)
	results.add("live bytes per cached opaque token", "", "%d", opaqueBytes(t))

	huge := oauthtest.New(t, oauthtest.Options{})
	huge.SetFault(oauthtest.JWKS, oauthtest.Huge(1024))
	issuer, err := discovery.New(discovery.Config{Issuer: huge.Issuer()})
	if err != nil {
		t.Fatal(err)
	}
	defer issuer.Close()
	before = liveHeap()
	var peak runtime.MemStats
	p, err := token.Present(huge.Mint(nil))
	if err != nil {
		t.Fatal(err)
	}
	hv, err := token.NewJWT(token.JWTConfig{Issuer: huge.Issuer(), Keys: issuer, Audience: []string{audience}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = hv.Verify(t.Context(), p)
	runtime.ReadMemStats(&peak)
	if err == nil {
		t.Error("a key set of 1 GiB was taken")
	}
	results.add("more memory for a key set of 1 GiB", "<= 8 MB", "%.1f MB", float64(max(peak.HeapAlloc, before)-before)/1e6)
}

// opaqueBytes counts the live bytes of a cached verdict on an opaque token, whose
// claims have to be kept.
func opaqueBytes(t *testing.T) uint64 {
	const n = 10_000
	srv := oauthtest.New(t, oauthtest.Options{})
	v, err := token.NewUserinfo(token.UserinfoConfig{Issuer: srv.Issuer(), Endpoint: srv.Endpoint(oauthtest.Userinfo)})
	if err != nil {
		t.Fatal(err)
	}
	cache, err := judge.NewCache(judge.CacheConfig{MaxEntries: 2 * n})
	if err != nil {
		t.Fatal(err)
	}
	cached := cache.Cached(v.Source())
	raws := make([]string, n)
	for i := range raws {
		raws[i] = srv.Opaque(map[string]any{"sub": fmt.Sprintf("user-%08d-of-many", i)})
	}
	firstSight(t, cached, raws[0]) // opens the connection
	before := liveHeap()
	for _, raw := range raws[1:] {
		firstSight(t, cached, raw)
	}
	after := liveHeap()
	runtime.KeepAlive(raws)
	runtime.KeepAlive(cached)
	return (after - before) / (n - 1)
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// measureCalls counts what 1,000 callers with one new token cost the issuer.
func measureCalls(t *testing.T, results *table) {
	srv := oauthtest.New(t, oauthtest.Options{})
	v, err := token.NewUserinfo(token.UserinfoConfig{Issuer: srv.Issuer(), Endpoint: srv.Endpoint(oauthtest.Userinfo)})
	if err != nil {
		t.Fatal(err)
	}
	cache, err := judge.NewCache(judge.CacheConfig{})
	if err != nil {
		t.Fatal(err)
	}
	cached, raw := cache.Cached(v.Source()), srv.Opaque(nil)
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() { firstSight(t, cached, raw) })
	}
	wg.Wait()
	results.add("requests to the issuer for 1,000 callers with one new token", "1", "%d", srv.Count(oauthtest.Any))
}
