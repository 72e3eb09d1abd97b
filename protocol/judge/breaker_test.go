package judge_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// outage is a failure that isn't about a token.
func outage(what string) error {
	return &token.UnavailableError{Err: errors.New(what), Outage: true}
}

// An issuer that fails is left alone, for longer and longer, and asked by one
// caller whether it is there again.
func TestBreaker(t *testing.T) {
	t.Parallel()
	const (
		good    = "verified"
		bad     = "inactive"
		down    = "down"
		limited = "limited" // says when to come again
		ages    = "ages"    // says to come again in a long time
		forThis = "for this token"
		plain   = "an error of any kind"
		alone   = "left alone"
	)
	answers := map[string]error{
		bad:     &token.InvalidError{Reason: token.Inactive},
		down:    outage("down"),
		limited: &token.UnavailableError{Err: errors.New("429"), RetryAfter: 7 * time.Second, Outage: true},
		ages:    &token.UnavailableError{Err: errors.New("429"), RetryAfter: time.Hour, Outage: true},
		forThis: &token.UnavailableError{Err: errors.New("403")},
		plain:   errors.New("anything"),
	}
	type step struct {
		after time.Duration
		// issuer is what it would say; alone, that it must not be asked.
		issuer string
		// retryAfter is what a refused caller is told.
		retryAfter time.Duration
	}
	open := []step{{0, down, 0}, {0, down, 0}, {0, down, 0}}
	after := func(before []step, more ...step) []step { return append(before[:len(before):len(before)], more...) }
	for _, tc := range []struct {
		name  string
		steps []step
	}{
		{"opens after three failures", after(open, step{0, alone, time.Second}, step{600 * time.Millisecond, alone, time.Second})},
		{"not after two", []step{{0, down, 0}, {0, down, 0}, {0, good, 0}, {0, down, 0}, {0, down, 0}, {0, good, 0}}},
		{"a refusal shows that it works", []step{{0, down, 0}, {0, down, 0}, {0, bad, 0}, {0, down, 0}, {0, down, 0}, {0, good, 0}}},
		{"asked again after a second", after(open, step{time.Second, good, 0}, step{0, good, 0})},
		{"a refusal closes it", after(open, step{time.Second, bad, 0}, step{0, good, 0})},
		{"after its return, three more failures are needed", after(open, step{time.Second, good, 0}, step{0, down, 0}, step{0, down, 0}, step{0, good, 0})},
		{"the pause doubles", after(
			open,
			step{time.Second, down, 0}, step{0, alone, 2 * time.Second}, step{2*time.Second - 1, alone, time.Second}, step{1, down, 0},
			step{0, alone, 4 * time.Second}, step{4 * time.Second, down, 0},
			step{0, alone, 8 * time.Second}, step{8 * time.Second, down, 0},
			step{0, alone, 16 * time.Second}, step{16 * time.Second, down, 0},
			step{0, alone, 30 * time.Second}, step{30 * time.Second, down, 0},
			step{0, alone, 30 * time.Second}, step{30 * time.Second, good, 0}, step{0, good, 0},
		)},
		{"the issuer's own pause", []step{
			{0, limited, 0},
			{0, limited, 0},
			{0, limited, 0},
			{0, alone, 7 * time.Second},
			{7*time.Second - 1, alone, time.Second},
			{1, good, 0},
		}},
		{"the issuer's own pause, within limits", []step{{0, ages, 0}, {0, ages, 0}, {0, ages, 0}, {0, alone, 30 * time.Second}, {30 * time.Second, good, 0}}},
		{"one token's trouble", []step{{0, forThis, 0}, {0, forThis, 0}, {0, forThis, 0}, {0, forThis, 0}, {0, good, 0}}},
		{"an error of any kind is one token's trouble", []step{{0, plain, 0}, {0, plain, 0}, {0, plain, 0}, {0, plain, 0}, {0, good, 0}}},
		{"one token's trouble doesn't count", []step{{0, down, 0}, {0, forThis, 0}, {0, down, 0}, {0, forThis, 0}, {0, good, 0}}},
		{"one token's trouble doesn't show that it works", []step{{0, down, 0}, {0, forThis, 0}, {0, down, 0}, {0, forThis, 0}, {0, down, 0}, {0, alone, time.Second}}},
		{"one token's trouble is no reason to wait", after(open, step{time.Second, forThis, 0}, step{0, good, 0}, step{0, good, 0})},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			clk := testkit.NewClock()
			says := alone
			v := &counted{verify: func(_ context.Context, raw string) (*token.Token, error) {
				if err := answers[says]; err != nil {
					return nil, err
				}
				return &token.Token{Subject: raw}, nil
			}}
			cached := newCache(t, judge.CacheConfig{Now: clk.Now}).Cached(v.Source())
			for i, s := range tc.steps {
				clk.Advance(s.after)
				says = s.issuer
				before := v.calls.Load()
				tok, err := verify(t.Context(), cached, "token "+strconv.Itoa(i))
				want := s.issuer
				if want != good && want != bad {
					want = "unavailable"
				}
				if got := outcome(tok, err); got != want {
					t.Errorf("step %d: got %s (%v), want %s", i, got, err, want)
				}
				if asked := v.calls.Load() > before; asked != (s.issuer != alone) {
					t.Errorf("step %d: got asked %t, want %t", i, asked, !asked)
				}
				var unavailable *token.UnavailableError
				if s.issuer == alone && errors.As(err, &unavailable) && unavailable.RetryAfter != s.retryAfter {
					t.Errorf("step %d: got retry after %s, want %s", i, unavailable.RetryAfter, s.retryAfter)
				}
			}
		})
	}
}

