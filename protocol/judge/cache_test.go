package judge_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// counted is a [token.Verifier] made of a function, whose calls are counted.
type counted struct {
	calls  atomic.Int64
	verify func(ctx context.Context, raw string) (*token.Token, error)
}

func (*counted) Accepts(*token.Presented) bool { return true }

func (v *counted) Source() token.Source { return token.Source{Verifier: v} }

func (v *counted) Verify(ctx context.Context, p *token.Presented) (*token.Token, error) {
	v.calls.Add(1)
	return v.verify(ctx, p.Raw)
}

// local is counted, of which no issuer hears.
type local struct{ *counted }

func (v local) Source() token.Source { return token.Source{Verifier: v, NoNetwork: true} }

// countedJWT counts what a [token.JWT] is asked.
type countedJWT struct {
	*token.JWT
	calls atomic.Int64
}

func (v *countedJWT) Source() token.Source {
	s := v.JWT.Source()
	s.Verifier = v
	return s
}

func (v *countedJWT) Verify(ctx context.Context, p *token.Presented) (*token.Token, error) {
	v.calls.Add(1)
	return v.JWT.Verify(ctx, p)
}

// vouching says that every token is good until expiry, and its own subject's.
func vouching(expiry time.Time) *counted {
	return &counted{verify: func(_ context.Context, raw string) (*token.Token, error) {
		return &token.Token{Subject: raw, Expiry: expiry}, nil
	}}
}

// failing answers every question with err.
func failing(err error) *counted {
	return &counted{verify: func(context.Context, string) (*token.Token, error) { return nil, err }}
}

// source is a verifier that says how it is to be asked.
type source interface{ Source() token.Source }

