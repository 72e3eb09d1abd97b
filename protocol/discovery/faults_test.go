package discovery_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
)

func TestRedirects(t *testing.T) {
	t.Parallel()
	elsewhere := newServer(t, oauthtest.Options{})
	tests := []struct {
		name  string
		fault oauthtest.Fault
		want  bool
		asked int
	}{
		{"within the origin", oauthtest.Times(1, oauthtest.Redirect(301, "/jwks")), true, 2},
		{"three in a row", oauthtest.Times(3, oauthtest.Redirect(302, "/jwks")), true, 4},
		{"four in a row", oauthtest.Times(4, oauthtest.Redirect(302, "/jwks")), false, 4},
		{"in a circle", oauthtest.Redirect(307, "/jwks"), false, 4},
		{"to another port", oauthtest.Redirect(302, elsewhere.Endpoint(oauthtest.JWKS)), false, 1},
		{"to https", func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
			http.Redirect(w, r, "https://"+r.Host+"/jwks", http.StatusFound)
		}, false, 1},
		{"to another name of the host", func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
			http.Redirect(w, r, "http://"+strings.Replace(r.Host, "127.0.0.1", "localhost", 1)+"/jwks", http.StatusFound)
		}, false, 1},
		{"to a file", oauthtest.Redirect(302, "file:///etc/passwd"), false, 1},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			srv := newServer(t, oauthtest.Options{})
			srv.SetFault(oauthtest.JWKS, tc.fault)
			iss := newIssuer(t, discovery.Config{Issuer: srv.Issuer()})
			set, err := iss.KeySet(t.Context(), time.Time{})
			if got := err == nil; got != tc.want {
				t.Errorf("got %v, %v, want followed %t", set, err, tc.want)
			}
			if got := srv.Count(oauthtest.JWKS); got != tc.asked {
				t.Errorf("got %d requests, want %d", got, tc.asked)
			}
		})
	}
	t.Cleanup(func() {
		if got := elsewhere.Count(oauthtest.Any); got != 0 {
			t.Errorf("got %d requests elsewhere, want none", got)
		}
	})
}

// An answer without end is read up to the bound and then hung up on.
func TestBodyBounded(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []oauthtest.Endpoint{oauthtest.Metadata, oauthtest.JWKS} {
		t.Run(string(endpoint), func(t *testing.T) {
			t.Parallel()
			var written atomic.Int64
			srv := newServer(t, oauthtest.Options{MetadataAt: oauthtest.RFC8414Insert})
			srv.SetFault(endpoint, at("", func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
				if strings.Contains(r.URL.Path, "openid") {
					http.NotFound(w, r)
					return
				}
				chunk := []byte(strings.Repeat(" ", 1<<16))
				for range 1 << 14 { // a gibibyte
					n, err := w.Write(chunk)
					written.Add(int64(n))
					if err != nil {
						return
					}
				}
			}))
			iss := newIssuer(t, discovery.Config{Issuer: srv.Issuer()})
			set, err := iss.KeySet(t.Context(), time.Time{})
			if una := wantUnavailable(t, "endless", set, err); !strings.Contains(una.Error(), "larger than") {
				t.Errorf("got %v, want an error that says why", una)
			}
			// What the kernel buffers counts as written.
			if got, most := written.Load(), int64(64<<20); got > most {
				t.Errorf("got %d bytes taken in, want fewer than %d", got, most)
			}
		})
	}
}

// An issuer that doesn't come to an end is given up on.
func TestHang(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		endpoint oauthtest.Endpoint
		fault    oauthtest.Fault
	}{
		"metadata hangs":  {oauthtest.Metadata, oauthtest.Hang()},
		"keys hang":       {oauthtest.JWKS, oauthtest.Hang()},
		"keys hang later": {oauthtest.JWKS, oauthtest.HangBody()},
		"keys drip":       {oauthtest.JWKS, oauthtest.Drip(100 * time.Millisecond)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, oauthtest.Options{}, func(t *testing.T, srv *oauthtest.Server, config discovery.Config) {
				srv.SetFault(tc.endpoint, tc.fault)
				began := time.Now()
				set, err := newIssuer(t, config).KeySet(t.Context(), time.Time{})
				wantUnavailable(t, name, set, err)
				if got, want := time.Since(began), 5*time.Second; got != want {
					t.Errorf("given up on after %v, want %v", got, want)
				}
			})
		})
	}
}

// Valid traffic doesn't notice that a stranger makes us ask a hanging issuer.
func TestHangUnnoticed(t *testing.T) {
	t.Parallel()
	c := testkit.NewClock()
	srv := newServer(t, oauthtest.Options{})
	iss := newIssuer(t, discovery.Config{Issuer: srv.Issuer(), Now: c.Now})
	good := keysOf(t, iss, time.Time{})
	srv.SetFault(oauthtest.Any, oauthtest.Hang())
	c.Advance(time.Hour)

	ctx, cancel := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	for range 40 {
		flood.Go(func() {
			set, err := iss.KeySet(ctx, c.Now())
			if err == nil {
				t.Errorf("unknown key: got %v, want an error", set)
			}
		})
	}
	testkit.Eventually(t, "a fetch that hangs", func() bool { return srv.Count(oauthtest.JWKS) == 2 })
	canceled, stop := context.WithCancel(t.Context())
	stop() // shows that nothing is waited for
	for range 100 {
		if set, err := iss.KeySet(canceled, time.Time{}); err != nil || set != good {
			t.Errorf("known key: got %v, %v, want the keys at hand", set, err)
		}
	}
	cancel()
	flood.Wait()
	if got := srv.Count(oauthtest.JWKS); got != 2 {
		t.Errorf("got %d fetches, want 2", got)
	}
}

