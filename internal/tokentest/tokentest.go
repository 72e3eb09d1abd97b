// Package tokentest has what tests of verifiers need.
package tokentest

import (
	"context"
	"errors"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// Verify does with raw what the front door does.
func Verify(ctx context.Context, v token.Verifier, raw string) (*token.Token, error) {
	p, err := token.Present(raw)
	if err != nil {
		return nil, err
	}
	return v.Verify(ctx, p)
}

// Outcome names the three outcomes of a [token.Verifier], the reason included.
func Outcome(tok *token.Token, err error) string {
	var inv *token.InvalidError
	var una *token.UnavailableError
	switch {
	case tok != nil && err == nil:
		return "verified"
	case tok != nil:
		return "both a token and an error"
	case errors.As(err, &inv) && errors.As(err, &una):
		return "both invalid and unavailable"
	case errors.As(err, &inv):
		return string(inv.Reason)
	case errors.As(err, &una):
		return "unavailable"
	case err != nil:
		return "another error: " + err.Error()
	default:
		return "neither a token nor an error"
	}
}
