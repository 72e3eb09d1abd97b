package judge_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// A watched token ends when it has expired, when it is forgotten, and when the issuer
// says so; not because the issuer is away, and not because another token ends.
func TestWatch(t *testing.T) {
	t.Parallel()
	const (
		leeway = 30 * time.Second
		never  = time.Duration(-1)
	)
	inactive := &token.InvalidError{Reason: token.Inactive}
	hash := func(s string) [sha256.Size]byte { return sha256.Sum256([]byte(s)) }
	for _, tc := range []struct {
		name   string
		ttl    time.Duration
		expiry time.Duration // of the token; zero: the issuer doesn't say
		local  bool
		// After 90 s the issuer says this, from then on.
		then error
		// After 95 s this is forgotten.
		forget func(*judge.Cache)
		want   time.Duration // when it ends, within an hour
		reason string
	}{
		{"goes on", 0, 0, false, nil, nil, never, ""},
		{"expires", 0, 10 * time.Minute, false, nil, nil, 10*time.Minute + leeway, "expired"},
		{"expires, local", 0, 10 * time.Minute, true, nil, nil, 10*time.Minute + leeway, "expired"},
		{"expires before the first look", 0, 10 * time.Second, false, nil, nil, 10*time.Second + leeway, "expired"},
		{"refused at the next look", 0, 0, false, inactive, nil, 120 * time.Second, "inactive"},
		{"refused at the next look, expiry far", 0, time.Hour, false, inactive, nil, 120 * time.Second, "inactive"},
		{"refused, short ttl", 7 * time.Second, 0, false, inactive, nil, 91 * time.Second, "inactive"},
		{"refused, long ttl", 5 * time.Minute, 0, false, inactive, nil, 5 * time.Minute, "inactive"},
		{"refused, nothing is kept", -1, 0, false, inactive, nil, 120 * time.Second, "inactive"},
		{"refused, its key is gone", 0, 0, true, &token.InvalidError{Reason: token.UnknownKey}, nil, 120 * time.Second, "unknown_key"},
		{"the issuer is away", 0, 0, false, outage("503"), nil, never, ""},
		{"the issuer is away, expires", 0, 10 * time.Minute, false, outage("503"), nil, 10*time.Minute + leeway, "expired"},
		{"a failure for this token", 0, 0, false, errors.New("oops"), nil, never, ""},
		{"forgotten", 0, 0, false, nil, func(c *judge.Cache) { c.ForgetToken(hash("ada")) }, 95 * time.Second, "forgotten"},
		{"forgotten in another spelling", 0, 0, false, nil, func(c *judge.Cache) { c.ForgetToken(hash("ada=")) }, 95 * time.Second, "forgotten"},
		{"subject forgotten", 0, 0, false, nil, func(c *judge.Cache) { c.ForgetSubject("ada") }, 95 * time.Second, "forgotten"},
		{"all forgotten", 0, 0, false, nil, func(c *judge.Cache) { c.Forget() }, 95 * time.Second, "forgotten"},
		{"all forgotten, local", 0, 0, true, nil, func(c *judge.Cache) { c.Forget() }, 95 * time.Second, "forgotten"},
		{"forgotten, nothing is kept", -1, 0, false, nil, func(c *judge.Cache) { c.ForgetToken(hash("ada")) }, 95 * time.Second, "forgotten"},
		{"another token forgotten", 0, 0, false, nil, func(c *judge.Cache) { c.ForgetToken(hash("eve")) }, never, ""},
		{"another subject forgotten", 0, 0, false, nil, func(c *judge.Cache) { c.ForgetSubject("eve") }, never, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := newCache(t, judge.CacheConfig{TTL: tc.ttl})
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var expiry time.Time
				if tc.expiry != 0 {
					expiry = start.Add(tc.expiry)
				}
				v := &counted{verify: func(_ context.Context, raw string) (*token.Token, error) {
					if tc.then != nil && time.Since(start) > 90*time.Second {
						return nil, tc.then
					}
					return &token.Token{Issuer: "https://a.example", Subject: raw, Expiry: expiry}, nil
				}}
				var verifier source = v
				if tc.local {
					verifier = revalidating{local{v}, &tc.then, start}
				}
				list := judge.Issuers{{Issuer: "https://a.example", Verifiers: []*judge.Verifier{c.Cached(verifier.Source())}}}
				tok, err := list.Judge(t.Context(), "ada")
				if err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 10)
				stop := list.Watch("ada", "", tok, leeway, func(err error) { ended <- err })
				defer stop()
				if tc.forget != nil {
					time.AfterFunc(95*time.Second, func() { tc.forget(c) })
				}
				select {
				case err := <-ended:
					took := time.Since(start)
					if tc.want == never || took < tc.want || took > tc.want+2*time.Second {
						t.Errorf("ended after %s (%v), want %s", took, err, tc.want)
					}
					if got := outcome(nil, err); !strings.Contains(got, tc.reason) && !(tc.reason == "forgotten" && strings.Contains(err.Error(), "forgotten")) {
						t.Errorf("ended because of %v, want %s", err, tc.reason)
					}
				case <-time.After(time.Hour):
					if tc.want != never {
						t.Error("goes on")
					}
				}
				stop()
				time.Sleep(time.Hour)
				if len(ended) > 0 {
					t.Error("ended twice, or after it was stopped")
				}
			})
		})
	}
}

