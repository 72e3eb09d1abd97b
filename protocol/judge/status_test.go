package judge_test

import (
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// Each question counts once, however often the cache is looked into for it.
func TestStatus(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock()
	c := newCache(t, judge.CacheConfig{MaxEntries: 7, Now: clock.Now})
	list := judge.Issuers{{Issuer: "https://a.example", Verifiers: []*judge.Verifier{c.Cached(vouching(clock.Now().Add(time.Hour)).Source())}}}
	for _, raw := range []string{"one", "one", "one", "two"} {
		if _, err := list.Judge(t.Context(), raw); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := c.Status(), (judge.Status{Entries: 2, Max: 7, Hits: 2, Misses: 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// An issuer that isn't asked is seen, with the reason.
func TestStatusOfBreaker(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock()
	c := newCache(t, judge.CacheConfig{Now: clock.Now})
	v := c.Cached(failing(&token.UnavailableError{Err: outage("the disk is on fire"), Outage: true}).Source())
	for i := range 3 {
		if got := c.Status(); got.Down {
			t.Errorf("down after %d failures", i)
		}
		_, _ = verify(t.Context(), v, "x")
	}
	got := c.Status()
	if !got.Down || !got.Until.After(clock.Now()) || !strings.Contains(got.Err.Error(), "the disk is on fire") {
		t.Errorf("got %+v, want down and why", got)
	}
}
