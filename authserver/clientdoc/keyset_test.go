package clientdoc_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/clientdoc"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
)

// keySet is what publishers answer with; the keys are an issuer's for the test.
func keySet(srv *oauthtest.Server, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jwk-set+json")
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		_, _ = w.Write(srv.JWKSDocument())
	}
}

func wantAway(t *testing.T, what string, set *keys.Set, err error) {
	t.Helper()
	if _, ok := errors.AsType[*outbound.UnavailableError](err); !ok || set != nil {
		t.Errorf("%s: got %v, %v, want an *outbound.UnavailableError", what, set, err)
	}
}

func TestKeySet(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock()
	srv := oauthtest.New(t, oauthtest.Options{Now: clock.Now})
	first := srv.CurrentKey().ID
	p := newPublisher(t, keySet(srv, "Cache-Control", "max-age=86400"))
	f := newFetcher(t, p, clientdoc.Config{Now: clock.Now})
	uri := p.URL + "/jwks.json"
	get := func(since time.Time) (*keys.Set, error) { return f.KeySet(t.Context(), uri, client, since) }

	for range 3 {
		if set, err := get(time.Time{}); err != nil || !set.Has(first) {
			t.Fatalf("got %v, %v", set, err)
		}
	}
	p.wantHits(t, "at first", 1)

	// A flood of unknown keys causes a fetch every ten seconds.
	next := srv.Rotate(true).ID
	for range 5 {
		if set, err := get(clock.Now()); err != nil || set.Has(next) {
			t.Errorf("a moment ago: got %v, %v, want the set at hand", set, err)
		}
	}
	p.wantHits(t, "within the cooldown", 1)
	clock.Advance(10 * time.Second)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if set, err := get(clock.Now()); err != nil || !set.Has(next) {
				t.Errorf("after the cooldown: got %v, %v, want the new key", set, err)
			}
		})
	}
	wg.Wait()
	p.wantHits(t, "after the cooldown", 2)

	// Whatever the headers allow, a withdrawn key is noticed after ten minutes.
	srv.RemoveKey(first)
	clock.Advance(10*time.Minute - time.Second)
	if set, err := get(time.Time{}); err != nil || !set.Has(first) {
		t.Errorf("within ten minutes: got %v, %v", set, err)
	}
	clock.Advance(time.Second)
	if set, err := get(time.Time{}); err != nil || set.Has(first) {
		t.Errorf("after ten minutes: got %v, %v, want no withdrawn key", set, err)
	}
	p.wantHits(t, "after ten minutes", 3)

	// Keys and documents don't get into each other's way, not even at one address.
	if got, err := fetch(t, f, uri); err == nil {
		t.Errorf("a key set as a document: got %s", got)
	}
	if set, err := get(time.Time{}); err != nil || !set.Has(next) {
		t.Errorf("got %v, %v", set, err)
	}
}

// What can't be read, or not be had, never replaces good keys, and is never anyone's
// fault but the server's.
func TestKeySetAway(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{})
	for name, handler := range map[string]http.HandlerFunc{
		"no keys":        body("application/json", `{"keys":[]}`),
		"an empty one":   body("application/json", `{}`),
		"HTML":           body("text/html", "<h1>sorry</h1>"),
		"a secret key":   body("application/json", `{"keys":[{"kty":"oct","k":"AAAA"}]}`),
		"too large":      body("application/json", `{"keys":[],"x":"`+strings.Repeat("x", clientdoc.MaxBody)+`"}`),
		"not found":      status(http.StatusNotFound),
		"gone":           status(http.StatusGone),
		"a server error": status(http.StatusInternalServerError),
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://127.0.0.1:1/keys", http.StatusFound)
		},
	} {
		clock := testkit.NewClock()
		p := newPublisher(t, handler)
		f := newFetcher(t, p, clientdoc.Config{Now: clock.Now})
		set, err := f.KeySet(t.Context(), p.URL+"/jwks", client, time.Time{})
		wantAway(t, name+", at first", set, err)

		clock.Advance(time.Minute)
		p.answer(keySet(srv))
		if set, err := f.KeySet(t.Context(), p.URL+"/jwks", client, time.Time{}); err != nil || set.Len() != 1 {
			t.Errorf("%s, repaired: got %v, %v", name, set, err)
		}
		p.answer(handler)
		clock.Advance(time.Hour)
		if set, err := f.KeySet(t.Context(), p.URL+"/jwks", client, time.Time{}); err != nil || set.Len() != 1 {
			t.Errorf("%s, later: got %v, %v, want the keys from before", name, set, err)
		}
		clock.Advance(time.Minute)
		set, err = f.KeySet(t.Context(), p.URL+"/jwks", client, clock.Now())
		wantAway(t, name+", for an unknown key", set, err)
		clock.Advance(24 * time.Hour)
		set, err = f.KeySet(t.Context(), p.URL+"/jwks", client, time.Time{})
		wantAway(t, name+", a day later", set, err)
	}
}

// The addresses come from anyone, so the same are refused as for documents.
func TestKeySetAddresses(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, func(http.ResponseWriter, *http.Request) { t.Error("asked") })
	f := newFetcher(t, p, clientdoc.Config{AllowPrivate: nil})
	_, port, _ := strings.Cut(strings.TrimPrefix(p.URL, "https://"), ":")
	closed := clientdoc.New(clientdoc.Config{})
	closed.Unpadded()
	t.Cleanup(closed.Close)
	closed.SetResolver(resolver(lookup))
	for _, uri := range []string{"", "http://a.example/keys", "https://a.example", "https://a.example/x/../keys", "https://user@a.example/keys", "https://a.example:22/keys", "file:///etc/passwd", "https://a.example/keys#x"} {
		set, err := f.KeySet(t.Context(), uri, client, time.Time{})
		if _, ok := errors.AsType[*clientdoc.InvalidError](err); !ok || set != nil {
			t.Errorf("%q: got %v, want an *InvalidError", uri, err)
		}
	}
	// example.com leads to loopback here.
	set, err := closed.KeySet(t.Context(), "https://keys.example.com:"+port+"/jwks", client, time.Time{})
	wantAway(t, "a name that leads to loopback", set, err)
}
