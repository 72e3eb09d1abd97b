package exchange

import (
	"errors"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

func TestKept(t *testing.T) {
	t.Parallel()
	n := 0
	e, s := exchanger(t, func(url.Values) (int, string) {
		n++
		return 200, fmt.Sprintf(`{"access_token":"t%d","token_type":"Bearer","expires_in":300}`, n)
	})
	start := s.now.Load()
	get := func(raw, subject string) string {
		t.Helper()
		got, err := e.For(t.Context(), raw, "", user(subject, time.Unix(start+1000, 0)))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for _, at := range []int64{0, 1, 289} {
		s.now.Store(start + at)
		if got := get("raw", "ada"); got != "t1" {
			t.Errorf("after %d s: got %s, want the first", at, got)
		}
	}
	s.now.Store(start + 290)
	if got := get("raw", "ada"); got != "t2" {
		t.Errorf("shortly before its end: got %s, want the second", got)
	}
	if got := get("other", "ada"); got != "t3" {
		t.Errorf("another token of the user: got %s", got)
	}
	// What the issuer says of a token may change, though it isn't likely to.
	if got := get("raw", "bob"); got != "t4" {
		t.Errorf("another user by the same token: got %s", got)
	}
	// The server behind refuses it.
	again := func(refused string) string {
		t.Helper()
		got, err := e.Again(t.Context(), "raw", "", refused, user("bob", time.Unix(start+1000, 0)))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := again("t4"); got != "t4" {
		t.Errorf("refused when it was new: got %s", got)
	}
	s.now.Add(5)
	if got := again("t4"); got != "t5" {
		t.Errorf("refused later: got %s", got)
	}
	if got := again("t4"); got != "t5" {
		t.Errorf("refused to one who was late: got %s, want the one that replaced it", got)
	}
	if got := get("other", "ada"); got != "t3" {
		t.Errorf("another was dropped: got %s", got)
	}
	// Never longer than the user's token.
	s.now.Store(start + 995)
	get("raw", "bob")
	s.now.Store(start + 1000)
	_, err := e.For(t.Context(), "raw", "", user("bob", time.Unix(start+1000, 0)))
	if inv, ok := errors.AsType[*token.InvalidError](err); !ok || inv.Reason != token.Expired {
		t.Errorf("after the user's token: got %v", err)
	}
}

// However many wait for a token, it is exchanged once.
func TestOneExchangeForAll(t *testing.T) {
	t.Parallel()
	arrived, answered := make(chan struct{}), make(chan struct{})
	e, s := exchanger(t, func(url.Values) (int, string) {
		close(arrived) // a second time panics
		<-answered
		return 200, good
	})
	var wg sync.WaitGroup
	var ok atomic.Int32
	for range 1000 {
		wg.Go(func() {
			if got, err := e.For(t.Context(), "raw", "", user("ada", time.Time{})); got == "for-backend" && err == nil {
				ok.Add(1)
			}
		})
	}
	<-arrived
	close(answered)
	wg.Wait()
	if ok.Load() != 1000 || s.asked() != 1 {
		t.Errorf("%d got the token, with %d exchanges", ok.Load(), s.asked())
	}
}

func TestSubjectExpiresMeanwhile(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{"a token": good, "a refusal": `{"error":"invalid_grant"}`} {
		var s *server
		e, s := exchanger(t, func(url.Values) (int, string) {
			s.now.Add(60)
			return map[bool]int{true: 200, false: 400}[body == good], body
		})
		_ = s
		got, err := e.For(t.Context(), "raw", "", user("ada", s.time().Add(30*time.Second)))
		if inv, ok := errors.AsType[*token.InvalidError](err); !ok || inv.Reason != token.Expired {
			t.Errorf("%s: got %q, %v, want that the token has expired", name, got, err)
		}
		// A client that keeps trying costs nothing.
		_, err = e.For(t.Context(), "another", "", user("ada", s.time()))
		if inv, ok := errors.AsType[*token.InvalidError](err); !ok || inv.Reason != token.Expired || s.asked() != 1 {
			t.Errorf("%s, again: got %v after %d exchanges, want that the token has expired, and one", name, err, s.asked())
		}
	}
}

// A refusal is asked for again after a while, not with each request.
func TestRefusalIsKept(t *testing.T) {
	t.Parallel()
	e, s := exchanger(t, always(400, `{"error":"invalid_grant"}`))
	for range 10 {
		if _, err := e.For(t.Context(), "raw", "", user("ada", time.Time{})); err == nil {
			t.Fatal("got a token")
		}
	}
	if s.asked() != 1 {
		t.Errorf("asked %d times", s.asked())
	}
	s.now.Add(5)
	s.answer = always(200, good)
	if got, err := e.For(t.Context(), "raw", "", user("ada", time.Time{})); got != "for-backend" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// A server that is down is left alone, and one user's bad luck shuts nobody out.
func TestBreaker(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, body string
		status     int
	}{{"down", "", 503}, {"without a connection", "", 0}, {"our secret refused", `{"error":"invalid_client"}`, 401}} {
		e, s := exchanger(t, always(tc.status, tc.body))
		for i := range 100 {
			if _, err := e.For(t.Context(), fmt.Sprint("raw", i), "", user("ada", time.Time{})); err == nil {
				t.Fatalf("%s: got a token", tc.name)
			}
			// The probe is made beside the requests.
			for i == 2 && s.asked() < 4 {
				time.Sleep(time.Millisecond)
			}
		}
		if n := s.asked(); n > 10 {
			t.Errorf("%s: asked %d times for 100 requests", tc.name, n)
		}
		s.answer = func(form url.Values) (int, string) {
			if form.Get("subject_token") == "rawx" {
				return 200, good
			}
			return 400, `{"error":"invalid_grant"}`
		}
		s.now.Add(60)
		if got, err := e.For(t.Context(), "rawx", "", user("ada", time.Time{})); got != "for-backend" || err != nil {
			t.Errorf("%s: after it is back: got %q, %v", tc.name, got, err)
		}
	}
	// A firewall that answers one token so doesn't shut the door for others.
	e, _ := exchanger(t, func(form url.Values) (int, string) {
		switch form.Get("subject_token") {
		case "evil":
			return 503, ""
		case "raw":
			return 200, good
		}
		return 400, `{"error":"invalid_grant"}`
	})
	for range 50 {
		_, err := e.For(t.Context(), "evil", "", user("eve", time.Time{}))
		if _, ok := errors.AsType[*outbound.UnavailableError](err); !ok {
			t.Fatalf("got %v", err)
		}
		e.verifier.Cache.Forget()
		if got, err := e.For(t.Context(), "raw", "", user("ada", time.Time{})); got != "for-backend" || err != nil {
			t.Fatalf("one user's token shuts another out: %v", err)
		}
	}
}
