package session_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/storetest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/session"
)

// A session that began without a user becomes that of the first user who uses it, at
// every server of the cluster and after a restart.
func TestTakeover(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"header", "query"} {
		s := newServer("key", storetest.New())
		var ask func(s *server, owner session.Owner) got
		if kind == "header" {
			early := s.begin(t, nobody, "s")
			if len(early) != len("s.")+27 {
				t.Errorf("got %q", early)
			}
			ask = func(s *server, owner session.Owner) got { return s.ask(t, owner, early, "-", "") }
		} else {
			endpoint := s.stream(t, nobody, "-", "event: endpoint\ndata: /m?sessionId=s\n\n")
			_, query, _ := strings.Cut(strings.TrimSpace(endpoint), "?")
			ask = func(s *server, owner session.Owner) got { return s.ask(t, owner, "-", "-", query) }
		}
		other, restarted := newServer("key", s.store), newServer("key", s.store)
		for range 2 {
			for _, at := range []*server{s, other} {
				if g := ask(at, nobody); g.err != nil || g.session+g.query != "s" && g.query != "sessionId=s" {
					t.Errorf("%s: before: got %q, %q, %v", kind, g.session, g.query, g.err)
				}
			}
		}
		if g := ask(s, alice); g.err != nil || !g.TookOver {
			t.Errorf("%s: the first user: got %t, %v", kind, g.TookOver, g.err)
		}
		for _, at := range []*server{s, other, restarted, other} {
			if got := ask(at, bob).reason(t); got != session.TakenOver {
				t.Errorf("%s: another user: got %q", kind, got)
			}
			if got := ask(at, nobody).reason(t); got != session.TakenOver {
				t.Errorf("%s: nobody: got %q", kind, got)
			}
			if g := ask(at, alice); g.err != nil || g.TookOver {
				t.Errorf("%s: the first user again: got %t, %v", kind, g.TookOver, g.err)
			}
		}
	}
}

// The owner of a session that was taken over resumes streams from before and after.
func TestTakeoverKeepsEvents(t *testing.T) {
	t.Parallel()
	s := newServer("key", storetest.New())
	early := s.begin(t, nobody, "s")
	before := s.eventID(t, nobody, early, "1")
	after := s.eventID(t, alice, early, "2")
	for id, event := range map[string]string{"1": before, "2": after} {
		if g := s.ask(t, alice, early, event, ""); g.err != nil || g.event != id {
			t.Errorf("event %s: got %q, %v", id, g.event, g.err)
		}
		for _, owner := range []session.Owner{bob, nobody} {
			if got := s.ask(t, owner, early, event, "").reason(t); got != session.TakenOver {
				t.Errorf("event %s for %q: got %q", id, owner.Subject, got)
			}
		}
	}
}

// Of many users at once, at several servers, one takes the session over.
func TestTakeoverHappensOnce(t *testing.T) {
	t.Parallel()
	store := storetest.New()
	early := newServer("key", store).begin(t, nobody, "s")
	var mu sync.Mutex
	var winners []string
	var wg sync.WaitGroup
	for _, subject := range strings.Split("abcdefghijklmnop", "") {
		s := newServer("key", store)
		wg.Go(func() {
			owner := session.Owner{Issuer: "https://as.example", Subject: subject}
			if g := s.ask(t, owner, early, "-", ""); g.err == nil {
				mu.Lock()
				defer mu.Unlock()
				winners = append(winners, subject)
			}
		})
	}
	wg.Wait()
	if len(winners) != 1 {
		t.Errorf("got %q", winners)
	}
}

// A session that nobody takes over ends after a day. One that was taken over lasts while
// it is used, and can't be used by others when that is forgotten.
func TestTakeoverMemory(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	s := newServer("key", storetest.New())
	early, unused := s.begin(t, nobody, "s"), s.begin(t, nobody, "u")
	s.now = s.now.Add(day)
	for _, id := range []string{early, unused} {
		if g := s.ask(t, nobody, id, "-", ""); g.err != nil {
			t.Errorf("after a day: got %v", g.err)
		}
	}
	if g := s.ask(t, alice, early, "-", ""); g.err != nil {
		t.Fatal(g.err)
	}
	s.now = s.now.Add(time.Second)
	for _, owner := range []session.Owner{alice, nobody} {
		if got := s.ask(t, owner, unused, "-", "").reason(t); got != session.Expired {
			t.Errorf("%q, after more than a day: got %q", owner.Subject, got)
		}
	}
	sweep := func(want int) {
		t.Helper()
		if err := s.Takeovers.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(s.store.Keys("taken/")); got != want {
			t.Errorf("%s: got %d records, want %d", s.now, got, want)
		}
	}
	for range 10 {
		s.now = s.now.Add(5 * day)
		sweep(1)
		if g := s.ask(t, alice, early, "-", ""); g.err != nil {
			t.Errorf("%s: got %v", s.now, g.err)
		}
	}
	s.now = s.now.Add(7 * day)
	sweep(1)
	s.now = s.now.Add(time.Second)
	sweep(0)
	for _, owner := range []session.Owner{alice, bob, nobody} {
		for name, at := range map[string]*server{"here": s, "at another": {Binder: newServer("key", s.store).Binder}} {
			if name != "here" {
				at.Now = s.Now
			}
			if got := at.ask(t, owner, early, "-", "").reason(t); got != session.Expired {
				t.Errorf("%q %s: got %q", owner.Subject, name, got)
			}
		}
	}
}

