package oauth

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
)

// Error is an OAuth error response (RFC 6749, section 5.2, and its extensions).
type Error struct {
	// Code is a code of the registry of OAuth errors.
	Code string
	// Description is a sentence for developers, in ASCII. It never contains what
	// the client sent.
	Description string
	// Status is the HTTP status of the response.
	Status int
	// Cause is only for the log.
	Cause error
	// Unreachable is the host of a client's metadata document that could not be
	// fetched; empty for other errors.
	Unreachable string

	retryAfter time.Duration
	// challenge says that the client used Basic authentication, so the response
	// needs WWW-Authenticate (RFC 6749, section 5.2).
	challenge bool
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Description, e.Cause)
	}
	return e.Code + ": " + e.Description
}

func (e *Error) Unwrap() error { return e.Cause }

func badRequest(code, description string) *Error {
	return &Error{Code: code, Description: description, Status: http.StatusBadRequest}
}

func invalidRequest(description string) *Error { return badRequest("invalid_request", description) }

func invalidGrant(description string) *Error { return badRequest("invalid_grant", description) }

// refusedGrant is invalidGrant with a cause.
func refusedGrant(description string, cause error) *Error {
	e := invalidGrant(description)
	e.Cause = cause
	return e
}

func invalidClient(description string, cause error) *Error {
	return &Error{Code: "invalid_client", Description: description, Status: http.StatusUnauthorized, Cause: cause}
}

// unavailable is a failure of this server or of a server that it depends on. The
// client should try again with the same grant.
func unavailable(cause error) *Error {
	return &Error{
		Code:        "temporarily_unavailable",
		Description: "The request can't be answered right now: try again.",
		Status:      http.StatusServiceUnavailable,
		Cause:       cause,
		retryAfter:  5 * time.Second,
	}
}

// tooMany is the error for a client that asks for too much. It says when to try
// again.
func tooMany(description string, wait time.Duration) *Error {
	return &Error{
		Code:        "temporarily_unavailable",
		Description: description,
		Status:      http.StatusTooManyRequests,
		// Retry-After is in whole seconds.
		retryAfter: (wait + time.Second - 1).Truncate(time.Second),
	}
}

// asError returns err as an OAuth error. Any other error is a failure of the
// store.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if e, ok := errors.AsType[*registration.Error](err); ok {
		return &Error{Code: e.Code, Description: e.Description, Status: http.StatusBadRequest, Cause: e.Cause}
	}
	return unavailable(err)
}
