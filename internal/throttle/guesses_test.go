package throttle

import (
	"fmt"
	"hash/fnv"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// newGuesses returns a throttle that spreads names in the same way every time.
func newGuesses(c *testkit.Clock, users ...string) *Guesses {
	g := NewGuesses(c.Now)
	g.hash = func(s string) uint64 {
		h := fnv.New64a()
		_, _ = h.Write([]byte(s))
		return h.Sum64()
	}
	g.AddUsers(users)
	return g
}

// try returns how long a stranger's attempt waits; it fails if it is made.
func try(g *Guesses, address, username string) time.Duration {
	_, wait := g.Try(address, username, "")
	return wait
}

func TestPauses(t *testing.T) {
	t.Parallel()
	for _, user := range []string{"ada", "nobody-has-this-name"} {
		c := testkit.NewClock()
		g := newGuesses(c, "ada")
		for i := range freeFailures {
			if wait := try(g, "192.0.2.1", user); wait != 0 {
				t.Fatalf("attempt %d waits %s", i, wait)
			}
		}
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			wait := try(g, "192.0.2.1", []string{user, "ADA"}[min(i&1, len("ada")/len(user))]) // names differ in case only
			if wait != want*time.Second {
				t.Fatalf("pause %d is %s, want %ds", i, wait, want)
			}
			c.Advance(wait)
			if wait := try(g, "192.0.2.1", user); wait != 0 {
				t.Fatalf("after pause %d there is another of %s", i, wait)
			}
		}
		if wait := try(g, "192.0.2.2", user); wait != 0 {
			t.Errorf("another address waits %s for the first one's failures", wait)
		}
		c.Advance(forgetFailures + time.Second)
		if wait := try(g, "192.0.2.1", user); wait != 0 {
			t.Errorf("nothing is forgotten: %s", wait)
		}
	}
}

// How many guesses pass at once, without waiting.
func TestGuessesAtOnce(t *testing.T) {
	t.Parallel()
	one := func(a string) func(int) string { return func(int) string { return a } }
	for _, tt := range []struct {
		name    string
		address func(int) string
		user    func(int) string
		want    int
	}{
		{"one address, one name", one("192.0.2.1"), one("ada"), 5},
		{"one address, many names", one("192.0.2.1"), func(i int) string { return fmt.Sprint("user", i) }, 20},
		{"what is no address, many names", one("@"), func(i int) string { return fmt.Sprint("user", i) }, 20},
		{"a /64, many names", func(i int) string { return fmt.Sprintf("2001:db8::%x", i+1) }, func(i int) string { return fmt.Sprint("user", i) }, 20},
		{"a /56, many names", func(i int) string { return fmt.Sprintf("2001:db8:0:%x::1", i%256) }, func(i int) string { return fmt.Sprint("user", i) }, 40},
		{"a /24, many names", func(i int) string { return fmt.Sprintf("192.0.2.%d", i%256) }, func(i int) string { return fmt.Sprint("user", i) }, 240},
		{"a /24, one name", func(i int) string { return fmt.Sprintf("192.0.2.%d", i%256) }, one("ada"), 167},
		{"ten networks, one name", func(i int) string { return fmt.Sprintf("10.0.%d.1", i%10) }, one("ada"), 50},
		{"a thousand networks, one name", func(i int) string { return fmt.Sprintf("10.%d.%d.1", i%1000>>8, i%1000&255) }, one("ada"), 1000},
		{"ten thousand networks, one name", func(i int) string { return fmt.Sprintf("10.%d.%d.1", i>>8, i&255) }, one("ada"), 1000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newGuesses(testkit.NewClock(), "ada")
			passed := 0
			for i := range 10_000 {
				if try(g, tt.address(i), tt.user(i)) == 0 {
					passed++
				}
			}
			if passed != tt.want {
				t.Errorf("%d pass, want %d", passed, tt.want)
			}
		})
	}
}

