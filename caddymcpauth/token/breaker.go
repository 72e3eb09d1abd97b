package token

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// breakAfter is how many calls in a row may fail before the issuer is left
	// alone for a while.
	breakAfter = 3

	minBreak = 1 * time.Second
	maxBreak = 30 * time.Second
)

// breaker keeps calls away from an issuer that fails, for a pause that doubles
// with every further failure. After the pause one call goes through and decides.
type breaker struct {
	now func() time.Time

	mu       sync.Mutex
	failures int // in a row
	until    time.Time
	probing  bool
	lastErr  error
}

// allow returns an [*UnavailableError] if no call may be made now.
func (b *breaker) allow() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < breakAfter {
		return nil
	}
	if wait := b.until.Sub(b.now()); wait > 0 || b.probing {
		return &UnavailableError{
			RetryAfter: max(wait, minBreak),
			Err:        fmt.Errorf("the issuer failed %d times in a row, the last time: %w", b.failures, b.lastErr),
		}
	}
	b.probing = true
	return nil
}

func (b *breaker) succeeded() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures, b.probing, b.lastErr = 0, false, nil
}

// failed records err and returns it as an [*UnavailableError].
func (b *breaker) failed(err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
	if inner, ok := errors.AsType[*UnavailableError](err); ok && inner.TokenOnly {
		return err
	}
	unavailable := &UnavailableError{Err: err}
	if inner, ok := errors.AsType[*UnavailableError](err); ok {
		*unavailable = *inner
	}
	if b.failures >= breakAfter && b.now().Before(b.until) {
		// It was under way when the pause began. How many were hit by an
		// outage doesn't say how long it lasts.
		return unavailable
	}
	b.failures++
	pause := minBreak
	for n := breakAfter; n < b.failures && pause < maxBreak; n++ {
		pause *= 2
	}
	pause = max(pause, min(unavailable.RetryAfter, maxBreak))
	b.lastErr = unavailable.Err
	b.until = b.now().Add(min(pause, maxBreak))
	return unavailable
}
