package token

import (
	"context"
	"fmt"
	"slices"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
)

// Verifier answers one question: what does this token say?
//
// There are three outcomes. The difference between the last two keeps people signed
// in:
//
//   - a Token: the issuer vouches for it, now, for this resource.
//   - an [*InvalidError]: the issuer does not. The client needs another token.
//   - any other error, preferably an [*UnavailableError]: the token could not be
//     checked. It may be good, so the client must keep it and try again.
//
// Verify must be safe for concurrent use and return when ctx ends. Errors are logged,
// so they must contain neither the token nor anything unverified from it.
type Verifier interface {
	// Accepts reports whether the verifier can judge tokens of this form. It uses
	// no network.
	Accepts(p *Presented) bool

	// Verify judges p, a token that Accepts accepted.
	Verify(ctx context.Context, p *Presented) (*Token, error)
}

// Reason says what is wrong with a token. It is one of the constants below, so it can
// be a metric's label, and there is a fixed sentence for the client.
type Reason string

// The reasons for which a token is refused.
const (
	Malformed         Reason = "malformed"
	Opaque            Reason = "opaque"
	UnknownIssuer     Reason = "unknown_issuer"
	WrongAlgorithm    Reason = "wrong_algorithm"
	WrongType         Reason = "wrong_type"
	WrongAudience     Reason = "wrong_audience"
	Expired           Reason = "expired"
	NotYetValid       Reason = "not_yet_valid"
	BadClaims         Reason = "bad_claims"
	SenderConstrained Reason = "sender_constrained"
	UnknownKey        Reason = "unknown_key"
	BadSignature      Reason = "bad_signature"
	Inactive          Reason = "inactive"
)

// known lists the reasons.
var known = []Reason{
	Malformed, Opaque, UnknownIssuer, WrongAlgorithm, WrongType, WrongAudience, Expired,
	NotYetValid, BadClaims, SenderConstrained, UnknownKey, BadSignature, Inactive,
}

// Known reports whether r is one of the constants.
func (r Reason) Known() bool { return slices.Contains(known, r) }

// InvalidError means that a token is invalid, and that trying again won't help.
type InvalidError struct {
	// Reason says what is wrong with the token.
	Reason Reason
	// Rule names the rule that the token broke. It is more precise than Reason, and
	// for [ExplainJWT]. Verifiers without such rules leave it empty.
	Rule string
	// Detail is for the operator's log. It contains nothing that the client could
	// choose freely. May be empty.
	Detail string
}

func (e *InvalidError) Error() string {
	if e.Detail == "" {
		return "invalid token: " + string(e.Reason)
	}
	return fmt.Sprintf("invalid token: %s: %s", e.Reason, e.Detail)
}

// breaks returns an [*InvalidError] for a token that broke rule.
func breaks(rule string, reason Reason, format string, args ...any) error {
	return &InvalidError{Reason: reason, Rule: rule, Detail: fmt.Sprintf(format, args...)}
}

// invalid returns an [*InvalidError] with a formatted detail.
func invalid(reason Reason, format string, args ...any) error {
	return &InvalidError{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// UnavailableError means that a token could not be checked. Everything that asks
// another server returns this error.
type UnavailableError = outbound.UnavailableError