func TestSuccess(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"192.0.2.1", "2001:db8::1", "@"} {
		c := testkit.NewClock()
		g := newGuesses(c, "ada")
		for range 2000 { // a user who knows their password
			a, wait := g.Try(address, "ada", "")
			if wait != 0 {
				t.Fatalf("%s: a good user waits %s", address, wait)
			}
			a.Succeeded()
		}
		for range freeFailures - 1 {
			try(g, address, "ada")
		}
		a, _ := g.Try(address, "ada", "")
		a.Succeeded()
		if wait := try(g, address, "ada"); wait != 0 {
			t.Errorf("%s: failures before a success count: %s", address, wait)
		}
		// One good account is no license to try others.
		slowed := false
		for i := range freeAnywhere + 2 {
			slowed = try(g, address, fmt.Sprint("user", i)) > 0
			if a, wait := g.Try(address, "ada", ""); wait == 0 {
				a.Succeeded()
			}
		}
		if !slowed {
			t.Errorf("%s: signing in in between makes guessing free", address)
		}
	}
}

// An attempt whose password was not looked at leaves nothing behind.
func TestWithdraw(t *testing.T) {
	t.Parallel()
	c := testkit.NewClock()
	g := newGuesses(c, "ada")
	for _, browser := range []string{"", "browser"} {
		for range 2000 {
			a, wait := g.Try("192.0.2.1", "ada", browser)
			if wait != 0 {
				t.Fatalf("%q waits %s", browser, wait)
			}
			a.Withdraw()
		}
	}
	if n := remembered(g); n != 0 {
		t.Errorf("%d records are left", n)
	}
}

func inventedRecords(g *Guesses) (n int) {
	for _, name := range g.names.invented {
		n += len(name.failed.records)
	}
	return n
}

func remembered(g *Guesses) (n int) {
	for _, t := range g.anywhere {
		if t != nil {
			n += len(t.records)
		}
	}
	return n + len(g.names.invented) + inventedRecords(g)
}

// A browser that the user has signed in with has a lane of its own.
func TestKnownBrowser(t *testing.T) {
	t.Parallel()
	c := testkit.NewClock()
	g := newGuesses(c, "ada", "bob")
	for i := range 20_000 {
		try(g, fmt.Sprintf("10.%d.%d.1", i>>8&255, i&255), "ada")
		try(g, "192.0.2.1", fmt.Sprint("user", i))
	}
	if try(g, "203.0.113.1", "ada") == 0 {
		t.Fatal("ten thousand networks leave guesses for a new one: nothing is shown")
	}
	a, wait := g.Try("192.0.2.1", "ada", "browser")
	if wait != 0 || a.Rank != 0 {
		t.Fatalf("a known browser waits %s", wait)
	}
	a.Succeeded()
	passed := 0
	for range 100 {
		if _, wait := g.Try("192.0.2.1", "ada", "browser"); wait == 0 {
			passed++
		}
	}
	if passed != 2*freeFailures {
		t.Errorf("a known browser has %d guesses at once, want %d", passed, 2*freeFailures)
	}
	if _, wait := g.Try("192.0.2.1", "ada", "another"); wait != 0 {
		t.Errorf("another browser that is known waits %s", wait)
	}
	if _, wait := g.Try("192.0.2.1", "bob", "browser"); wait != 0 {
		t.Errorf("the browser waits %s for its failures at another user", wait)
	}
	// There is no such user: nothing is known of them.
	passed = 0
	for i := range 100 {
		if _, wait := g.Try("198.51.100.1", fmt.Sprint("nobody", i), "browser"); wait == 0 {
			passed++
		}
	}
	if passed != freeAnywhere {
		t.Errorf("%d guesses at names that don't exist, want %d", passed, freeAnywhere)
	}
}

// A known browser whose lane is paused, by a thief of its cookie, may still go as
// any stranger does.
func TestKnownBrowserAsStranger(t *testing.T) {
	t.Parallel()
	g := newGuesses(testkit.NewClock(), "ada")
	for range 1000 {
		_, _ = g.Try("192.0.2.1", "ada", "browser")
	}
	if _, wait := g.Try("198.51.100.1", "ada", "browser"); wait != 0 {
		t.Errorf("waits %s", wait)
	}
}
