package judge_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// holding keeps every question waiting until release is closed or the question's
// time is up.
func holding(release <-chan struct{}) *counted {
	return &counted{verify: func(ctx context.Context, raw string) (*token.Token, error) {
		select {
		case <-release:
			return &token.Token{Subject: raw}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
}

// ask judges raw in a goroutine, whose answer is in the returned channel.
func ask(ctx context.Context, v token.Verifier, raw string) <-chan string {
	answer := make(chan string, 1)
	go func() { answer <- outcome(verify(ctx, v, raw)) }()
	return answer
}

// A thousand callers with one new token cost the issuer one question, also where
// nothing is kept.
func TestCacheSharesCalls(t *testing.T) {
	t.Parallel()
	for name, ttl := range map[string]time.Duration{"kept": 0, "off": -1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Outside of the bubble: the cache sweeps in the background.
			c := newCache(t, judge.CacheConfig{TTL: ttl})
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				v := holding(release)
				var waiting []<-chan string
				for range 1000 {
					waiting = append(waiting, ask(t.Context(), c.Cached(v.Source()), "opaque"))
				}
				other := ask(t.Context(), c.Cached(v.Source()), "another")
				synctest.Wait()
				checkCalls(t, "two tokens", &v.calls, 2)
				close(release)
				for i, answer := range append(waiting, other) {
					if got := <-answer; got != "verified" {
						t.Errorf("caller %d: got %s, want verified", i, got)
					}
				}
				checkCalls(t, "afterwards", &v.calls, 2)
			})
		})
	}
}

// A caller that leaves takes nothing from those who wait for the same answer.
func TestCacheCallerLeaves(t *testing.T) {
	t.Parallel()
	c := newCache(t, judge.CacheConfig{})
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		v := holding(release)
		cached := c.Cached(v.Source())
		impatient, leave := context.WithCancelCause(t.Context())
		first := ask(impatient, cached, "opaque")
		synctest.Wait()
		second := ask(t.Context(), cached, "opaque")
		synctest.Wait()
		leave(errors.New("gone home"))
		if got := <-first; got != "unavailable" {
			t.Errorf("the caller that left: got %s, want unavailable", got)
		}
		synctest.Wait()
		third := ask(t.Context(), cached, "opaque")
		synctest.Wait()
		close(release)
		for i, answer := range []<-chan string{second, third} {
			if got := <-answer; got != "verified" {
				t.Errorf("caller %d of those who stayed: got %s, want verified", i, got)
			}
		}
		checkCalls(t, "in all", &v.calls, 1)
	})
}

// A verifier that never answers is given up for all who wait.
func TestCacheCallTakesLong(t *testing.T) {
	t.Parallel()
	c := newCache(t, judge.CacheConfig{})
	synctest.Test(t, func(t *testing.T) {
		v := holding(nil)
		start := time.Now()
		for _, answer := range []<-chan string{ask(t.Context(), c.Cached(v.Source()), "opaque"), ask(t.Context(), c.Cached(v.Source()), "opaque")} {
			if got := <-answer; got != "unavailable" {
				t.Errorf("got %s, want unavailable", got)
			}
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("took %s, want 5s", took)
		}
		checkCalls(t, "two callers", &v.calls, 1)
	})
}

// A verifier that keeps to nothing of the contract: an outage, not a refusal.
func TestCacheOfNothing(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]*counted{
		"neither token nor error": failing(nil),
		"any other error":         failing(errors.New("oops")),
		"panic":                   {verify: func(context.Context, string) (*token.Token, error) { panic("oops") }},
	} {
		checkOutcome(t, name, newCache(t, judge.CacheConfig{}).Cached(v.Source()), "opaque", "unavailable")
	}
}

