package judge_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// probing is a verifier that can find out for itself how its issuer is.
type probing struct {
	*counted
	probes atomic.Int64
	probe  func(ctx context.Context) error
}

func (v *probing) Source() token.Source { return token.Source{Verifier: v, Probe: v.Probe} }

func (v *probing) Probe(ctx context.Context) error {
	v.probes.Add(1)
	return v.probe(ctx)
}

// No token opens the breaker, whatever the issuer's answer to it looks like: the
// door's own question decides.
func TestBreakerAsksItself(t *testing.T) {
	t.Parallel()
	c := newCache(t, judge.CacheConfig{})
	synctest.Test(t, func(t *testing.T) {
		away := false
		v := &probing{counted: &counted{verify: func(_ context.Context, raw string) (*token.Token, error) {
			switch {
			case away, strings.HasPrefix(raw, "bad"):
				return nil, outage("503")
			}
			return &token.Token{Subject: raw}, nil
		}}}
		v.probe = func(context.Context) error {
			if away {
				return outage("503")
			}
			return nil
		}
		cached := c.Cached(v.Source())
		n := 0
		try := func(what, raw, want string, asked bool) {
			t.Helper()
			n++
			before := v.calls.Load()
			checkOutcome(t, what, cached, raw+strconv.Itoa(n), want)
			synctest.Wait()
			if got := v.calls.Load() > before; got != asked {
				t.Errorf("%s: got asked %t, want %t", what, got, asked)
			}
		}
		for range 30 {
			try("a stranger's", "bad", "unavailable", true)
		}
		try("a good one meanwhile", "good", "verified", true)
		if got := v.probes.Load(); got != 1 {
			t.Errorf("%d questions of our own within a second, want one", got)
		}
		time.Sleep(time.Second)
		for range 3 {
			try("a stranger's, later", "bad", "unavailable", true)
		}
		if got := v.probes.Load(); got != 2 {
			t.Errorf("%d questions of our own, want another", got)
		}

		time.Sleep(time.Second)
		away = true
		for range 3 {
			try("an outage", "good", "unavailable", true)
		}
		try("while it lasts", "good", "unavailable", false)
		for _, pause := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			time.Sleep(pause*time.Second - 1)
			before := v.probes.Load()
			try("before the pause's end", "good", "unavailable", false)
			time.Sleep(time.Nanosecond)
			try("after the pause, still away", "good", "unavailable", false)
			try("in the next pause", "good", "unavailable", false)
			if got := v.probes.Load() - before; got != 1 {
				t.Errorf("after %d s: %d questions of our own, want one", pause, got)
			}
		}
		away = false
		time.Sleep(30 * time.Second)
		// The first who comes is a stranger: it is not its token that is asked about.
		try("back, a stranger's", "bad", "unavailable", true)
		try("back", "good", "verified", true)
	})
}

// A question of our own that hangs or panics keeps nobody waiting forever.
func TestBreakerOwnQuestionFails(t *testing.T) {
	t.Parallel()
	for name, probe := range map[string]func(context.Context) error{
		"hangs":  func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"panics": func(context.Context) error { panic("oops") },
		"fails":  func(context.Context) error { return errors.New("no") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCache(t, judge.CacheConfig{})
			synctest.Test(t, func(t *testing.T) {
				works := false
				v := &probing{counted: failing(outage("503")), probe: func(ctx context.Context) error {
					if works {
						return nil
					}
					return probe(ctx)
				}}
				for i := range 3 {
					checkOutcome(t, "away", c.Cached(v.Source()), strconv.Itoa(i), "unavailable")
				}
				time.Sleep(6 * time.Second)
				checkOutcome(t, "asked again", c.Cached(v.Source()), "x", "unavailable")
				works = true
				time.Sleep(30 * time.Second)
				v.verify = func(_ context.Context, raw string) (*token.Token, error) { return &token.Token{Subject: raw}, nil }
				checkOutcome(t, "back", c.Cached(v.Source()), "y", "verified")
			})
		})
	}
}

// An hour of a stranger who knows how to make a firewall in front of the issuer, or
// the issuer itself, fail for a token of its own, four times a second and in every
// way: all good tokens that were never seen before pass.
func TestStrangerCantShutTheDoor(t *testing.T) {
	t.Parallel()
	seeds := 200
	if testing.Short() || raceDetector {
		seeds = 10
	}
	hostile := []error{
		outage("no connection"), outage("time-out"), outage("429"), outage("503"), outage("401"),
		&token.UnavailableError{Err: errors.New("429"), Outage: true, RetryAfter: time.Hour},
		&token.UnavailableError{Err: errors.New("403")},
		&token.UnavailableError{Err: errors.New("a sub that ends in a blank")},
		&token.InvalidError{Reason: token.Inactive},
		errors.New("anything"), nil,
	}
	var good, passed, own atomic.Int64
	for seed := range seeds {
		c := newCache(t, judge.CacheConfig{MaxEntries: 1000})
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, uint64(seed)))
			v := &probing{counted: &counted{verify: func(_ context.Context, raw string) (*token.Token, error) {
				if raw[0] == 'g' {
					return &token.Token{Subject: raw}, nil
				}
				if kind := hostile[int(raw[0]-'0')%len(hostile)]; kind != nil {
					return nil, kind
				}
				return nil, nil
			}}, probe: func(context.Context) error { return nil }}
			cached := c.Cached(v.Source())
			// A stranger has one way, or takes any.
			way := random.IntN(2 * len(hostile))
			for second := range 3600 {
				for i := range 4 {
					kind := way
					if way >= len(hostile) {
						kind = random.IntN(len(hostile))
					}
					_, _ = verify(t.Context(), cached, fmt.Sprintf("%c-%d-%d", '0'+kind, second, i))
					time.Sleep(time.Duration(random.IntN(250)) * time.Millisecond)
				}
				if second%10 == 0 {
					good.Add(1)
					if tok, _ := verify(t.Context(), cached, fmt.Sprintf("g%d", second)); tok != nil {
						passed.Add(1)
					}
				}
			}
			own.Add(v.probes.Load())
		})
	}
	share := float64(passed.Load()) / float64(good.Load())
	t.Logf("%d of %d good tokens passed (%.2f %%), %d questions of our own an hour", passed.Load(), good.Load(), 100*share, int(own.Load())/seeds)
	if share < 0.99 {
		t.Errorf("%.2f %% of good tokens passed, want 99", 100*share)
	}
}
