package token

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
)

const (
	// DefaultTTL is how long a verdict on an opaque token is kept: revocation
	// takes that long to bite.
	DefaultTTL = 60 * time.Second

	// DefaultMaxEntries is how many verdicts are kept.
	DefaultMaxEntries = 100_000

	// refusalTTL is how long a refusal is kept that cost a request to the
	// issuer: a client that insists doesn't cost one each time.
	refusalTTL = 5 * time.Second
)

// Revalidator is implemented by a [Verifier] whose verdicts can fall before they
// expire.
type Revalidator interface {
	// StillGood reports whether t, a verdict of this verifier, stands. If it
	// doesn't, the token is judged again. It is asked on every hit, so it must
	// be fast.
	StillGood(ctx context.Context, t *Token) bool
}

// CacheConfig says how long a [Cache] keeps what.
type CacheConfig struct {
	// MaxEntries bounds the number of verdicts. Zero means
	// [DefaultMaxEntries].
	MaxEntries int

	// TTL is how long a verdict is kept, at most until the token expires. Zero
	// means [DefaultTTL] for opaque tokens and no limit of its own for JWTs;
	// negative, that nothing is kept.
	TTL time.Duration

	// Turns shares the questions to the issuer among the networks of callers.
	// Nil means that any number may be asked at a time.
	Turns Turns

	// Now returns the time. Nil means [time.Now].
	Now func() time.Time
}

// Local is implemented by a [Verifier] that asks nobody about a token: what it
// needs, keys for example, serves for all tokens. It is called for each caller
// that misses the cache, and its refusals are not kept: they may have been
// judged by keys that are about to change, and judging again costs nobody
// anything. Local verifiers are asked first about opaque tokens, so that a token
// they know is sent to no issuer.
type Local interface {
	// Local does nothing.
	Local()
}

// Cache remembers a verifier's verdicts, not decisions: scopes are judged for
// each request. It makes one call of however many wait for the same token, and
// none while the issuer is away. It is made to outlive the verifier that it is
// called with.
type Cache struct {
	config   CacheConfig
	verdicts *otter.Cache[[sha256.Size]byte, *verdict]
	common   commons
	breaker  breaker

	mu      sync.Mutex
	flights map[[sha256.Size]byte]*flight
	watches map[*watch]struct{}

	// forgotten counts what was forgotten: a verdict whose making began before
	// is not kept.
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
		flights:  make(map[[sha256.Size]byte]*flight),
		watches:  make(map[*watch]struct{}),
	}, nil
}

// Cached returns v with its verdicts remembered in c. The cache must not be
// used with a verifier that judges differently.
func (c *Cache) Cached(v Verifier) Verifier {
	return &cached{cache: c, verifier: v}
}

// cached is a [Verifier] with a [Cache] before it.
type cached struct {
	cache    *Cache
	verifier Verifier
}

func (v *cached) unwrap() Verifier { return v.verifier }

// Verify implements [Verifier].
func (v *cached) Verify(ctx context.Context, p *Presented) (*Token, error) {
	c := v.cache
	key := cacheKey(p.Raw)
	if t, err := v.look(ctx, key, p.Raw); t != nil || err != nil {
		return t, err
	}
	if _, ok := find[Local](v.verifier); ok {
		began := c.forgotten.Load()
		t, err := v.verifier.Verify(ctx, p)
		if err == nil && t != nil {
			c.keep(key, c.goodVerdict(p, t, true), began)
		}
		return t, err
	}
	f := v.join(ctx, key, p)
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, &UnavailableError{Err: context.Cause(ctx)}
	}
	if f.err != nil {
		return nil, f.err
	}
	return f.verdict.result(p.Raw)
}

// cacheKey returns the SHA-256 of a token. It is taken for every request, so
// tokens of usual length are not copied to the heap for it.
func cacheKey(raw string) [sha256.Size]byte {
	var buf [2048]byte
	if len(raw) <= len(buf) {
		return sha256.Sum256(buf[:copy(buf[:], raw)])
	}
	return sha256.Sum256([]byte(raw))
}

// look returns what is remembered of raw, whose key is key: a token, a refusal, or
// neither if there is nothing that stands.
func (v *cached) look(ctx context.Context, key [sha256.Size]byte, raw string) (*Token, error) {
	hit, ok := v.cache.verdicts.GetIfPresent(key)
	if !ok || v.cache.config.Now().UnixMilli() >= hit.until {
		return nil, nil
	}
	t, err := hit.result(raw)
	if r, ok := find[Revalidator](v.verifier); ok && t != nil && !r.StillGood(ctx, t) {
		return nil, nil
	}
	return t, err
}

// keep remembers a verdict whose making began when began things were forgotten.
func (c *Cache) keep(key [sha256.Size]byte, v *verdict, began int64) {
	if c.config.TTL < 0 || v.until <= c.config.Now().UnixMilli() || c.forgotten.Load() != began {
		return
	}
	c.verdicts.Set(key, v)
	if c.forgotten.Load() != began {
		c.verdicts.Invalidate(key)
	}
}

// until returns how long the verdict on a good token is kept. One that was got by
// asking is for a short time: the answer may change.
func (c *Cache) until(t *Token, local bool) time.Time {
	ttl := c.config.TTL
	if ttl == 0 && (!local || t.Expiry.IsZero()) {
		ttl = DefaultTTL
	}
	limit := c.config.Now().Add(ttl)
	if !t.Expiry.IsZero() && (ttl == 0 || t.Expiry.Before(limit)) {
		return t.Expiry
	}
	return limit
}

// Interface guard
var _ Verifier = (*cached)(nil)
