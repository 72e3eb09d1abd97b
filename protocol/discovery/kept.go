package discovery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
)

const (
	// fetchTimeout bounds one fetch, all redirects and the body included.
	fetchTimeout = 5 * time.Second

	// minCooldown is the least time between two fetches. Somebody who sends
	// tokens with invented key ids doesn't get more out of us.
	minCooldown = 1 * time.Second
	// maxCooldown is what it grows to while fetches fail.
	maxCooldown = 30 * time.Second
	// maxForcedCooldown is what it grows to while fetches are forced and bring
	// nothing new, after patience of them.
	maxForcedCooldown = 5 * time.Second
	patience          = 8

	// maxWait is how long a request waits for the cooldown to pass, rather than
	// be told that nobody knows: long enough for a token whose key is new, or
	// that has none, to be judged in the end even while others hammer the door.
	maxWait = maxForcedCooldown
	// maxWaiters bounds how many do.
	maxWaiters = 64
)

// kept is a value that is fetched at first need, kept, and refreshed in the
// background before it gets stale. However many ask, one fetch is under way; no
// lock is held across it, and it goes on when those who asked for it leave.
type kept[T any] struct {
	// lifetime ends all fetches.
	lifetime context.Context
	now      func() time.Time
	// get fetches the value and says how long it is fresh.
	get func(context.Context) (T, time.Duration, error)
	// same reports whether a fetch brought nothing new.
	same func(a, b T) bool
	// usable is how long a value may be used while no newer one can be had.
	usable time.Duration

	mu      sync.Mutex
	value   T
	asOf    time.Time // when value was asked for; zero if there is none
	fresh   time.Time // until when no refresh is needed
	flight  *flight
	waiters int

	next     time.Time // before that, no fetch
	failures int       // fetches in a row that failed
	useless  int       // fetches in a row that were forced and brought nothing new
	lastErr  error
}

// flight is a fetch under way.
type flight struct {
	done   chan struct{}
	forced bool
}

// load returns the value as it was asked for at since or later; with a zero
// since, the one at hand. Its error is a [*outbound.UnavailableError].
func (k *kept[T]) load(ctx context.Context, since time.Time) (T, error) {
	var none T
	var tried, waited bool
	for {
		k.mu.Lock()
		now := k.now()
		known := !k.asOf.IsZero() && now.Before(k.asOf.Add(k.usable))
		if known && !k.asOf.Before(since) {
			value := k.value
			if !now.Before(k.fresh) && !now.Before(k.next) {
				k.start(false)
			}
			k.mu.Unlock()
			return value, nil
		}
		if k.flight == nil && tried && k.failures > 0 {
			err := k.unavailable(now)
			k.mu.Unlock()
			return none, err
		}
		var wait time.Duration
		if k.flight == nil {
			if wait = k.next.Sub(now); wait <= 0 {
				k.start(known)
			} else if wait > maxWait || waited || k.waiters >= maxWaiters || k.failures > 0 {
				err := k.unavailable(now)
				k.mu.Unlock()
				return none, err
			}
		}
		f := k.flight
		k.waiters++
		k.mu.Unlock()

		err := pause(ctx, f, wait)

		k.mu.Lock()
		k.waiters--
		k.mu.Unlock()
		if err != nil {
			return none, &outbound.UnavailableError{Err: err}
		}
		tried, waited = tried || f != nil, waited || f == nil
	}
}

// pause waits for f, or for d if there is no flight.
func pause(ctx context.Context, f *flight, d time.Duration) error {
	if f != nil {
		select {
		case <-f.done:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// start begins a fetch unless one is in progress. forced says that there was a
// value, but a caller asked for a newer one. k.mu must be held.
func (k *kept[T]) start(forced bool) {
	if k.flight != nil {
		return
	}
	f := &flight{done: make(chan struct{}), forced: forced}
	k.flight = f
	asOf := k.now()
	go func() {
		ctx, cancel := context.WithTimeout(k.lifetime, fetchTimeout)
		defer cancel()
		value, freshFor, err := k.get(ctx)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.land(f, value, asOf, freshFor, err)
		k.flight = nil
		close(f.done)
	}()
}

// land takes in what a fetch brought. k.mu must be held.
func (k *kept[T]) land(f *flight, value T, asOf time.Time, freshFor time.Duration, err error) {
	now := k.now()
	if err != nil {
		k.failures++
		k.lastErr = err
		k.next = now.Add(backoff(k.failures, maxCooldown))
		var throttled *throttledError
		if errors.As(err, &throttled) {
			k.next = now.Add(min(throttled.retryAfter, maxCooldown))
		}
		return
	}
	switch {
	case k.asOf.IsZero() || !k.same(k.value, value):
		// The very value is replaced only by another one: verdicts on tokens
		// hang on it.
		k.value, k.useless = value, 0
	case f.forced:
		k.useless++
	}
	k.failures, k.lastErr = 0, nil
	k.asOf, k.fresh = asOf, now.Add(freshFor)
	k.next = now.Add(backoff(k.useless-patience, maxForcedCooldown))
}

// doubt has the value refreshed when it is next asked for.
func (k *kept[T]) doubt() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fresh = time.Time{}
}

// backoff doubles from minCooldown for every n beyond 1, up to limit.
func backoff(n int, limit time.Duration) time.Duration {
	d := minCooldown
	for ; n > 1 && d < limit; n-- {
		d *= 2
	}
	return min(d, limit)
}

// unavailable says why there is no value, and when to try again. k.mu must be
// held.
func (k *kept[T]) unavailable(now time.Time) error {
	err := k.lastErr
	if err == nil {
		err = errors.New("asked the issuer only a moment ago")
	} else {
		err = fmt.Errorf("asking the issuer: %w", err)
	}
	return &outbound.UnavailableError{Err: err, RetryAfter: max(k.next.Sub(now), minCooldown)}
}
