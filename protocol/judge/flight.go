package judge

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

const (
	// verifyTimeout bounds one call of a verifier.
	verifyTimeout = 5 * time.Second

	// turnTimeout bounds how long a request to the issuer waits for its turn.
	turnTimeout = 5 * time.Second

	// busyRetryAfter is what clients are told for whose token there was no turn.
	busyRetryAfter = 5 * time.Second
)

// Turns bounds the number of concurrent requests to an issuer and shares them fairly
// between the networks that clients come from.
type Turns interface {
	// Take waits until a client at an address, which may be empty, has a turn, or
	// ctx ends. It returns an error at once if too many wait, in all or from the
	// client's network. The turn ends when release is called.
	Take(ctx context.Context, client string) (release func(), err error)
}

// flight is a call of the verifier under way.
type flight struct {
	done    chan struct{}
	verdict *verdict
	err     error
}

// join returns the call for key, and starts it if there is none. The call has a
// context of its own, so it goes on for the others if this caller gives up.
func (v *Verifier) join(ctx context.Context, key [sha256.Size]byte, p *token.Presented) *flight {
	c := v.Cache
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.flights[key]; f != nil {
		return f
	}
	f := &flight{done: make(chan struct{})}
	c.flights[key] = f
	ctx = context.WithoutCancel(ctx)
	began := c.forgotten.Load()
	go func() {
		defer func() {
			// In this goroutine nothing else recovers: a panic would end the process.
			if p := recover(); p != nil {
				f.verdict, f.err = nil, &token.UnavailableError{Err: fmt.Errorf("verifier panicked: %v", p)}
			}
			c.mu.Lock()
			if c.flights[key] == f {
				delete(c.flights, key)
			}
			c.mu.Unlock()
			close(f.done)
		}()
		f.verdict, f.err = v.ask(ctx, p)
		if f.err == nil {
			c.keep(key, f.verdict, began)
		}
	}()
	return f
}

// ask calls the verifier, unless its issuer is down.
func (v *Verifier) ask(ctx context.Context, p *token.Presented) (*verdict, error) {
	c := v.Cache
	verify := token.Ask(v.Source.Verify)
	if v.Prepare != nil {
		var err error
		if verify, err = v.prepare(ctx, p); err != nil {
			return v.verdict(p, nil, err)
		}
	}
	call, err := c.breaker.allow(ctx, v.Probe)
	if err != nil {
		return nil, err
	}
	defer call.end()
	release, err := c.turn(ctx, p.Client)
	if err != nil {
		return nil, &token.UnavailableError{RetryAfter: busyRetryAfter, Err: fmt.Errorf("too many requests to the issuer: %w", err)}
	}
	defer release()
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	t, err := verify(ctx, p)
	verdict, err := v.verdict(p, t, err)
	if err != nil {
		call.failed(err, v.Probe)
		return nil, err
	}
	call.succeeded()
	return verdict, nil
}

func (v *Verifier) prepare(ctx context.Context, p *token.Presented) (token.Ask, error) {
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	return v.Prepare(ctx, p)
}

// turn waits for a turn to ask the issuer.
func (c *Cache) turn(ctx context.Context, client string) (release func(), err error) {
	if c.config.Turns == nil {
		return func() {}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	return c.config.Turns.Take(ctx, client)
}

// verdict turns what a verifier returned into a verdict, or into an
// [*token.UnavailableError].
func (v *Verifier) verdict(p *token.Presented, t *token.Token, err error) (*verdict, error) {
	c := v.Cache
	if refusal, ok := errors.AsType[*token.InvalidError](err); ok {
		until := c.config.Now()
		if p.JWS == nil || refusal.Reason == token.Inactive {
			until = until.Add(refusalTTL)
		} // what keys say isn't kept: they may be about to change
		return &verdict{refusal: refusal, until: until.UnixMilli(), spellings: spellingsOf(p)}, nil
	}
	if unavailable, ok := errors.AsType[*token.UnavailableError](err); ok {
		return nil, unavailable
	}
	switch {
	case err != nil:
		return nil, &token.UnavailableError{Err: err}
	case t == nil:
		return nil, &token.UnavailableError{Err: errors.New("verifier returned neither a token nor an error")}
	}
	return c.goodVerdict(p, t, false), nil
}