func newCache(t *testing.T, config judge.CacheConfig) *judge.Cache {
	t.Helper()
	c, err := judge.NewCache(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func checkCalls(t *testing.T, step string, got *atomic.Int64, want int64) {
	t.Helper()
	if got := got.Load(); got != want {
		t.Errorf("%s: got %d calls so far, want %d", step, got, want)
	}
}

func checkOutcome(t *testing.T, step string, v token.Verifier, raw, want string) {
	t.Helper()
	tok, err := verify(t.Context(), v, raw)
	if got := outcome(tok, err); got != want {
		t.Errorf("%s: got %s (%v), want %s", step, got, err, want)
	}
}

// How long a good verdict is kept: for as long as configured, and no longer than
// the token is good.
func TestCacheKeeps(t *testing.T) {
	t.Parallel()
	const opaque = "opaque"
	const known = "local" // verified without asking an issuer
	jwt := compact(`{"alg":"RS256"}`, `{"iss":"https://a.example"}`)
	tests := []struct {
		name   string
		token  string
		ttl    time.Duration
		expiry time.Duration // from now; zero: the issuer doesn't say
		want   time.Duration
	}{
		{"opaque", opaque, 0, 0, 60 * time.Second},
		{"opaque, good for longer", opaque, 0, 10 * time.Minute, 60 * time.Second},
		{"opaque, good for less", opaque, 0, 10 * time.Second, 10 * time.Second},
		{"opaque, ttl", opaque, 5 * time.Second, 0, 5 * time.Second},
		{"opaque, longer ttl", opaque, time.Hour, 0, time.Hour},
		{"opaque, good for less than ttl", opaque, time.Hour, time.Minute, time.Minute},
		{"opaque, expired", opaque, 0, -time.Second, 0},
		{"JWT, asked about", jwt, 0, 10 * time.Minute, 60 * time.Second},
		{"JWT, no expiry told", jwt, 0, 0, 60 * time.Second},
		{"JWT, ttl", jwt, 30 * time.Second, 10 * time.Minute, 30 * time.Second},
		{"JWT, good for less than ttl", jwt, time.Hour, 10 * time.Minute, 10 * time.Minute},
		{"JWT, expired", jwt, 0, -time.Second, 0},
		{"local", known, 0, 10 * time.Minute, 10 * time.Minute},
		{"local, no expiry told", known, 0, 0, 60 * time.Second},
		{"local, ttl", known, 30 * time.Second, 10 * time.Minute, 30 * time.Second},
		{"local, good for less than ttl", known, time.Hour, 10 * time.Minute, 10 * time.Minute},
		{"local, expired", known, 0, -time.Second, 0},
		{"local, off", known, -1, 10 * time.Minute, 0},
		{"opaque, off", opaque, -1, 0, 0},
		{"JWT, off", jwt, -1, 10 * time.Minute, 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			clk := testkit.NewClock()
			var expiry time.Time
			if tc.expiry != 0 {
				expiry = clk.Now().Add(tc.expiry)
			}
			v := vouching(expiry)
			var verifier source = v
			if tc.token == known {
				verifier = local{v}
			}
			cached := newCache(t, judge.CacheConfig{TTL: tc.ttl, Now: clk.Now}).Cached(verifier.Source())
			checkOutcome(t, "first sight", cached, tc.token, "verified")
			checkCalls(t, "first sight", &v.calls, 1)
			if tc.want > 0 {
				clk.Advance(tc.want - time.Nanosecond)
				checkOutcome(t, "just before its end", cached, tc.token, "verified")
				checkCalls(t, "just before its end", &v.calls, 1)
				clk.Advance(time.Nanosecond)
			}
			checkOutcome(t, "at its end", cached, tc.token, "verified")
			checkCalls(t, "at its end", &v.calls, 2)
		})
	}
}

// What is bad stays bad for some seconds, if it cost a question; what could not
// be found out is asked again.
func TestCacheOfRefusals(t *testing.T) {
	t.Parallel()
	const opaque = "opaque"
	jwt := compact(`{"alg":"RS256"}`, `{"iss":"https://a.example"}`)
	refusing := failing(&token.InvalidError{Reason: token.Inactive})
	badKey := failing(&token.InvalidError{Reason: token.UnknownKey})
	away := failing(&token.UnavailableError{Err: errors.New("away")})
	tests := []struct {
		name  string
		token string
		ttl   time.Duration
		v     source
		calls *atomic.Int64
		want  string
		kept  bool
	}{
		{"refusal", opaque, 0, refusing, &refusing.calls, "inactive", true},
		{"refusal, ttl", opaque, time.Hour, refusing, &refusing.calls, "inactive", true},
		{"refusal, off", opaque, -1, refusing, &refusing.calls, "inactive", false},
		{"refusal of a JWT by the issuer", jwt, 0, refusing, &refusing.calls, "inactive", true},
		{"refusal of a JWT by its keys", jwt, 0, badKey, &badKey.calls, "unknown_key", false},
		{"refusal of a local verifier", opaque, 0, local{refusing}, &refusing.calls, "inactive", false},
		{"unavailable", opaque, 0, away, &away.calls, "unavailable", false},
		{"unavailable, local", opaque, 0, local{away}, &away.calls, "unavailable", false},
	}
	for _, tc := range tests { // not parallel: they share the counters
		t.Run(tc.name, func(t *testing.T) {
			clk := testkit.NewClock()
			cached := newCache(t, judge.CacheConfig{TTL: tc.ttl, Now: clk.Now}).Cached(tc.v.Source())
			for _, step := range []struct {
				name    string
				advance time.Duration
				asked   bool
			}{
				{"first sight", 0, true},
				{"at once again", 0, !tc.kept},
				{"just before 5s", 5*time.Second - time.Nanosecond, !tc.kept},
				{"after 5s", time.Nanosecond, true},
			} {
				clk.Advance(step.advance)
				before := tc.calls.Load()
				checkOutcome(t, step.name, cached, tc.token, tc.want)
				if asked := tc.calls.Load() > before; asked != step.asked {
					t.Errorf("%s: got asked %t, want %t", step.name, asked, step.asked)
				}
			}
		})
	}
}

// The cache tells one token from another, and one cache from another.
func TestCacheKey(t *testing.T) {
	t.Parallel()
	v := vouching(time.Time{})
	cached := newCache(t, judge.CacheConfig{}).Cached(v.Source())
	long := fmt.Sprintf("%03000d", 1) // longer than what is hashed on the stack
	for range 2 {
		for _, raw := range []string{"", "a", "A", "b", "ab", long, long + "2"} {
			if tok, err := verify(t.Context(), cached, raw); err != nil || tok.Subject != raw {
				t.Errorf("token %.10q: got %+v (%v), want its own subject", raw, tok, err)
			}
		}
	}
	checkCalls(t, "seven tokens twice", &v.calls, 7)
	checkOutcome(t, "another cache", newCache(t, judge.CacheConfig{}).Cached(v.Source()), "a", "verified")
	checkCalls(t, "another cache", &v.calls, 8)
}

func TestCacheConfig(t *testing.T) {
	t.Parallel()
	if _, err := judge.NewCache(judge.CacheConfig{MaxEntries: -1}); err == nil {
		t.Error("a negative number of entries: got no error")
	}
}

// However many tokens come along, no more than the bound are remembered.
func TestCacheBound(t *testing.T) {
	t.Parallel()
	const bound = 100
	for name, v := range map[string]source{
		"verified": vouching(time.Time{}),
		"refused":  failing(&token.InvalidError{Reason: token.Inactive}),
		"local":    local{vouching(time.Time{})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCache(t, judge.CacheConfig{MaxEntries: bound, TTL: time.Hour})
			cached := c.Cached(v.Source())
			var wg sync.WaitGroup
			for worker := range 4 {
				wg.Go(func() {
					for i := range 10 * bound / 4 {
						_, _ = verify(t.Context(), cached, strconv.Itoa(worker)+"-"+strconv.Itoa(i))
					}
				})
			}
			wg.Wait()
			c.Settle() // what is too much goes in the background
			if n := c.Forget(); n > bound || n == 0 {
				t.Errorf("%d verdicts are kept, want some, and at most %d", n, bound)
			}
		})
	}
}

