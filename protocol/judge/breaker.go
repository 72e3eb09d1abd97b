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
	// breakAfter is how many requests in a row have to fail, for reasons other
	// than their tokens, before the issuer is suspected to be down.
	breakAfter = 3

	// minBreak and maxBreak bound the pause.
	minBreak = 1 * time.Second
	maxBreak = 30 * time.Second
)

// breaker is a circuit breaker: it stops requests to an issuer that is down. The
// pause doubles with each failure.
//
// No client's token can open it: a firewall in front of the issuer may answer 503 to
// a certain token, or never answer. Failed requests only trigger a probe
// ([token.Source.Probe]), and the result of the probe opens the breaker. After a
// pause, another probe closes it, or begins the next pause.
//
// Without a probe, errors with [token.UnavailableError.Outage] open the breaker, and
// after a pause the next client's token is the probe.
type breaker struct {
	now func() time.Time

	mu       sync.Mutex
	failures int // in a row, while closed
	open     bool
	pauses   int       // in a row
	until    time.Time // the end of the pause; while closed, no probe before
	probing  bool      // a probe is under way
	err      error     // why it is open
}

// call is a request to the issuer that the breaker let through.
type call struct {
	*breaker
	decides bool // it is the probe, because the verifier has none
}

// allow returns a [*token.UnavailableError] if the issuer may not be asked now.
func (b *breaker) allow(ctx context.Context, probe func(context.Context) error) (*call, error) {
	b.mu.Lock()
	if !b.open {
		b.mu.Unlock()
		return &call{breaker: b}, nil
	}
	if wait := b.until.Sub(b.now()); wait > 0 || b.probing {
		err := &token.UnavailableError{
			RetryAfter: max(wait, minBreak),
			Err:        fmt.Errorf("the issuer is down after %d attempts: %w", b.pauses, b.err),
		}
		b.mu.Unlock()
		return nil, err
	}
	b.probing = true
	b.mu.Unlock()
	if probe == nil {
		return &call{b, true}, nil
	}
	if err := b.runProbe(ctx, probe); err != nil {
		return nil, err
	}
	return &call{breaker: b}, nil
}

// runProbe runs the verifier's probe.
func (b *breaker) runProbe(ctx context.Context, probe func(context.Context) error) (err error) {
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
	err = probe(ctx)
	if _, ok := errors.AsType[*token.UnavailableError](err); !ok && err != nil {
		err = &token.UnavailableError{Err: err}
	}
	return err
}

// learned records whether the issuer works. The caller holds the lock.
func (b *breaker) learned(err error) {
	b.failures, b.probing = 0, false
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

// failed says that the issuer did not judge the token. probe may be nil.
func (c *call) failed(err error, probe func(context.Context) error) {
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
		return // it began before the pause, so it says nothing new
	}
	b.failures++
	switch {
	case b.failures < breakAfter || b.probing:
	case probe == nil:
		b.learned(err)
	case !b.now().Before(b.until):
		b.probing = true
		go func() { _ = b.runProbe(context.Background(), probe) }()
	}
}

// end says that the call is over. If it was to decide and did not, because the
// issuer wasn't asked or the failure concerns the token alone, the next call decides.
func (c *call) end() {
	if !c.decides {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.probing = false
}