// One fetch serves all callers, however many there are and whichever leave.
func TestOneFetchForAll(t *testing.T) {
	t.Parallel()
	srv := newServer(t, oauthtest.Options{})
	release := make(chan struct{})
	srv.SetFault(oauthtest.JWKS, oauthtest.Hold(release))
	iss := newIssuer(t, discovery.Config{Issuer: srv.Issuer()})

	first, hangUp := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := iss.KeySet(first, time.Time{})
		gone <- err
	}()
	testkit.Eventually(t, "the first fetch", func() bool { return srv.Count(oauthtest.JWKS) == 1 })
	var callers sync.WaitGroup
	for range 200 {
		callers.Go(func() {
			if set, err := iss.KeySet(t.Context(), time.Time{}); err != nil || set.Len() != 1 {
				t.Errorf("got %v, %v, want one key", set, err)
			}
		})
	}
	hangUp()
	wantUnavailable(t, "who hung up", nil, <-gone)
	close(release)
	callers.Wait()
	if got, want := srv.Count(oauthtest.Any), 2; got != want {
		t.Errorf("got %d requests, want %d: metadata and keys", got, want)
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	srv := newServer(t, oauthtest.Options{})
	ended := make(chan struct{})
	srv.SetFault(oauthtest.JWKS, func(_ http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		<-r.Context().Done()
		close(ended)
	})
	iss := newIssuer(t, discovery.Config{Issuer: srv.Issuer()})
	answered := make(chan error)
	go func() {
		_, err := iss.KeySet(t.Context(), time.Time{})
		answered <- err
	}()
	testkit.Eventually(t, "the fetch", func() bool { return srv.Count(oauthtest.JWKS) == 1 })
	iss.Close()
	wantUnavailable(t, "waiting when closed", nil, <-answered)
	<-ended
	set, err := iss.KeySet(t.Context(), time.Time{})
	wantUnavailable(t, "after that", set, err)
	iss.Close() // once more does no harm
}

func TestOnFetch(t *testing.T) {
	t.Parallel()
	c := testkit.NewClock()
	srv := newServer(t, oauthtest.Options{})
	var seen outcomes
	iss := newIssuer(t, discovery.Config{Issuer: srv.Issuer(), Now: c.Now, OnFetch: seen.OnFetch})
	check := func(step string, want ...string) {
		t.Helper()
		if got := seen.take(); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", step, got, want)
		}
	}
	check("before anybody asked")
	srv.SetFault(oauthtest.Metadata, oauthtest.Status(500))
	_, _ = iss.KeySet(t.Context(), time.Time{})
	check("no metadata", "metadata failed")
	srv.SetFault(oauthtest.Metadata, nil)
	srv.SetFault(oauthtest.JWKS, oauthtest.EmptyKeys())
	c.Advance(time.Minute)
	_, _ = iss.KeySet(t.Context(), time.Time{})
	check("no keys", "metadata", "keys failed")
	srv.SetFault(oauthtest.JWKS, nil)
	c.Advance(time.Minute)
	keysOf(t, iss, time.Time{})
	check("good", "keys")
	keysOf(t, iss, time.Time{})
	check("kept")
}

func TestRequests(t *testing.T) {
	t.Parallel()
	srv := newServer(t, oauthtest.Options{})
	keysOf(t, newIssuer(t, discovery.Config{Issuer: srv.Issuer()}), time.Time{})
	for _, r := range srv.Requests() {
		if r.Method != http.MethodGet || r.Auth != "none" || r.Body != "" || r.Header.Get("Cookie") != "" || r.Header.Get("Accept") != "application/json" {
			t.Errorf("got %s %s, auth %s, header %v, want a plain GET for JSON", r.Method, r.Path, r.Auth, r.Header)
		}
	}
}

// An answer given before the call began doesn't count as one to it, though it
// arrives later.
func TestAnswerUnderWay(t *testing.T) {
	t.Parallel()
	bubble(t, oauthtest.Options{}, func(t *testing.T, srv *oauthtest.Server, config discovery.Config) {
		taken, release := make(chan struct{}), make(chan struct{})
		srv.SetFault(oauthtest.JWKS, oauthtest.Times(1, func(w http.ResponseWriter, r *http.Request, honest http.HandlerFunc) {
			answer := httptest.NewRecorder()
			honest(answer, r)
			close(taken)
			<-release
			_, _ = w.Write(answer.Body.Bytes())
		}))
		iss := newIssuer(t, config)
		var callers sync.WaitGroup
		callers.Go(func() { _, _ = iss.KeySet(t.Context(), time.Time{}) })
		<-taken
		time.Sleep(time.Millisecond) // now the answer is older than the call
		srv.Rotate(true)
		callers.Go(func() {
			if set, err := iss.KeySet(t.Context(), time.Now()); err != nil || set.Len() != 2 {
				t.Errorf("got %v (%v), want 2 keys: the second was published before the call", set, err)
			}
		})
		synctest.Wait() // it waits for the answer that is under way
		close(release)
		callers.Wait()
	})
}