func TestForget(t *testing.T) {
	t.Parallel()
	bySubject := &counted{verify: func(_ context.Context, raw string) (*token.Token, error) {
		if raw == "bad" {
			return nil, &token.InvalidError{Reason: token.Inactive}
		}
		return &token.Token{Subject: raw[:3]}, nil // ada1 and ada2 are ada's
	}}
	all := []string{"ada1", "ada2", "bob1", "bad"}
	for _, tc := range []struct {
		name   string
		forget func(*judge.Cache) int
		want   int
		asked  string // of all, those that are asked about again
	}{
		{"everything", (*judge.Cache).Forget, 4, "ada1 ada2 bob1 bad"},
		{"a token", func(c *judge.Cache) int { return c.ForgetToken(sha256.Sum256([]byte("ada2"))) }, 1, "ada2"},
		{"a refused token", func(c *judge.Cache) int { return c.ForgetToken(sha256.Sum256([]byte("bad"))) }, 1, "bad"},
		{"an unknown token", func(c *judge.Cache) int { return c.ForgetToken(sha256.Sum256([]byte("ada"))) }, 0, ""},
		{"a subject", func(c *judge.Cache) int { return c.ForgetSubject("ada") }, 2, "ada1 ada2"},
		{"an unknown subject", func(c *judge.Cache) int { return c.ForgetSubject("eve") }, 0, ""},
		{"no subject", func(c *judge.Cache) int { return c.ForgetSubject("") }, 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) { // not parallel: they share the counter
			c := newCache(t, judge.CacheConfig{})
			cached := c.Cached(bySubject.Source())
			for _, raw := range all {
				_, _ = verify(t.Context(), cached, raw)
			}
			if got := tc.forget(c); got != tc.want {
				t.Errorf("got %d forgotten, want %d", got, tc.want)
			}
			asked := ""
			for _, raw := range all {
				before := bySubject.calls.Load()
				_, _ = verify(t.Context(), cached, raw)
				if bySubject.calls.Load() > before {
					asked += " " + raw
				}
			}
			if want := tc.asked; asked != "" && asked[1:] != want || asked == "" && want != "" {
				t.Errorf("got%s asked about again, want %s", asked, want)
			}
		})
	}
}

// What was asked before something was forgotten may be out of date: it is
// neither kept nor returned to later callers.
func TestForgetWhileAsking(t *testing.T) {
	t.Parallel()
	hash := sha256.Sum256([]byte("opaque"))
	for name, forget := range map[string]func(*judge.Cache){
		"everything": func(c *judge.Cache) { c.Forget() },
		"the token":  func(c *judge.Cache) { c.ForgetToken(hash) },
		"a subject":  func(c *judge.Cache) { c.ForgetSubject("opaque") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCache(t, judge.CacheConfig{})
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				before := holding(release)
				early := ask(t.Context(), c.Cached(before.Source()), "opaque")
				synctest.Wait()
				forget(c)
				// Revoked in the meantime.
				after := failing(&token.InvalidError{Reason: token.Inactive})
				late := ask(t.Context(), c.Cached(after.Source()), "opaque")
				if got := <-late; got != "inactive" {
					t.Errorf("who comes later: got %s, want inactive", got)
				}
				close(release)
				if got := <-early; got != "verified" {
					t.Errorf("who came before: got %s, want verified", got)
				}
				synctest.Wait()
				checkOutcome(t, "afterwards", c.Cached(after.Source()), "opaque", "inactive")
				checkCalls(t, "later, and kept", &after.calls, 1)
				if n := c.Forget(); n != 1 {
					t.Errorf("%d verdicts are kept, want one", n)
				}
			})
		})
	}
}

// The same for a verifier that is asked by every caller itself.
func TestForgetWhileJudging(t *testing.T) {
	t.Parallel()
	c := newCache(t, judge.CacheConfig{})
	v := local{&counted{verify: func(_ context.Context, raw string) (*token.Token, error) {
		c.Forget()
		return &token.Token{Subject: raw}, nil
	}}}
	checkOutcome(t, "forgotten meanwhile", c.Cached(v.Source()), "opaque", "verified")
	if n := c.Forget(); n != 0 {
		t.Errorf("%d verdicts are kept, want none", n)
	}
}
