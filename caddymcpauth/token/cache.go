package token

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
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

	// verifyTimeout bounds one call of a verifier.
	verifyTimeout = 5 * time.Second
)

// Revalidator is implemented by a [Verifier] whose verdicts can fall before they
// expire.
type Revalidator interface {
	// StillGood reports whether t, a verdict of this verifier, stands. If it
	// doesn't, the token is judged anew. It is asked on every hit, so it must
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

	// Now returns the time. Nil means [time.Now].
	Now func() time.Time
}

// Local is implemented by a [Verifier] that asks nobody about a token: what it
// needs, keys for example, serves for all tokens. It is called for each caller
// that misses the cache, and its refusals are not kept: they may have been
// judged by keys that are about to change, and judging again costs nobody
// anything. Other than the others it is asked first about opaque tokens, so that
// what it knows goes to nobody.
type Local interface {
	// Local does nothing.
	Local()
}

// Cache remembers a verifier's verdicts, not decisions: scopes are judged for
// each request. It makes one call of however many wait for the same token, and
// none while the issuer has failed too often. It is made to outlive the verifier
// that it is called with.
type Cache struct {
	config   CacheConfig
	verdicts *otter.Cache[[sha256.Size]byte, *verdict]
	breaker  breaker

	mu      sync.Mutex
	flights map[[sha256.Size]byte]*flight
	scopes  map[string][]string // see intern

	// forgotten counts what was forgotten: a verdict whose making began before
	// is not kept.
	forgotten atomic.Int64
}

// verdict is what a verifier said of a token. There are many: of a JWT only what
// every request needs is kept, for the request brings the rest along.
type verdict struct {
	until   int64         // in milliseconds since the epoch
	refusal *InvalidError // nil if it was not refused
	token   *Token        // nil for a JWT, which has the following instead

	issuer, subject string
	scopes          []string
	keys            *KeySet
}

// goodVerdict returns the verdict on a good token.
func (c *Cache) goodVerdict(t *Token, local bool) *verdict {
	v := &verdict{until: c.until(t, local).UnixMilli()}
	if t.keys == nil {
		v.token = t
		return v
	}
	v.issuer, v.subject, v.scopes, v.keys = t.Issuer, t.Subject, c.intern(t.Scopes), t.keys
	return v
}

// maxInterned bounds the lists of scopes that tokens share.
const maxInterned = 1000

// intern returns a list equal to scopes that other verdicts have as well: there
// are few of them.
func (c *Cache) intern(scopes []string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := strings.Join(scopes, " ")
	if shared, ok := c.scopes[key]; ok && slices.Equal(shared, scopes) {
		return shared
	}
	if len(c.scopes) < maxInterned {
		c.scopes[key] = scopes
	}
	return scopes
}

// result returns what a verifier would say of raw, the token of the verdict.
func (v *verdict) result(raw string) (*Token, error) {
	switch {
	case v.refusal != nil:
		return nil, v.refusal
	case v.token != nil:
		return v.token, nil
	default:
		return &Token{Issuer: v.issuer, Subject: v.subject, Scopes: v.scopes, keys: v.keys, raw: raw}, nil
	}
}

// flight is a call under way.
type flight struct {
	done    chan struct{}
	verdict *verdict
	err     error
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
		scopes:   make(map[string][]string),
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
			c.keep(key, c.goodVerdict(t, true), began)
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
	if r, ok := v.verifier.(Revalidator); ok && t != nil && !r.StillGood(ctx, t) {
		return nil, nil
	}
	return t, err
}

// join returns the call for key, which it begins if none is under way. The call
// has a context of its own: it goes on for the others when this caller leaves.
func (v *cached) join(ctx context.Context, key [sha256.Size]byte, p *Presented) *flight {
	c := v.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.flights[key]; f != nil {
		return f
	}
	f := &flight{done: make(chan struct{})}
	c.flights[key] = f
	shared, cancel := context.WithTimeout(context.WithoutCancel(ctx), verifyTimeout)
	began := c.forgotten.Load()
	go func() {
		defer func() {
			// Outside of the request's goroutine a panic would end the process.
			if p := recover(); p != nil {
				f.verdict, f.err = nil, c.breaker.failed(fmt.Errorf("verifier panicked: %v", p))
			}
			cancel()
			c.mu.Lock()
			if c.flights[key] == f {
				delete(c.flights, key)
			}
			c.mu.Unlock()
			close(f.done)
		}()
		f.verdict, f.err = v.ask(shared, p)
		if f.err == nil {
			c.keep(key, f.verdict, began)
		}
	}()
	return f
}

// ask has the verifier judge p, unless it has failed too often.
func (v *cached) ask(ctx context.Context, p *Presented) (*verdict, error) {
	c := v.cache
	if err := c.breaker.allow(); err != nil {
		return nil, err
	}
	t, err := v.verifier.Verify(ctx, p)
	var refusal *InvalidError
	switch {
	case err == nil && t != nil:
		c.breaker.succeeded()
		return c.goodVerdict(t, false), nil
	case errors.As(err, &refusal):
		c.breaker.succeeded()
		until := c.config.Now()
		if p.JWS == nil || refusal.Reason == Inactive {
			until = until.Add(refusalTTL)
		} // what keys said isn't kept, they may be about to change
		return &verdict{refusal: refusal, until: until.UnixMilli()}, nil
	case err == nil:
		err = errors.New("verifier returned neither a token nor an error")
	}
	return nil, c.breaker.failed(err)
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

// Forget drops all verdicts, and returns how many.
func (c *Cache) Forget() int {
	return c.forget(func([sha256.Size]byte, *verdict) bool { return true })
}

// ForgetToken drops the verdict on the token with the given SHA-256, and returns
// how many that were.
func (c *Cache) ForgetToken(hash [sha256.Size]byte) int {
	return c.forget(func(key [sha256.Size]byte, _ *verdict) bool { return key == hash })
}

// ForgetSubject drops the verdicts on the tokens of subject, and returns how
// many that were.
func (c *Cache) ForgetSubject(subject string) int {
	return c.forget(func(_ [sha256.Size]byte, v *verdict) bool {
		return v.keys != nil && v.subject == subject || v.token != nil && v.token.Subject == subject
	})
}

func (c *Cache) forget(match func([sha256.Size]byte, *verdict) bool) int {
	c.forgotten.Add(1)
	c.mu.Lock()
	clear(c.flights) // who comes from now on isn't told what was asked before
	c.mu.Unlock()
	n := 0
	for key, v := range c.verdicts.All() {
		if match(key, v) {
			c.verdicts.Invalidate(key)
			n++
		}
	}
	return n
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
