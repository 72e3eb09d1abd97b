package judge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

const (
	// breakAfter is how many questions in a row have to fail, in a way that
	// isn't about their tokens, before the issuer is taken to be away.
	breakAfter = 3

	minBreak = 1 * time.Second
	maxBreak = 30 * time.Second
)

// breaker keeps questions away from an issuer that is away, for a pause that
// doubles with every further failure. No token moves it: a firewall in front of
// the issuer may answer 503 to one, or never. If questions fail, that only makes
// the door ask one of its own ([token.Source.Probe]), and what comes of that decides: it
// opens the breaker, and after a pause closes it.
//
// For a verifier that has no such question, its own [token.UnavailableError.Outage]
// decides, and after a pause the next caller's token is the question.
type breaker struct {
	now func() time.Time

	mu       sync.Mutex
	failures int // in a row, while closed
	open     bool
	pauses   int       // in a row
	until    time.Time // the pause's end; while closed, no question of our own before
	asking   bool      // it is being found out
	err      error     // why it is open
}

// call is a question that the breaker let through.
type call struct {
	*breaker
	decides bool // for want of a question of our own
}

// allow returns an [*token.UnavailableError] if no question may be asked now.
func (b *breaker) allow(ctx context.Context, own func(context.Context) error) (*call, error) {
	b.mu.Lock()
	if !b.open {
		b.mu.Unlock()
		return &call{breaker: b}, nil
	}
	if wait := b.until.Sub(b.now()); wait > 0 || b.asking {
		err := &token.UnavailableError{
			RetryAfter: max(wait, minBreak),
			Err:        fmt.Errorf("the issuer is down after %d attempts: %w", b.pauses, b.err),
		}
		b.mu.Unlock()
		return nil, err
	}
	b.asking = true
	b.mu.Unlock()
	if own == nil {
		return &call{b, true}, nil
	}
	if err := b.ask(ctx, own); err != nil {
		return nil, err
	}
	return &call{breaker: b}, nil
}

// ask asks a question of our own.
func (b *breaker) ask(ctx context.Context, own func(context.Context) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = &token.UnavailableError{Err: fmt.Errorf("verifier panicked: %v", p)}
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.learned(err)
	}()
	err = own(ctx)
	if _, ok := errors.AsType[*token.UnavailableError](err); !ok && err != nil {
		err = &token.UnavailableError{Err: err}
	}
	return err
}

// learned takes in whether the issuer works. The caller holds the lock.
func (b *breaker) learned(err error) {
	b.failures, b.asking = 0, false
	if err == nil {
		b.open, b.pauses, b.err = false, 0, nil
		b.until = b.now().Add(minBreak)
		return
	}
	pause := min(minBreak<<min(b.pauses, 10), maxBreak)
	if unavailable, ok := errors.AsType[*token.UnavailableError](err); ok {
		pause = max(pause, min(unavailable.RetryAfter, maxBreak))
		err = unavailable.Err
	}
	b.open, b.err = true, err
	b.pauses++
	b.until = b.now().Add(pause)
}

// succeeded says that the issuer answered.
func (c *call) succeeded() {
	b := c.breaker
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.decides {
		c.decides = false
		b.learned(nil)
	}
	b.failures = 0
}

// failed says that the issuer did not judge the token. own is the question of our
// own, if there is one.
func (c *call) failed(err error, own func(context.Context) error) {
	unavailable, ok := errors.AsType[*token.UnavailableError](err)
	if !ok || !unavailable.Outage {
		return
	}
	b := c.breaker
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.decides {
		c.decides = false
		b.learned(err)
		return
	}
	if b.open {
		return // it was under way when the pause began, and says nothing new
	}
	b.failures++
	switch {
	case b.failures < breakAfter || b.asking:
	case own == nil:
		b.learned(err)
	case !b.now().Before(b.until):
		b.asking = true
		go func() { _ = b.ask(context.Background(), own) }()
	}
}

// leave says that the question is over. If it was to decide and did not, because it
// was not asked or failed for its token alone, the next one is.
func (c *call) leave() {
	if !c.decides {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asking = false
}
