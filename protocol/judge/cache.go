package judge

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/maypok86/otter/v2/stats"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

const (
	// DefaultTTL is how long a verdict on an opaque token is kept. A revoked token
	// is accepted for that long.
	DefaultTTL = 60 * time.Second

	// DefaultMaxEntries is how many verdicts are kept.
	DefaultMaxEntries = 100_000

	// refusalTTL is how long a refusal by the issuer is kept, so that a client that
	// keeps trying doesn't cost a request each time.
	refusalTTL = 5 * time.Second
)

// CacheConfig configures a [Cache].
type CacheConfig struct {
	// MaxEntries bounds the number of verdicts. Zero means
	// [DefaultMaxEntries].
	MaxEntries int

	// TTL is how long a verdict is kept, at most until the token expires. Zero
	// means [DefaultTTL] if the issuer was asked or the token never expires, and
	// until the token expires otherwise. If TTL is negative, nothing is kept.
	TTL time.Duration

	// Turns bounds the requests to the issuer and shares them between networks.
	// Nil means that there is no bound.
	Turns Turns

	// Now returns the time. Nil means [time.Now].
	Now func() time.Time
}

// Cache remembers a verifier's verdicts. Those are not decisions: scopes are checked
// for each request. The verifier is called once for all requests that wait for the
// same token, and not at all while the issuer is down. A cache may outlive its
// verifier, so that verdicts survive a reload.
type Cache struct {
	config   CacheConfig
	verdicts *otter.Cache[[sha256.Size]byte, *verdict]
	slimmer  token.Slimmer
	breaker  breaker
	// asked counts the questions about tokens that the cache could answer, as hits, and
	// those that it couldn't. It costs the same on many processors as on one.
	asked *stats.Counter

	mu      sync.Mutex
	flights map[[sha256.Size]byte]*flight
	watches map[*watch]struct{}

	// forgotten counts the calls of forget. A verdict is kept only if there was
	// none while it was made.
	forgotten atomic.Int64
}

// NewCache returns an empty cache.
func NewCache(config CacheConfig) (*Cache, error) {
	if config.MaxEntries < 0 {
		return nil, errors.New("negative number of entries")
	}
	if config.MaxEntries == 0 {
		config.MaxEntries = DefaultMaxEntries
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	verdicts, err := otter.New(&otter.Options[[sha256.Size]byte, *verdict]{
		MaximumSize: config.MaxEntries,
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[[sha256.Size]byte, *verdict]) time.Duration {
			return max(time.UnixMilli(e.Value.until).Sub(config.Now()), time.Nanosecond)
		}),
	})
	if err != nil {
		return nil, fmt.Errorf("making cache: %w", err)
	}
	return &Cache{
		config:   config,
		verdicts: verdicts,
		breaker:  breaker{now: config.Now},
		asked:    stats.NewCounter(),
		flights:  make(map[[sha256.Size]byte]*flight),
		watches:  make(map[*watch]struct{}),
	}, nil
}

// Close ends what the cache does in the background. It may still be used, and then
// drops expired verdicts only when they are asked for or others need their place.
func (c *Cache) Close() { c.verdicts.StopAllGoroutines() }

// Cached returns v with c as its cache. Don't use a cache for verifiers that judge
// differently.
func (c *Cache) Cached(v token.Source) *Verifier { return &Verifier{Source: v, Cache: c} }

// Verify implements [token.Verifier].
func (v *Verifier) Verify(ctx context.Context, p *token.Presented) (*token.Token, error) {
	return v.judge(ctx, cacheKey(p.Raw), p)
}

// judge is Verify for a token whose key in the cache is known.
func (v *Verifier) judge(ctx context.Context, key [sha256.Size]byte, p *token.Presented) (*token.Token, error) {
	c := v.Cache
	if c == nil {
		return v.Source.Verify(ctx, p)
	}
	if t, err := v.remembered(ctx, key, p.Raw); t != nil || err != nil {
		c.asked.RecordHits(1)
		return t, err
	}
	c.asked.RecordMisses(1)
	if v.NoNetwork {
		began := c.forgotten.Load()
		t, err := v.Source.Verify(ctx, p)
		if err == nil && t != nil {
			c.keep(key, c.goodVerdict(p, t, true), began)
		}
		return t, err
	}
	f := v.join(ctx, key, p)
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, &token.UnavailableError{Err: context.Cause(ctx)}
	}
	if f.err != nil {
		return nil, f.err
	}
	return f.verdict.result(p.Raw)
}

// remembered returns the verdict on raw that the cache has under key: a token or an
// error, or neither if there is no verdict that still stands.
func (v *Verifier) remembered(ctx context.Context, key [sha256.Size]byte, raw string) (*token.Token, error) {
	if v.Cache == nil {
		return nil, nil
	}
	hit, ok := v.Cache.verdicts.GetIfPresent(key)
	if !ok || v.Cache.config.Now().UnixMilli() >= hit.until {
		return nil, nil
	}
	t, err := hit.result(raw)
	if t != nil && v.StillGood != nil && !v.StillGood(ctx, t) {
		return nil, nil
	}
	return t, err
}

// cacheKey returns the SHA-256 of a token. Every request needs it, so tokens of the
// usual length are not copied to the heap.
func cacheKey(raw string) [sha256.Size]byte {
	var buf [2048]byte
	if len(raw) <= len(buf) {
		return sha256.Sum256(buf[:copy(buf[:], raw)])
	}
	return sha256.Sum256([]byte(raw))
}

// keep remembers a verdict, unless something was forgotten since it was begun: began
// is the value of c.forgotten at that time.
func (c *Cache) keep(key [sha256.Size]byte, v *verdict, began int64) {
	if c.config.TTL < 0 || v.until <= c.config.Now().UnixMilli() || c.forgotten.Load() != began {
		return
	}
	c.verdicts.Set(key, v)
	if c.forgotten.Load() != began {
		c.verdicts.Invalidate(key)
	}
}

// Interface guard
var _ token.Verifier = (*Verifier)(nil)
