// Package outbound is for asking other servers. It knows nothing of Caddy.
package outbound

import "time"

// UnavailableError says that something could not be found out from another
// server: it can't be reached, or doesn't answer usefully.
type UnavailableError struct {
	// RetryAfter is how long to wait before another try makes sense. Zero if
	// unknown.
	RetryAfter time.Duration
	// Outage says that the trouble does not look like that of the one thing that
	// was asked, a token for example: no connection, no answer in time, 429, 502,
	// 503 or 504, our own credentials refused. Several of them make the server be
	// left alone for a while, so that what one caller can bring about by a token
	// of its own must not be one. Without it, the trouble is that token's alone.
	Outage bool
	// Err is the cause.
	Err error
}

func (e *UnavailableError) Error() string { return "cannot find out: " + e.Err.Error() }

func (e *UnavailableError) Unwrap() error { return e.Err }