// A JWT's verdict hangs on the issuer's keys: it falls when they change, and
// stands while they are published as they were.
func TestCacheAndKeys(t *testing.T) {
	t.Parallel()
	clk := testkit.NewClock()
	srv := oauthtest.New(t, oauthtest.Options{Algorithm: "ES256", Now: clk.Now})
	v := &countedJWT{JWT: newJWT(t, srv, clk.Now, nil)}
	cached := newCache(t, judge.CacheConfig{Now: clk.Now}).Cached(v.Source())
	first := srv.CurrentKey()
	old := srv.Mint(nil)
	refetch := func() {
		clk.Advance(10 * time.Second)
		checkOutcome(t, "unknown kid", cached, srv.Mint(nil, oauthtest.WithHeader("kid", "unknown")), "unknown_key")
		v.calls.Store(0)
	}
	checkOutcome(t, "first sight", cached, old, "verified")
	checkOutcome(t, "hit", cached, old, "verified")
	checkCalls(t, "hit", &v.calls, 1)

	refetch()
	checkOutcome(t, "same keys, fetched again", cached, old, "verified")
	checkCalls(t, "same keys, fetched again", &v.calls, 0)

	srv.Rotate(true)
	refetch()
	checkOutcome(t, "one key more", cached, old, "verified")
	checkOutcome(t, "one key more, hit", cached, old, "verified")
	checkCalls(t, "one key more", &v.calls, 1)

	srv.RemoveKey(first.ID)
	refetch()
	clk.Advance(10 * time.Second)
	checkOutcome(t, "key withdrawn", cached, old, "unknown_key")
	checkOutcome(t, "the other key", cached, srv.Mint(nil), "verified")

	// Its refusal isn't kept: the key comes back, and the token is good.
	srv.AddJWK(first.JWK())
	refetch()
	checkOutcome(t, "key published again", cached, old, "verified")
}

// A remembered verdict says what it said at first sight.
func TestCacheClaims(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{Algorithm: "ES256"})
	list := func(v source) judge.Issuers {
		cached := newCache(t, judge.CacheConfig{}).Cached(v.Source())
		return judge.Issuers{{Issuer: srv.Issuer(), Verifiers: []*judge.Verifier{cached}}}
	}
	remembering := func(_ context.Context, raw string) (*token.Token, error) {
		return token.New(token.Token{Subject: raw}, []byte(`{"sub":"`+raw+`","team":["a","b"]}`)), nil
	}
	for name, test := range map[string]struct {
		issuers judge.Issuers
		tokens  []string
	}{
		"jwt": {list(newJWT(t, srv, nil, nil)), []string{
			srv.Mint(map[string]any{"sub": "ada", "nested": map[string]any{"a": []any{1.5, nil, true}}}),
			srv.Mint(map[string]any{"sub": "bob", "name": "é \" \\u0041"}),
		}},
		"opaque":       {list(newUserinfo(t, srv, nil)), []string{srv.Opaque(nil), srv.Opaque(map[string]any{"sub": "eve"})}},
		"local opaque": {list(local{&counted{verify: remembering}}), []string{"ada", "bob"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var first []map[string]any
			for sight := range 3 {
				for i, raw := range test.tokens {
					tok, err := test.issuers.Judge(t.Context(), raw)
					if err != nil {
						t.Fatal(err)
					}
					claims := tok.Claims()
					if sight == 0 {
						first = append(first, claims)
					}
					if claims["sub"] != tok.Subject || !equalJSON(claims, first[i]) {
						t.Errorf("sight %d of token %d: got %v of %s, want %v", sight, i, claims, tok.Subject, first[i])
					}
				}
			}
			if equalJSON(first[0], first[1]) {
				t.Errorf("two tokens, one set of claims: %v", first[0])
			}
		})
	}
}

// equalJSON compares claims, whose values are never NaN.
func equalJSON(a, b map[string]any) bool {
	return maps.EqualFunc(a, b, func(x, y any) bool { return fmt.Sprint(x) == fmt.Sprint(y) }) && len(a) > 0
}
