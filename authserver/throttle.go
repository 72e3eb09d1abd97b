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
	// maxWaitingPasswords is how many passwords wait to be checked, and
	// passwordWait for how long: it leaves time for the check itself, and for the
	// page.
	maxWaitingPasswords = 32
	passwordWait        = 20 * time.Second

	// maxAtUpstreams is how many users are coming back from upstreams at a time,
	// each of which makes for requests there, and maxWaitingAtUpstreams how many
	// wait for that, for upstreamWait at most.
	maxAtUpstreams        = 16
	maxWaitingAtUpstreams = 64
	upstreamWait          = 10 * time.Second

	// busyPause is when to come back if there are too many.
	busyPause = 5 * time.Second
)

// serverState is what a reload must not forget: who guessed passwords, and what
// work strangers have caused.
type serverState struct {
	guesses *throttle.Guesses
	// passwords are slots for checking one, which takes a processor a good part
	// of a second: one per processor but one, so that guesses don't take the
	// machine away from those who are signed in.
	passwords *throttle.Slots
	// returns and upstreams are for users who come back from an upstream, or say
	// that they do: it is asked in our name.
	returns   *throttle.Buckets
	upstreams *throttle.Slots

	proxy clientip.ProxyWarning
}

func newServerState(now func() time.Time) *serverState {
	return &serverState{
		guesses:   throttle.NewGuesses(now),
		passwords: throttle.NewSlots(max(1, runtime.GOMAXPROCS(0)-1), maxWaitingPasswords, 0),
		returns:   throttle.NewBuckets(throttle.Rate{Burst: 60, Every: time.Second}, now),
		upstreams: throttle.NewSlots(maxAtUpstreams, maxWaitingAtUpstreams, 0),
	}
}

// Destruct implements [caddy.Destructor].
func (*serverState) Destruct() error { return nil }

// throttledError says that the client has to wait.
type throttledError struct {
	wait time.Duration
	// status is 429 if the client's network asks for too much, or 503 if all
	// together do.
	status int
}

func (e *throttledError) Error() string {
	return fmt.Sprintf("too many attempts: wait %d s", e.seconds())
}

func (e *throttledError) seconds() int { return int(math.Ceil(e.wait.Seconds())) }

// setHeader tells the client when to come back.
func (e *throttledError) setHeader(h http.Header) { h.Set("Retry-After", fmt.Sprint(e.seconds())) }

// busy returns what an error of [throttle.Slots] means for the client.
func busy(err error) error {
	if e, ok := errors.AsType[*throttle.BusyError](err); ok && e.Own {
		return &throttledError{busyPause, http.StatusTooManyRequests}
	}
	return &throttledError{busyPause, http.StatusServiceUnavailable}
}

// signInWith has check look at a password, when it is the client's turn. What
// check says counts: guesses are slowed down. browser names a browser that the
// user has signed in with before; empty for others. The error is a
// [*throttledError], or check's.
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

// comeBack waits until a user who comes back from an upstream may be asked about
// there. The error is a [*throttledError].
func (s *serverState) comeBack(ctx context.Context) (release func(), err error) {
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
