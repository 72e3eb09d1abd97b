package message

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/throttle"
)

// Limits for messages of strangers: senders that no front door has admitted. Their
// messages are small: only calls are large, and most calls need a token.
const (
	// MaxUnknown is how many bytes are read of them.
	MaxUnknown = 64 << 10
	// Wait is how long they may wait for their turn, and then take to arrive: a slow
	// sender keeps others waiting.
	Wait = 10 * time.Second

	// maxReads is how many of them are read at once, and maxQueue how many wait.
	maxReads = 64
	maxQueue = 256
)

// Turns are given to the messages of strangers. Networks take turns, so that one that
// sends slowly only holds up itself.
type Turns struct{ slots *throttle.Slots }

// NewTurns returns turns for 64 messages at once, with a queue of 256.
func NewTurns() *Turns { return &Turns{throttle.NewSlots(maxReads, maxQueue, 0)} }

// Take waits for a turn of the client at the address from to have the message in r
// read. The turn must be released. The error is a [*throttle.BusyError], or that of a
// context.
func (t *Turns) Take(r *http.Request, from string) (release func(), err error) {
	ctx, cancel := context.WithTimeout(r.Context(), Wait)
	defer cancel()
	return t.slots.Take(ctx, from)
}

// Of is the function [Of] for a stranger's message: it waits for a turn of the client at
// the address from, and the message must then arrive within [Wait]. A message that was
// read before needs no turn.
//
// It is for handlers that don't have the writer of the response, and sets the time limit
// by Caddy's own limit on stalled bodies. Where there is none there are no turns either:
// one that never ends would keep other networks from theirs.
func (t *Turns) Of(r *http.Request, from string) (*Message, error) {
	if _, read := r.Body.(*reader); read {
		return Of(r, MaxUnknown)
	}
	if err := checkContent(r.Header); err != nil {
		return nil, err
	}
	if r.ContentLength > MaxUnknown {
		return nil, TooLarge()
	}
	limited, _ := caddyhttp.IdleTimeoutsFromContext(r.Context())
	if limited == nil {
		return Of(r, MaxUnknown)
	}
	release, err := t.Take(r, from)
	if err != nil {
		return nil, busy(err)
	}
	defer release()
	if limited.SetReadDeadline(time.Now().Add(Wait)) != nil { // not supported
		release()
		return Of(r, MaxUnknown)
	}
	m, err := Of(r, MaxUnknown)
	// A body that came too late keeps its limit.
	_ = limited.SetReadDeadline(time.Time{})
	return m, err
}

// busy returns the error about a message that got no turn.
func busy(err error) *Error {
	status := http.StatusServiceUnavailable
	if busy, ok := errors.AsType[*throttle.BusyError](err); ok && busy.Own {
		status = http.StatusTooManyRequests
	}
	return unread(status, "Too many requests without an access token. Try again.", err)
}
