package upstream_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/upstream"
)

func TestNewOIDC(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		config upstream.OIDCConfig
		label  string // empty: refused
	}{
		{"no issuer", upstream.OIDCConfig{ClientID: "a", ClientSecret: "b"}, ""},
		{"plain http", upstream.OIDCConfig{Issuer: "http://op.example", ClientID: "a", ClientSecret: "b"}, ""},
		{"no scheme", upstream.OIDCConfig{Issuer: "op.example", ClientID: "a", ClientSecret: "b"}, ""},
		{"no client_id", upstream.OIDCConfig{Issuer: "https://op.example", ClientSecret: "b"}, ""},
		{"no client_secret", upstream.OIDCConfig{Issuer: "https://op.example", ClientID: "a"}, ""},
		{"scopes without openid", upstream.OIDCConfig{Issuer: "https://op.example", ClientID: "a", ClientSecret: "b", Scopes: []string{"email"}}, ""},
		{"https", upstream.OIDCConfig{Issuer: "https://op.example/x", ClientID: "a", ClientSecret: "b"}, "op.example"},
		{"loopback", upstream.OIDCConfig{Issuer: "http://127.0.0.1:1", ClientID: "a", ClientSecret: "b"}, "127.0.0.1:1"},
		{"label", upstream.OIDCConfig{Issuer: "https://op.example", ClientID: "a", ClientSecret: "b", Label: "Work"}, "Work"},
	} {
		o, err := upstream.NewOIDC(test.config)
		switch {
		case test.label == "" && err == nil:
			t.Errorf("%s: got no error, want one", test.name)
		case test.label != "" && err != nil:
			t.Errorf("%s: got %v, want none", test.name, err)
		case err == nil && o.Label() != test.label:
			t.Errorf("%s: got the label %q, want %q", test.name, o.Label(), test.label)
		}
	}
}

func TestBegin(t *testing.T) {
	t.Parallel()
	f := newOP(t)
	f.metadata["authorization_endpoint"] = f.issuer + "/authorize?p=policy"
	o := f.oidc(t, nil)
	if got := f.count(discoveryPath); got != 0 {
		t.Errorf("got %d requests before the first sign-in, want 0", got)
	}
	seen := make(map[string]bool)
	for range 2 {
		address, p, err := o.Begin(t.Context(), redirectURI, upstream.Wish{})
		if err != nil {
			t.Fatal(err)
		}
		if want := f.issuer + "/authorize?p=policy&"; !strings.HasPrefix(address, want) {
			t.Errorf("got %q, want it to begin with %q", address, want)
		}
		query := f.authorize(t, address)
		for name, want := range map[string]string{
			"response_type": "code", "client_id": clientID, "redirect_uri": redirectURI, "scope": "openid profile email",
			"state": p.State, "nonce": p.Nonce, "code_challenge_method": "S256",
		} {
			if got := query.Get(name); got != want {
				t.Errorf("got %s=%q, want %q", name, got, want)
			}
		}
		if strings.Contains(address, p.Verifier) || strings.Contains(address, url.QueryEscape(clientSecret)) {
			t.Errorf("got %q, want neither the verifier nor the secret in it", address)
		}
		for _, value := range []string{p.State, p.Nonce, p.Verifier, query.Get("code_challenge")} {
			if len(value) < 40 || seen[value] {
				t.Errorf("got the value %q, want a long new one", value)
			}
			seen[value] = true
		}
		// The fake redeems the code for the verifier of this challenge only.
		if _, err := o.Finish(t.Context(), redirectURI, p, url.Values{"state": {p.State}, "code": {code}}); err != nil {
			t.Errorf("got %v, want none", err)
		}
		p.Verifier = "another"
		_, err = o.Finish(t.Context(), redirectURI, p, url.Values{"state": {p.State}, "code": {code}})
		if got := kind(err); got != "invalid" {
			t.Errorf("got %s (%v) with another verifier, want invalid", got, err)
		}
	}
	if got := f.count(discoveryPath); got != 1 {
		t.Errorf("got %d discoveries, want 1", got)
	}
}

// TestProviderDown: at Begin and at Finish, and back without a restart.
func TestProviderDown(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		text    string // in the error, to tell the operator
	}{
		{"500", answer(http.StatusInternalServerError, "text/plain", "sesame"), "500"},
		{"404 in HTML", answer(http.StatusNotFound, "text/html", "<p>\nsesame"), "404"},
		{"HTML", answer(http.StatusOK, "text/html", "<p>sesame"), ""},
		{"a list", answer(http.StatusOK, "application/json", `["sesame"]`), ""},
		{"an empty object", answer(http.StatusOK, "application/json", `{}`), "issuer"},
		{"another issuer", answer(http.StatusOK, "application/json", `{"issuer":"https://evil.example"}`), "evil.example"},
		{"another issuer of 1 kB", answer(http.StatusOK, "application/json", `{"issuer":"`+strings.Repeat("x", 1000)+`"}`), "issuer"},
		{"too much", answer(http.StatusOK, "application/json", strings.Repeat(" ", 1<<20)+"{}"), ""},
		{"broken off", brokenOff, ""},
		{"closed", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newOP(t)
			now := time.Now()
			o := f.oidc(t, func(c *upstream.OIDCConfig) { c.Now = func() time.Time { return now } })
			good := f.handlers[discoveryPath]
			f.handle(discoveryPath, test.handler)
			address, p, err := o.Begin(t.Context(), redirectURI, upstream.Wish{})
			checkRefused(t, upstream.Identity{}, err, "unavailable")
			if address != "" || p != (upstream.Pending{}) {
				t.Errorf("got %q and %+v with the error, want nothing", address, p)
			}
			if !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %q, want %q in it", err, test.text)
			}
			id, err := o.Finish(t.Context(), redirectURI, upstream.Pending{State: "s"}, url.Values{"state": {"s"}, "code": {code}})
			checkRefused(t, id, err, "unavailable")
			// One that hangs must not block all others.
			if n := f.count(discoveryPath); n != 1 {
				t.Errorf("asked %d times within 5 s, want once", n)
			}
			f.handle(discoveryPath, good)
			now = now.Add(5 * time.Second)
			if _, err := f.signIn(t, o, nil); err != nil {
				t.Errorf("got %v when the provider is back, want none", err)
			}
		})
	}
}

