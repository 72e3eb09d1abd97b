package authserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/upstream"
)

// from returns a context of a request from an address.
func from(ctx context.Context, address string) context.Context {
	return context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{caddyhttp.ClientIPVarKey: address})
}

func wantThrottled(t *testing.T, name string, err error, status int) {
	t.Helper()
	if e, ok := errors.AsType[*throttledError](err); !ok || e.status != status || e.seconds() <= 0 {
		t.Errorf("%s: got %v, want to wait, with %d", name, err, status)
	}
}

// What is guessed at, and how that is slowed down, is tested in internal/throttle.
func TestSignInWith(t *testing.T) {
	t.Parallel()
	ada := &User{Username: "ada"}
	right := func() (*User, error) { return ada, nil }
	wrong := func() (*User, error) { return nil, nil }
	broken := func() (*User, error) { return nil, errors.New("out of order") }
	newState := func() *serverState {
		s := newServerState(func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) })
		s.guesses.AddUsers([]string{"ada"})
		return s
	}
	here := from(t.Context(), "192.0.2.1")

	s := newState()
	for range 5 {
		if user, err := s.signInWith(here, "ada", "", wrong); user != nil || err != nil {
			t.Fatalf("a free attempt: %v, %v", user, err)
		}
	}
	_, err := s.signInWith(here, "ada", "", right)
	wantThrottled(t, "the sixth", err, http.StatusTooManyRequests)
	if user, err := s.signInWith(here, "ada", "a browser of hers", right); user != ada || err != nil {
		t.Errorf("a known browser: %v, %v", user, err)
	}
	if user, err := s.signInWith(from(t.Context(), "198.51.100.1"), "ada", "", right); user != ada || err != nil {
		t.Errorf("another network: %v, %v", user, err)
	}

	s = newState()
	for range 100 { // what could not be found out is no failure, nor is a success
		if _, err := s.signInWith(here, "ada", "", broken); err == nil {
			t.Fatal("no error")
		}
		if user, err := s.signInWith(here, "ada", "", right); user != ada || err != nil {
			t.Fatalf("got %v, %v", user, err)
		}
	}
}

// While passwords are checked as fast as they can be, a full queue refuses at once,
// and networks take turns.
func TestPasswordsWaitTheirTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServerState(time.Now)
		slow := func() (*User, error) { time.Sleep(time.Second); return nil, nil }
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		statuses := make(map[int]int)
		answers := make(chan int, 200)
		for i := range 200 {
			go func() {
				_, err := s.signInWith(from(ctx, fmt.Sprintf("2001:db8:0:%x::1", i)), fmt.Sprint("user", i), "", slow)
				e, _ := errors.AsType[*throttledError](err)
				if e == nil {
					e = &throttledError{status: 401}
				}
				answers <- e.status
			}()
		}
		synctest.Wait()
		for len(answers) > 0 {
			statuses[<-answers]++
		}
		if statuses[401] != 0 || statuses[429] == 0 || statuses[503] != 0 || s.passwords.Waiting() > maxWaitingPasswords {
			t.Errorf("at once: %v, %d wait", statuses, s.passwords.Waiting())
		}
		asked := time.Now()
		if _, err := s.signInWith(from(ctx, "198.51.100.1"), "ada", "", slow); err != nil {
			t.Errorf("another network: %v", err)
		}
		if took := time.Since(asked); took > 2*time.Second {
			t.Errorf("another network waits %s, want its turn to be next", took)
		}
		time.Sleep(time.Minute)
	})
}

func TestComeBackIsThrottled(t *testing.T) {
	t.Parallel()
	s := newServerState(func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) })
	passed := 0
	var err error
	for range 100 {
		var release func()
		if release, err = s.waitForUpstream(from(t.Context(), "192.0.2.1")); err == nil {
			passed++
			release()
		}
	}
	if passed != 60 {
		t.Errorf("%d pass, want 60", passed)
	}
	wantThrottled(t, "the next", err, http.StatusTooManyRequests)
	for i := range maxAtUpstreams {
		if _, err := s.waitForUpstream(from(t.Context(), fmt.Sprintf("10.0.%d.1", i))); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.waitForUpstream(from(ctx, "198.51.100.1"))
	wantThrottled(t, "all are at work", err, http.StatusServiceUnavailable)
}

// A stranger who says again and again that they come back from an upstream has it
// asked so often and no more.
func TestUpstreamIsAskedSoOften(t *testing.T) {
	t.Parallel()
	s, provider := withUpstreams(t)
	provider.finish = &upstream.InvalidError{Err: errors.New("no such code")}
	p := s.person()
	page := p.get(request(s.register("App", webSite), webSite))
	var got *shown
	for range 70 {
		p.get(page.link(upstreamPath + "first"))
		got = p.get(firstCallback)
	}
	if provider.finished != 60 || got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("asked %d times, want 60; then %d %s", provider.finished, got.status, got.text())
	}
}

// Honest bursts register, floods wait, and other networks notice nothing of it.
func TestRegistrationIsThrottled(t *testing.T) {
	t.Parallel()
	s := newTestSite(t)
	const good = `{"redirect_uris":["https://app.example/callback"],"token_endpoint_auth_method":"none"}`
	register := func(address, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(from(t.Context(), address), "POST", testIssuer+oauth.RegisterPath, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		if err := s.ServeHTTP(w, r, nil); err != nil {
			t.Fatal(err)
		}
		return w
	}
	for i := range 1000 { // a farm of machines behind one address
		if w := register("192.0.2.1", good); w.Code != http.StatusCreated {
			t.Fatalf("registration %d of a burst: got %d %s", i, w.Code, w.Body)
		}
	}
	for _, body := range []string{good, "not read"} {
		w := register("192.0.2.1", body)
		if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), `"temporarily_unavailable"`) {
			t.Errorf("one more: got %d, Retry-After %q, %s", w.Code, w.Header().Get("Retry-After"), w.Body)
		}
	}
	for _, other := range []string{"192.0.2.2", "198.51.100.1", "2001:db8::1"} {
		if w := register(other, good); w.Code != http.StatusCreated {
			t.Errorf("%s: got %d %s", other, w.Code, w.Body)
		}
	}
	s.clock = s.clock.Add(time.Second)
	for i := range 6 {
		if w := register("192.0.2.1", good); (w.Code == http.StatusCreated) != (i < 5) {
			t.Errorf("a second later, registration %d: got %d", i, w.Code)
		}
	}
	// A /24 has four times as much, however many addresses it has.
	passed := 0
	for i := range 10_000 {
		if register(fmt.Sprintf("203.0.113.%d", i&255), good).Code == http.StatusCreated {
			passed++
		}
	}
	if passed != 4000 {
		t.Errorf("%d registrations of a /24 pass at once, want 4000", passed)
	}
}
