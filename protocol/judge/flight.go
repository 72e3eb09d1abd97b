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

	// turnTimeout bounds how long a question waits for its turn.
	turnTimeout = 5 * time.Second

	// busyRetryAfter is told to callers whose question had no turn.
	busyRetryAfter = 5 * time.Second
)

// Turns shares the questions that an issuer is asked at a time among the networks
// that callers come from. This package takes them as an interface because those
// shares are not only for tokens.
type Turns interface {
	// Take waits for a turn of a caller at the address client, which may be
	// empty, until ctx ends. It returns an error at once if too many wait, or
	// too many of the caller's network. The turn ends when release is called.
	Take(ctx context.Context, client string) (release func(), err error)
}

// flight is a call under way.
type flight struct {
	done    chan struct{}
	verdict *verdict
	err     error
}

// join returns the call for key, which it begins if none is under way. The call
// has a context of its own: it goes on for the others when this caller leaves.
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
			// Outside of the request's goroutine a panic would end the process.
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

// ask has the verifier judge p, unless its issuer is away.
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
	defer call.leave()
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
		} // what keys said isn't kept, they may be about to change
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