// revalidating is a local verifier whose verdicts fall 90 s after the start.
type revalidating struct {
	local
	then  *error
	start time.Time
}

func (v revalidating) Source() token.Source {
	s := v.local.Source()
	s.StillGood = v.StillGood
	return s
}

func (v revalidating) StillGood(context.Context, *token.Token) bool {
	return *v.then == nil || time.Since(v.start) < 90*time.Second
}

// What is forgotten between a token's verdict and its watch is noticed.
func TestWatchAfterForget(t *testing.T) {
	t.Parallel()
	c := newCache(t, judge.CacheConfig{})
	synctest.Test(t, func(t *testing.T) {
		var revoked atomic.Bool
		v := &counted{verify: func(_ context.Context, raw string) (*token.Token, error) {
			if revoked.Load() {
				return nil, &token.InvalidError{Reason: token.Inactive}
			}
			return &token.Token{Issuer: "https://a.example", Subject: raw}, nil
		}}
		list := judge.Issuers{{Issuer: "https://a.example", Verifiers: []*judge.Verifier{c.Cached(v.Source())}}}
		tok, err := list.Judge(t.Context(), "ada")
		if err != nil {
			t.Fatal(err)
		}
		revoked.Store(true)
		c.Forget()
		start := time.Now()
		ended := make(chan error, 1)
		defer list.Watch("ada", "", tok, 0, func(err error) { ended <- err })()
		if err := <-ended; outcome(nil, err) != "inactive" || time.Since(start) > 2*time.Second {
			t.Errorf("got %v after %s, want inactive at once", err, time.Since(start))
		}
	})
}

// Tokens of another issuer of the same door, and API keys.
func TestWatchWhose(t *testing.T) {
	t.Parallel()
	a, b, keys := newCache(t, judge.CacheConfig{}), newCache(t, judge.CacheConfig{}), newCache(t, judge.CacheConfig{})
	synctest.Test(t, func(t *testing.T) {
		of := func(issuer, prefix string) *counted {
			return &counted{verify: func(_ context.Context, raw string) (*token.Token, error) {
				if !strings.HasPrefix(raw, prefix) {
					return nil, &token.InvalidError{Reason: token.Inactive}
				}
				return &token.Token{Issuer: issuer, Subject: raw}, nil
			}}
		}
		list := judge.Issuers{
			{Issuer: "https://a.example", Verifiers: []*judge.Verifier{a.Cached(of("https://a.example", "a").Source()), keys.Cached(local{of(mcpResource, "key")}.Source())}},
			{Issuer: "https://b.example", Verifiers: []*judge.Verifier{b.Cached(of("https://b.example", "b").Source())}},
		}
		ended := make(map[string]*atomic.Bool)
		for _, raw := range []string{"a", "b", "key"} {
			tok, err := list.Judge(t.Context(), raw)
			if err != nil {
				t.Fatal(err)
			}
			over := new(atomic.Bool)
			ended[raw] = over
			defer list.Watch(raw, "", tok, 0, func(error) { over.Store(true) })()
		}
		for _, step := range []struct {
			forget *judge.Cache
			want   string
		}{{a, "a"}, {keys, "a key"}, {b, "a b key"}} {
			step.forget.Forget()
			synctest.Wait()
			for raw, over := range ended {
				if want := strings.Contains(" "+step.want+" ", " "+raw+" "); over.Load() != want {
					t.Errorf("forgetting %q: %s ended %t, want %t", step.want, raw, over.Load(), want)
				}
			}
		}
	})
}