// When the pause is over one caller finds out for all.
func TestBreakerProbe(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"back": "verified", "still away": "unavailable"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clk := testkit.NewClock()
			c := newCache(t, judge.CacheConfig{Now: clk.Now})
			for i := range 3 {
				checkOutcome(t, "away", c.Cached(failing(outage("away")).Source()), strconv.Itoa(i), "unavailable")
			}
			clk.Advance(time.Second)
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				v := holding(release)
				if want == "unavailable" {
					v = &counted{verify: func(context.Context, string) (*token.Token, error) {
						<-release
						return nil, outage("away")
					}}
				}
				probe := ask(t.Context(), c.Cached(v.Source()), "probe")
				synctest.Wait()
				for i := range 20 {
					checkOutcome(t, "while it is found out", c.Cached(v.Source()), fmt.Sprint("other ", i), "unavailable")
				}
				checkCalls(t, "while it is found out", &v.calls, 1)
				close(release)
				if got := <-probe; got != want {
					t.Errorf("the one that was let through: got %s, want %s", got, want)
				}
				checkOutcome(t, "afterwards", c.Cached(v.Source()), "afterwards", want)
			})
		})
	}
}

// Many calls that fail together, because they were under way when the issuer
// went, are one failure: an outage of a moment isn't made longer by its victims.
func TestBreakerCrowd(t *testing.T) {
	t.Parallel()
	clk := testkit.NewClock()
	c := newCache(t, judge.CacheConfig{Now: clk.Now})
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		v := &counted{verify: func(context.Context, string) (*token.Token, error) {
			<-release
			return nil, outage("connection reset")
		}}
		var waiting []<-chan string
		for i := range 50 {
			waiting = append(waiting, ask(t.Context(), c.Cached(v.Source()), strconv.Itoa(i)))
		}
		synctest.Wait()
		close(release)
		for _, answer := range waiting {
			if got := <-answer; got != "unavailable" {
				t.Errorf("got %s, want unavailable", got)
			}
		}
		checkCalls(t, "all at once", &v.calls, 50)
	})
	clk.Advance(time.Second)
	checkOutcome(t, "a second later", c.Cached(vouching(time.Time{}).Source()), "opaque", "verified")
}

// Keys serve for all tokens, and what keeps them takes care of their issuer:
// that some tokens can't be judged is no reason not to judge the others.
func TestBreakerIsNotForLocal(t *testing.T) {
	t.Parallel()
	v := local{&counted{verify: func(_ context.Context, raw string) (*token.Token, error) {
		if raw == "good" {
			return &token.Token{Subject: raw}, nil
		}
		return nil, outage("unknown kid, and the issuer may not be asked yet")
	}}}
	cached := newCache(t, judge.CacheConfig{}).Cached(v.Source())
	for i := range 100 {
		checkOutcome(t, "unknown kid", cached, strconv.Itoa(i), "unavailable")
	}
	checkOutcome(t, "after a flood", cached, "good", "verified")
}
