package authserver

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"runtime"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/clientip"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/throttle"
)

const (
	// maxWaitingPasswords is how many passwords may wait to be checked, and
	// passwordWait is how long each may wait. The rest of a page's time is for the
	// check itself.
	maxWaitingPasswords = 32
	passwordWait        = 20 * time.Second

	// maxAtUpstreams is how many users returning from upstreams are handled at a
	// time; each causes requests to an upstream. maxWaitingAtUpstreams is how many
	// more may wait, for upstreamWait at most.
	maxAtUpstreams        = 16
	maxWaitingAtUpstreams = 64
	upstreamWait          = 10 * time.Second

	// registrationBurst is how many clients one address may register at once, and
	// registrationEvery how often one more. Nothing is stored for them, so the limit
	// is high enough for an office, or the machines of a CI, behind one address.
	registrationBurst = 1000
	registrationEvery = 200 * time.Millisecond

	// busyPause is how long clients are told to wait when too many requests are
	// waiting.
	busyPause = 5 * time.Second
)

// serverState is state that must survive a reload: failed password attempts, and
// the work that unauthenticated requests have caused.
type serverState struct {
	guesses *throttle.Guesses
	// passwords limits how many passwords are checked at the same time. A check
	// takes a processor a good part of a second, so one processor is left free:
	// guesses must not slow down users who are signed in.
	passwords *throttle.Slots
	// returns and upstreams limit the callbacks of sign-ins at upstreams, which
	// anyone can send: each causes requests to an upstream in this server's name.
	returns   *throttle.Buckets
	upstreams *throttle.Slots

	registrations *throttle.Buckets

	proxy clientip.ProxyWarning
}

func newServerState(now func() time.Time) *serverState {
	return &serverState{
		guesses:   throttle.NewGuesses(now),
		passwords: throttle.NewSlots(max(1, runtime.GOMAXPROCS(0)-1), maxWaitingPasswords, 0),
		returns:   throttle.NewBuckets(throttle.Rate{Burst: 60, Every: time.Second}, now),
		upstreams: throttle.NewSlots(maxAtUpstreams, maxWaitingAtUpstreams, 0),

		registrations: throttle.NewBuckets(throttle.Rate{Burst: registrationBurst, Every: registrationEvery}, now),
	}
}

// Destruct implements [caddy.Destructor].
func (*serverState) Destruct() error { return nil }

// throttledError says that the client has to wait.
type throttledError struct {
	wait time.Duration
	// status is 429 if the client's network sends too many requests, or 503 if all
	// networks together do.
	status int
}

func (e *throttledError) Error() string {
	return fmt.Sprintf("too many attempts: wait %d s", e.seconds())
}

func (e *throttledError) seconds() int { return int(math.Ceil(e.wait.Seconds())) }

// setHeader tells the client when to try again.
func (e *throttledError) setHeader(h http.Header) { h.Set("Retry-After", fmt.Sprint(e.seconds())) }

// busy converts an error of [throttle.Slots] to the answer that the client gets.
func busy(err error) error {
	if e, ok := errors.AsType[*throttle.BusyError](err); ok && e.Own {
		return &throttledError{busyPause, http.StatusTooManyRequests}
	}
	return &throttledError{busyPause, http.StatusServiceUnavailable}
}

// signInWith calls check when it is this client's turn, and counts the result, so
// that guesses are slowed down. browser identifies a browser that the user has
// signed in with before; empty for others. The error is a [*throttledError], or
// check's.
func (s *serverState) signInWith(ctx context.Context, username, browser string, check func() (*User, error)) (*User, error) {
	address := clientip.Of(ctx)
	attempt, wait := s.guesses.Try(address, username, browser)
	if attempt == nil {
		return nil, &throttledError{wait, http.StatusTooManyRequests}
	}
	waiting, cancel := context.WithTimeout(ctx, passwordWait)
	defer cancel()
	release, err := s.passwords.TakeAs(waiting, throttle.Claim{From: address, Rank: attempt.Rank})
	if err != nil {
		attempt.Withdraw()
		return nil, busy(err)
	}
	defer release()
	user, err := check()
	switch {
	case err != nil:
		attempt.Withdraw()
	case user != nil:
		attempt.Succeeded()
	}
	return user, err
}

// waitForUpstream waits until the user's callback may cause requests to an
// upstream. The error is a [*throttledError].
func (s *serverState) waitForUpstream(ctx context.Context) (release func(), err error) {
	address := clientip.Of(ctx)
	if wait := s.returns.Take(address); wait > 0 {
		return nil, &throttledError{wait, http.StatusTooManyRequests}
	}
	ctx, cancel := context.WithTimeout(ctx, upstreamWait)
	defer cancel()
	if release, err = s.upstreams.Take(ctx, address); err != nil {
		return nil, busy(err)
	}
	return release, nil
}

// register takes a registration from the share of the client's networks. If none is
// left, it returns how long the client has to wait.
func (s *serverState) register(ctx context.Context) (wait time.Duration) {
	return s.registrations.Take(clientip.Of(ctx))
}