// What can't be found out is not open.
func TestTakeoverUnavailable(t *testing.T) {
	t.Parallel()
	failure := errors.New("away")
	s := newServer("key", storetest.New())
	mine, early, taken := s.begin(t, alice, "a"), s.begin(t, nobody, "n"), s.begin(t, nobody, "t")
	if g := s.ask(t, alice, taken, "-", ""); g.err != nil {
		t.Fatal(g.err)
	}
	for _, operation := range []string{"load", "lock", "store"} {
		s.store.Fail(func(op, _ string) error {
			if op == operation {
				return failure
			}
			return nil
		})
		if g := s.ask(t, alice, early, "-", ""); g.reason(t) != "unavailable" || !errors.Is(g.err, failure) {
			t.Errorf("%s: got %v", operation, g.err)
		}
		if got := s.ask(t, nobody, early, "-", "").reason(t); operation == "load" && got != "unavailable" {
			t.Errorf("nobody: got %q", got)
		}
		// These need no store.
		for _, id := range []string{mine, taken} {
			if g := s.ask(t, alice, id, "-", ""); g.err != nil {
				t.Errorf("%s: got %v", operation, g.err)
			}
			if g := s.ask(t, bob, id, "-", ""); g.err == nil {
				t.Errorf("%s: another user got in", operation)
			}
		}
	}
	s.store.Fail(nil)
	s.store.Put(s.store.Keys("taken/")[0], []byte("{}"))
	if got := newServer("key", s.store).ask(t, alice, taken, "-", "").reason(t); got != "unavailable" {
		t.Errorf("a damaged record: got %q", got)
	}
	s.busy = true
	if got := s.ask(t, alice, early, "-", "").reason(t); got != session.Busy {
		t.Errorf("too many: got %q", got)
	}
	if g := s.ask(t, nobody, early, "-", ""); g.err != nil {
		t.Errorf("nobody while there are too many: got %v", g.err)
	}

	s.away = failure
	for _, sent := range []got{{session: mine}, {event: mine}, {query: "sessionId=" + mine}, {session: "x"}} {
		if g := s.ask(t, alice, or(sent.session), or(sent.event), sent.query); g.reason(t) != "unavailable" || !errors.Is(g.err, failure) {
			t.Errorf("without a key: got %v", g.err)
		}
	}
	g := s.ask(t, alice, "-", "-", "x=y")
	if g.err != nil {
		t.Fatalf("without a session: got %v", g.err)
	}
	var unavailable *session.UnavailableError
	if tagged, _, err := g.Session(t.Context(), "s"); tagged != "" || !errors.As(err, &unavailable) {
		t.Errorf("a new session without a key: got %q, %v", tagged, err)
	}
	for _, text := range []string{"id: 1\n\n", "event: endpoint\ndata: ?sessionId=1\n\n"} {
		var to strings.Builder
		if _, err := g.Events(t.Context(), &to).Write([]byte(text)); !errors.As(err, &unavailable) || to.Len() > 0 {
			t.Errorf("%q without a key: got %q, %v", text, to.String(), err)
		}
	}
}

func or(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// What the server knows without asking the store is bounded, and needn't be complete.
func TestKnownIsBounded(t *testing.T) {
	t.Parallel()
	s := newServer("key", storetest.New())
	var ids []string
	for i := range 10_100 {
		id := s.begin(t, nobody, strings.Repeat("x", i%100)+string(rune('a'+i/100%26))+string(rune('a'+i/2600)))
		ids = append(ids, id)
		if g := s.ask(t, alice, id, "-", ""); g.err != nil {
			t.Fatal(g.err)
		}
	}
	asked := 0
	s.store.Fail(func(string, string) error { asked++; return nil })
	for _, id := range ids {
		if g := s.ask(t, bob, id, "-", ""); g.reason(t) != session.TakenOver {
			t.Fatalf("got %v", g.err)
		}
	}
	if asked < 100 || asked > 10_000 {
		t.Errorf("the store was asked %d times", asked)
	}
}
