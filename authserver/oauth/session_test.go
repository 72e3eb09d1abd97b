package oauth

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
)

func (f *fixture) session(user User) SessionID {
	f.t.Helper()
	id, err := f.StartSession(f.t.Context(), user, time.Hour)
	if err != nil {
		f.t.Fatal(err)
	}
	return id
}

// signedIn reports whether the session's user is signed in.
func (f *fixture) signedIn(id SessionID) bool {
	f.t.Helper()
	u, err := f.SessionUser(f.t.Context(), id, time.Hour)
	if err != nil {
		f.t.Fatal(err)
	}
	return u != nil && u.Subject == id.Subject
}

func TestSession(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.session(testUser)
	u, err := f.SessionUser(t.Context(), id, time.Hour)
	if err != nil || u == nil || u.Username != "ada" || !u.SignedIn.Equal(f.clock.Now()) {
		t.Fatalf("got %+v, %v, want the user, signed in just now", u, err)
	}
	for name, other := range map[string]SessionID{
		"none":            {},
		"another":         {Subject: "ada", ID: "x"},
		"another user's":  {Subject: "bob", ID: id.ID},
		"of no user":      {ID: id.ID},
		"the user's name": {Subject: "ada"},
	} {
		if u, err := f.SessionUser(t.Context(), other, time.Hour); u != nil || err != nil {
			t.Errorf("%s: got %+v, %v", name, u, err)
		}
		if err := f.EndSession(t.Context(), other); err != nil {
			t.Errorf("%s: ending it: %v", name, err)
		}
	}
	if !f.signedIn(id) {
		t.Fatal("the end of another session has ended this one")
	}
	again := f.session(testUser)
	for range 2 {
		if err := f.EndSession(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if f.signedIn(id) || !f.signedIn(again) {
			t.Error("not one session has ended, but both, or none")
		}
	}
	f.clock.Advance(time.Hour)
	if f.signedIn(again) {
		t.Error("a session outlives its time")
	}
}

// A user who may no longer be here is signed in nowhere.
func TestSessionAsksForTheUser(t *testing.T) {
	t.Parallel()
	var said error
	f := newFixture(t, func(c *Config) { c.CheckUser = func(context.Context, User) error { return said } })
	id := f.session(testUser)
	if !f.signedIn(id) {
		t.Error("not signed in")
	}
	said = errors.New("another password")
	if f.signedIn(id) {
		t.Error("signed in in spite of that")
	}
	said = &outbound.UnavailableError{Err: errors.New("the directory")}
	if u, err := f.SessionUser(t.Context(), id, time.Hour); u != nil || !errors.Is(err, said) {
		t.Errorf("while that can't be found out: got %+v, %v", u, err)
	}
}

func TestEndSessions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	here, there, bob := f.session(testUser), f.session(testUser), f.session(User{Subject: "bob"})
	if err := f.EndSessions(t.Context(), here); err != nil {
		t.Fatal(err)
	}
	if f.signedIn(here) || f.signedIn(there) || !f.signedIn(bob) {
		t.Error("not all sessions of the user have ended, or others' as well")
	}
}

// Nobody is signed in while the store is away, and nobody is told that a session
// has ended which hasn't.
func TestSessionsWithoutStore(t *testing.T) {
	t.Parallel()
	for _, broken := range []string{"load", "store", "delete", "list"} {
		f := newFixture(t)
		here, there := f.session(testUser), f.session(testUser)
		f.store.Fail(func(operation, _ string) error {
			if operation == broken {
				return errStore
			}
			return nil
		})
		_, startErr := f.StartSession(t.Context(), testUser, time.Hour)
		u, err := f.SessionUser(t.Context(), here, time.Hour)
		if broken == "load" && (u != nil || !errors.Is(err, errStore)) {
			t.Errorf("%s: got %+v, %v", broken, u, err)
		}
		if (broken == "store" || broken == "list") && !errors.Is(startErr, errStore) {
			t.Errorf("%s: a session starts: %v", broken, startErr)
		}
		one, all := f.EndSession(t.Context(), there), f.EndSessions(t.Context(), here)
		f.store.Fail(nil)
		if one == nil && f.signedIn(there) {
			t.Errorf("%s: a session that has ended goes on", broken)
		}
		if all == nil && (f.signedIn(here) || f.signedIn(there)) {
			t.Errorf("%s: sessions that have ended go on", broken)
		}
		if all != nil && !f.signedIn(here) {
			t.Errorf("%s: the user can't try again", broken)
		}
	}
}

// A store that calls its records absent while it is away has ended nothing.
func TestEndSessionsInAnEmptyStore(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.session(testUser)
	f.store.Clear()
	if err := f.EndSessions(t.Context(), id); err == nil {
		t.Error("all sessions have ended, says a store that knows of none")
	}
}

func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var ids []SessionID
	for range maxSessions + 5 {
		ids = append(ids, f.session(testUser))
		f.clock.Advance(time.Second)
	}
	if got := len(f.store.Keys(sessionsPrefix)); got != maxSessions {
		t.Errorf("got %d sessions, want %d", got, maxSessions)
	}
	if slices.ContainsFunc(ids[:5], f.signedIn) || slices.ContainsFunc(ids[5:], func(id SessionID) bool { return !f.signedIn(id) }) {
		t.Error("not the oldest have made room")
	}
	f.clock.Advance(2 * time.Hour)
	if err := f.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := f.store.Keys(sessionsPrefix); len(got) > 0 {
		t.Errorf("left after all have expired: %d", len(got))
	}
}

// A lifetime that is shortened holds for the sessions that there are.
func TestShorterSessions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.session(testUser) // for an hour
	for _, test := range []struct {
		name     string
		wait     time.Duration
		lifetime time.Duration
		want     bool
	}{
		{"the same", 0, time.Hour, true},
		{"longer", 0, 2 * time.Hour, true},
		{"shorter, before", 10*time.Minute - time.Second, 10 * time.Minute, true},
		{"shorter", time.Second, 10 * time.Minute, false},
		{"taken back", 0, time.Hour, true},
		{"longer, when it is over", time.Hour, 2 * time.Hour, false},
	} {
		f.clock.Advance(test.wait)
		u, err := f.SessionUser(t.Context(), id, test.lifetime)
		if err != nil || (u != nil) != test.want {
			t.Errorf("%s: got %+v, %v, want signed in: %t", test.name, u, err, test.want)
		}
	}
}