// Metadata may have moved on the same server.
func TestMetadataMoved(t *testing.T) {
	t.Parallel()
	f := newOP(t)
	f.handle("/moved", f.handlers[discoveryPath])
	f.handle(discoveryPath, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/moved", http.StatusMovedPermanently)
	})
	if _, err := f.signIn(t, f.oidc(t, nil), nil); err != nil {
		t.Errorf("got %v, want none", err)
	}
}

// TestEndpointsRefused: the secret and the code go there, and the browser.
func TestEndpointsRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"} {
		for _, address := range []any{nil, "", "/relative", "http://op.example/x", "javascript:alert(1)"} {
			if name == "userinfo_endpoint" && (address == nil || address == "") {
				continue // optional
			}
			f := newOP(t)
			f.metadata[name] = address
			_, _, err := f.oidc(t, nil).Begin(t.Context(), redirectURI, upstream.Wish{})
			if got := kind(err); got != "unavailable" || !strings.Contains(err.Error(), name) {
				t.Errorf("%s %v: got %s (%v), want unavailable, naming it", name, address, got, err)
			}
		}
	}
}

// Stale metadata is refreshed in the background. While the provider is down, it stays
// in use for a day.
func TestMetadataKeptAndRefreshed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := prepareOP(t, "https://op.example")
		o := f.oidc(t, nil)
		start := time.Now()
		good := f.handlers[discoveryPath]
		down := func() { f.handle(discoveryPath, answer(http.StatusBadGateway, "text/plain", "sesame")) }
		moved := func(path string) func() {
			return func() { f.change(func() { f.metadata["authorization_endpoint"] = f.issuer + path }) }
		}
		for _, step := range []struct {
			name  string
			after time.Duration
			do    func()
			path  string // empty: unavailable
			count int
		}{
			{"first", 0, func() {}, "/authorize", 1},
			{"changed, but fresh", time.Hour - time.Second, moved("/authorize2"), "/authorize", 1},
			{"an hour old", time.Hour, func() {}, "/authorize2", 2},
			{"fresh again", 2*time.Hour - time.Second, func() {}, "/authorize2", 2},
			{"down", 2 * time.Hour, down, "/authorize2", 3},
			{"down just now", 2*time.Hour + time.Second - 1, func() {}, "/authorize2", 3},
			{"still down", 2*time.Hour + time.Second, func() {}, "/authorize2", 4},
			{"back", 3 * time.Hour, func() { moved("/authorize3")(); f.handle(discoveryPath, good) }, "/authorize3", 5},
			{"down for almost a day", 27*time.Hour - time.Second, down, "/authorize3", 6},
			{"down for a day", 27 * time.Hour, func() {}, "", 7},
			{"back again", 28 * time.Hour, func() { f.handle(discoveryPath, good) }, "/authorize3", 8},
		} {
			step.do()
			time.Sleep(step.after - time.Since(start))
			_, _, _ = o.Begin(t.Context(), redirectURI, upstream.Wish{}) // begins to refresh
			synctest.Wait()
			address, _, err := o.Begin(t.Context(), redirectURI, upstream.Wish{})
			path, _, _ := strings.Cut(strings.TrimPrefix(address, f.issuer), "?")
			if path != step.path || (err == nil) != (step.path != "") {
				t.Errorf("%s: got %q, %v, want %q", step.name, path, err, step.path)
			}
			if got := f.count(discoveryPath); got != step.count {
				t.Errorf("%s: got %d discoveries, want %d", step.name, got, step.count)
			}
		}
	})
}

func TestOneDiscoveryForMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := prepareOP(t, "https://op.example")
		open := make(chan struct{})
		good := f.handlers[discoveryPath]
		f.handle(discoveryPath, func(w http.ResponseWriter, r *http.Request) { <-open; good(w, r) })
		o := f.oidc(t, nil)
		first, leave := context.WithCancel(context.Background())
		defer leave()
		var wg sync.WaitGroup
		for i := range 20 {
			ctx, want := context.Background(), "none"
			if i == 0 {
				ctx, want = first, "unavailable"
			}
			wg.Go(func() {
				if _, _, err := o.Begin(ctx, redirectURI, upstream.Wish{}); kind(err) != want {
					t.Errorf("caller %d: got %v, want %s", i, err, want)
				}
			})
			synctest.Wait()
		}
		leave() // whose request it was; the others must not suffer from it
		synctest.Wait()
		close(open)
		wg.Wait()
		if got := f.count(discoveryPath); got != 1 {
			t.Errorf("got %d discoveries, want 1", got)
		}
	})
}
