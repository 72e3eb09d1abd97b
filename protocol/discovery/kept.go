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

	// minCooldown is the least time between two fetches. A client that sends
	// tokens with invented key ids can't cause more.
	minCooldown = 1 * time.Second
	// maxCooldown is the most that the cooldown grows to while fetches fail.
	maxCooldown = 30 * time.Second
	// maxForcedCooldown is the most that the cooldown grows to while forced fetches
	// bring nothing new. It starts to grow after freeForcedFetches of them.
	maxForcedCooldown = 5 * time.Second
	freeForcedFetches = 8

	// maxWait is how long a request waits for the cooldown to pass instead of
	// failing: long enough that a token with a new key, or with none, is judged
	// even while others keep asking for keys that don't exist.
	maxWait = maxForcedCooldown
	// maxWaiters bounds how many requests wait.
	maxWaiters = 64
)

// kept is a value that is fetched when it is first needed, kept, and refreshed in the
// background before it gets stale. At most one fetch is under way. No lock is held
// during a fetch, and the fetch goes on when its callers give up.
//
// Neither x/sync/singleflight nor x/time/rate fits: whether a fetch under way is
// recent enough depends on when it began, and how long the next one has to wait
// depends on the results of the last ones.
type kept[T any] struct {
	// lifetime ends all fetches.
	lifetime context.Context
	now      func() time.Time
	// get fetches the value and says how long it is fresh.
	get func(context.Context) (T, time.Duration, error)
	// same reports whether a fetch brought nothing new.
	same func(a, b T) bool
	// usable is how long a value may be used while no newer one can be fetched.
	usable time.Duration

	mu      sync.Mutex
	value   T
	asOf    time.Time // when the fetch of value began; zero if there is no value
	fresh   time.Time // no refresh is needed until then
	flight  *flight
	waiters int

	next     time.Time // no fetch before then
	failures int       // fetches in a row that failed
	useless  int       // fetches in a row that were forced and brought nothing new
	lastErr  error
}

// flight is a fetch under way.
type flight struct {
	done   chan struct{}
	forced bool
}

// load returns a value whose fetch began at since or later, after a fetch if there is
// none. With a zero since, any value that is still usable will do; if it isn't fresh any
// more, a newer one is fetched in the background. The error is an
// [*outbound.UnavailableError].
func (k *kept[T]) load(ctx context.Context, since time.Time) (T, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := k.now(); k.has(since, now) {
		if !now.Before(k.fresh) && !now.Before(k.next) {
			k.start(false)
		}
		return k.value, nil
	}
	if k.flight != nil {
		if err := k.wait(ctx, k.flight, 0); err != nil {
			return k.none(err)
		}
		if k.has(since, k.now()) || k.flight == nil && k.failures > 0 {
			return k.result(since)
		}
		// That fetch began before since, so another one is needed, after the
		// cooldown.
	}
	if cooldown := k.next.Sub(k.now()); k.flight == nil && cooldown > 0 {
		if cooldown > maxWait || k.waiters >= maxWaiters || k.failures > 0 {
			return k.result(since)
		}
		if err := k.wait(ctx, nil, cooldown); err != nil {
			return k.none(err)
		}
	}
	// Another caller that waited may have begun a fetch, or finished one.
	now := k.now()
	if !k.has(since, now) && !now.Before(k.next) {
		k.start(k.has(time.Time{}, now))
	}
	if !k.has(since, now) && k.flight != nil {
		if err := k.wait(ctx, k.flight, 0); err != nil {
			return k.none(err)
		}
	}
	return k.result(since)
}

// has reports whether the value may be used now and its fetch began at since or
// later. k.mu must be held, here and in all methods below but expire.
func (k *kept[T]) has(since, now time.Time) bool {
	return !k.asOf.IsZero() && !k.asOf.Before(since) && now.Before(k.asOf.Add(k.usable))
}

// result returns the value if its fetch began at since or later, and otherwise an
// error that says why there is none.
func (k *kept[T]) result(since time.Time) (T, error) {
	now := k.now()
	if k.has(since, now) {
		return k.value, nil
	}
	err := k.lastErr
	if err == nil {
		err = errors.New("asked the issuer only a moment ago")
	} else {
		err = fmt.Errorf("asking the issuer: %w", err)
	}
	var none T
	return none, &outbound.UnavailableError{Err: err, RetryAfter: max(k.next.Sub(now), minCooldown)}
}

// none returns the error for a caller that stopped waiting.
func (k *kept[T]) none(err error) (T, error) {
	var none T
	return none, &outbound.UnavailableError{Err: err}
}

// wait waits for f, or for d if there is no flight. It releases k.mu meanwhile.
func (k *kept[T]) wait(ctx context.Context, f *flight, d time.Duration) error {
	k.waiters++
	k.mu.Unlock()
	err := pause(ctx, f, d)
	k.mu.Lock()
	k.waiters--
	return err
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

// start begins a fetch unless one is in progress. forced means that there was a
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
		k.finish(f, value, asOf, freshFor, err)
		k.flight = nil
		close(f.done)
	}()
}

// finish stores the result of a fetch. k.mu must be held.
func (k *kept[T]) finish(f *flight, value T, asOf time.Time, freshFor time.Duration, err error) {
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
		// An equal value doesn't replace the one at hand: verdicts on tokens are tied
		// to that very value.
		k.value, k.useless = value, 0
	case f.forced:
		k.useless++
	}
	k.failures, k.lastErr = 0, nil
	k.asOf, k.fresh = asOf, now.Add(freshFor)
	k.next = now.Add(backoff(k.useless-freeForcedFetches, maxForcedCooldown))
}

// expire makes the next load refresh the value.
func (k *kept[T]) expire() {
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
