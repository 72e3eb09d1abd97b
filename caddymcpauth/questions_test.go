package caddymcpauth_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// slowIssuer answers every question after a while and counts how many it has at a
// time. Tokens that begin with g are good.
type slowIssuer struct {
	takes     func(raw string) time.Duration
	now, most atomic.Int64
	total     atomic.Int64
}

func (v *slowIssuer) Verify(ctx context.Context, p *token.Presented) (*token.Token, error) {
	n := v.now.Add(1)
	defer v.now.Add(-1)
	v.total.Add(1)
	for most := v.most.Load(); n > most && !v.most.CompareAndSwap(most, n); most = v.most.Load() {
	}
	select {
	case <-time.After(v.takes(p.Raw)):
	case <-ctx.Done():
		return nil, &token.UnavailableError{Err: ctx.Err(), Outage: true}
	}
	if p.Raw[0] == 'g' {
		return &token.Token{Subject: p.Raw}, nil
	}
	return nil, &token.InvalidError{Reason: token.Inactive}
}

// Accepts implements [token.Verifier].
func (v *slowIssuer) Accepts(*token.Presented) bool { return true }

func (v *slowIssuer) source() token.Source {
	return token.Source{Verifier: v, Probe: func(context.Context) error { return nil }}
}

// However many tokens strangers invent, an issuer is asked few questions at a time,
// and none of theirs keeps the tokens of others waiting for long: not from one
// address, not from a whole /48 or /24, not with tokens that take the issuer so long
// that the question is given up.
func TestQuestionsAreShared(t *testing.T) {
	t.Parallel()
	seeds := 200
	if testing.Short() {
		seeds = 10
	}
	for _, tc := range []struct {
		name string
		from func(random *rand.Rand) string
		slow time.Duration // how long the issuer takes for a stranger's token
	}{
		{"one address", func(*rand.Rand) string { return "192.0.2.1" }, 200 * time.Millisecond},
		{"a /24", func(r *rand.Rand) string { return fmt.Sprintf("192.0.2.%d", r.IntN(256)) }, 200 * time.Millisecond},
		{"a /48", func(r *rand.Rand) string { return fmt.Sprintf("2001:db8:0:%x::1", r.IntN(65536)) }, 200 * time.Millisecond},
		{"one address, tokens that hang", func(*rand.Rand) string { return "192.0.2.1" }, time.Hour},
		{"a /48, tokens that hang", func(r *rand.Rand) string { return fmt.Sprintf("2001:db8:0:%x::1", r.IntN(65536)) }, time.Hour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var good, passed, worst, most atomic.Int64
			for seed := range seeds {
				cache, err := judge.NewCache(judge.CacheConfig{MaxEntries: 100, Turns: caddymcpauth.NewTurns()})
				if err != nil {
					t.Fatal(err)
				}
				synctest.Test(t, func(t *testing.T) {
					random := rand.New(rand.NewPCG(2, uint64(seed)))
					v := &slowIssuer{takes: func(raw string) time.Duration {
						if raw[0] == 'g' {
							return 50 * time.Millisecond
						}
						return tc.slow
					}}
					list := judge.Issuers{{Issuer: "https://a.example", Verifiers: []*judge.Verifier{cache.Cached(v.source())}}}
					var wg sync.WaitGroup
					ask := func(raw, from string) (time.Duration, error) {
						start := time.Now()
						_, err := list.JudgeFor(t.Context(), raw, from)
						return time.Since(start), err
					}
					for second := range 8 {
						for i := range 60 {
							raw, from := fmt.Sprintf("x-%d-%d", second, i), tc.from(random)
							wg.Go(func() { _, _ = ask(raw, from) })
						}
						for i := range 2 {
							raw, from := fmt.Sprintf("g-%d-%d", second, i), fmt.Sprintf("203.0.%d.%d", random.IntN(256), random.IntN(256))
							wait := time.Duration(random.IntN(1000)) * time.Millisecond
							wg.Go(func() {
								time.Sleep(wait)
								good.Add(1)
								took, err := ask(raw, from)
								if err == nil {
									passed.Add(1)
								}
								if took := took.Milliseconds(); took > worst.Load() {
									worst.Store(took)
								}
							})
						}
						time.Sleep(time.Second)
					}
					wg.Wait()
					if n := v.most.Load(); n > most.Load() {
						most.Store(n)
					}
				})
			}
			t.Logf("%d of %d good tokens passed, the slowest after %d ms; at most %d questions at a time", passed.Load(), good.Load(), worst.Load(), most.Load())
			if passed.Load()*100 < good.Load()*99 {
				t.Errorf("%d of %d good tokens passed, want 99 %%", passed.Load(), good.Load())
			}
			if most.Load() > 32 {
				t.Errorf("%d questions at a time, want at most 32", most.Load())
			}
		})
	}
}

// A caller who gets no turn keeps its token: it can't be checked just now.
func TestNoTurn(t *testing.T) {
	t.Parallel()
	cache, err := judge.NewCache(judge.CacheConfig{Turns: caddymcpauth.NewTurns()})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		v := &slowIssuer{takes: func(string) time.Duration { return time.Hour }}
		list := judge.Issuers{{Issuer: "https://a.example", Verifiers: []*judge.Verifier{cache.Cached(v.source())}}}
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 600 {
			wg.Go(func() {
				_, err := list.JudgeFor(t.Context(), fmt.Sprintf("x%d", i), "192.0.2.1")
				unavailable, ok := errors.AsType[*token.UnavailableError](err)
				if !ok {
					t.Errorf("got %v, want unavailable", err)
				} else if strings.Contains(err.Error(), "too many") && unavailable.RetryAfter <= 0 {
					t.Errorf("got %v without a time to come back", err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("took %s, want at most 5 s for a turn and 5 s for the answer", took)
		}
		if n := v.most.Load(); n != 16 {
			t.Errorf("%d questions at a time about the tokens of one address, want 16", n)
		}
	})
}
