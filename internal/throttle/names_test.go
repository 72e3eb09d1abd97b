package throttle

import (
	"fmt"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// Invented names evict nothing of a user's, and don't fill the memory.
func TestInventedNames(t *testing.T) {
	t.Parallel()
	c := testkit.NewClock()
	g := newGuesses(c, "ada")
	for range freeFailures {
		try(g, "192.0.2.1", "ada")
	}
	for round := range 20 {
		for i := range 10_000 {
			try(g, fmt.Sprintf("10.%d.%d.%d", round, i/250, i%250), fmt.Sprint("user", round, i))
		}
		if try(g, "192.0.2.1", "ada") == 0 {
			t.Fatal("the flood has made ada's counter forgotten")
		}
	}
	if n := len(g.names.invented); n > maxInvented {
		t.Errorf("%d names, want at most %d", n, maxInvented)
	}
	if n, most := inventedRecords(g), 2*maxInventedRecords; n > most {
		t.Errorf("%d records, want at most %d", n, most)
	}
	for bits, table := range g.anywhere {
		if table != nil && len(table.records) > maxRecords {
			t.Errorf("/%d: %d records", bits, len(table.records))
		}
	}
}

// The records of a user are bounded by the guesses that there are.
func TestUserRecords(t *testing.T) {
	t.Parallel()
	c := testkit.NewClock()
	g := newGuesses(c, "ada")
	most := 0
	for i := range 48 * 3600 / 5 { // two days, every five seconds from another network
		for j := range 3 {
			try(g, fmt.Sprintf("2001:db8:%x:%x::1", i&0xffff, j), "ada")
		}
		c.Advance(5 * time.Second)
		most = max(most, len(g.names.users["ada"].failed.records))
	}
	if limit := 2 * 3 * (userRate.Burst + int(forgetFailures/userRate.Every)); most > limit {
		t.Errorf("%d records, want at most %d", most, limit)
	}
}

// An attempt at an invented name whose password was not looked at leaves no name.
func TestWithdrawnNames(t *testing.T) {
	t.Parallel()
	g := newGuesses(testkit.NewClock(), "ada")
	for i := range 1000 {
		a, _ := g.Try("192.0.2.1", fmt.Sprint("user", i), "")
		a.Withdraw()
	}
	if n := remembered(g); n != 0 {
		t.Errorf("%d records are left", n)
	}
}

// A few names with guesses from everywhere don't fill the memory either.
func TestRecordsOfInventedNames(t *testing.T) {
	t.Parallel()
	g := newGuesses(testkit.NewClock(), "ada")
	for i := range 300 {
		for j := range 1000 {
			try(g, fmt.Sprintf("10.%d.%d.1", j>>8, j&255), fmt.Sprint("user", i))
			try(g, fmt.Sprintf("2001:db8:%x:%x::1", j, i), fmt.Sprint("user", i))
		}
	}
	if n, most := inventedRecords(g), 2*maxInventedRecords; n > most {
		t.Errorf("%d records, want at most %d", n, most)
	}
}

// Whatever a stranger does, names that exist and names that don't make them wait
// for the same time.
func TestNamesTellNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		do   func(c *testkit.Clock, try func(address, username string))
	}{
		{"after many invented names", func(c *testkit.Clock, try func(string, string)) {
			for i := range 10_000 {
				try(fmt.Sprintf("10.0.%d.1", i/20&255), fmt.Sprint("user", i))
				c.Advance(time.Second)
			}
			for i := range 20 {
				try(fmt.Sprintf("10.1.%d.1", i/10), "ada")
			}
		}},
		{"from the networks of a home, and again from the first", func(c *testkit.Clock, try func(string, string)) {
			for i := range 256 {
				try(fmt.Sprintf("2001:db8:0:%x::1", i), "ada")
				c.Advance(31 * time.Second)
			}
			for range 10 {
				try("2001:db8::1", "ada")
			}
		}},
		{"from a thousand networks, and again from the first", func(c *testkit.Clock, try func(string, string)) {
			for i := range 1000 {
				try(fmt.Sprintf("10.%d.%d.1", i>>8, i&255), "ada")
				c.Advance(10 * time.Second)
			}
			for i := range 100 {
				try(fmt.Sprintf("10.0.%d.1", i/10), "ada")
			}
		}},
		{"from a network that guessed at everything", func(c *testkit.Clock, try func(string, string)) {
			for i := range 2000 {
				try(fmt.Sprintf("10.0.0.%d", i&255), []string{"ada", fmt.Sprint("user", i), "user"}[i%3])
				c.Advance(2 * time.Second)
			}
		}},
		{"spelt in another case", func(_ *testkit.Clock, try func(string, string)) {
			for i := range 20 {
				try("192.0.2.1", []string{"ada", "ADA"}[i&1])
			}
		}},
	} {
		var waits [2][]time.Duration
		for i, users := range [][]string{{"ada", "bob"}, {"bob"}} {
			c := testkit.NewClock()
			g := newGuesses(c, users...)
			tt.do(c, func(address, username string) { waits[i] = append(waits[i], try(g, address, username)) })
		}
		for i, wait := range waits[0] {
			if wait != waits[1][i] {
				t.Errorf("%s: attempt %d waits %s at a name that exists, and %s at one that doesn't", tt.name, i, wait, waits[1][i])
				break
			}
		}
	}
}

// With more invented names than fit, those with the fewest failures go first: one
// has to guess a lot to have a name forgotten.
func TestHeaviestNamesStay(t *testing.T) {
	t.Parallel()
	g := newGuesses(testkit.NewClock())
	for range freeFailures {
		try(g, "192.0.2.1", "nobody")
	}
	for i := range 3 * maxInvented {
		try(g, fmt.Sprintf("10.%d.%d.1", i/20>>8&255, i/20&255), fmt.Sprint("user", i))
	}
	if try(g, "192.0.2.1", "nobody") == 0 {
		t.Error("the flood has made the failures forgotten")
	}
}

func TestAddUsers(t *testing.T) {
	t.Parallel()
	g := newGuesses(testkit.NewClock())
	for range freeFailures {
		try(g, "192.0.2.1", "bob")
	}
	release := g.AddUsers([]string{"ada", "bob"})
	if try(g, "192.0.2.1", "bob") == 0 {
		t.Error("the failures from before there was bob are forgotten, which tells that there is one now")
	}
	bob := g.names.users["bob"].name
	// A reload.
	g.AddUsers([]string{"carol", "Bob"})
	release()
	release() // once is what counts
	if g.names.users["bob"].name != bob || g.names.users["carol"].name == bob {
		t.Error("a user's counter is not kept when the users change")
	}
	if try(g, "192.0.2.1", "bob") == 0 {
		t.Error("a reload has made bob's failures forgotten")
	}
	if g.names.users["ada"] != nil {
		t.Error("a user who is gone still has a counter")
	}
	if len(g.names.invented) != 1 {
		t.Errorf("%d names without a user, want ada's", len(g.names.invented))
	}
}
