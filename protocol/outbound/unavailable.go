// Package outbound sends requests to other servers. It knows nothing of Caddy.
package outbound

import "time"

// UnavailableError says that another server gave no usable answer: it can't be
// reached, or its answer is of no use.
type UnavailableError struct {
	// RetryAfter is how long to wait before another try makes sense. Zero if
	// unknown.
	RetryAfter time.Duration
	// Outage means that the failure looks like the server's, not that of the one
	// question, such as a token: no connection, no answer in time, 502, 503 or 504,
	// 429 unless it counts the token's own requests, or our own credentials refused. After several outages the server isn't
	// asked for a while, so a failure that one caller can cause with a token of its
	// own must not be an outage. Without Outage, the failure may be about that token
	// alone, or about something that isn't asked for per token, such as keys.
	Outage bool
	// Err is the cause.
	Err error
}

func (e *UnavailableError) Error() string { return "cannot find out: " + e.Err.Error() }

func (e *UnavailableError) Unwrap() error { return e.Err }
