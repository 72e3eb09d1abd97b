package token

import (
	"context"
	"fmt"
	"slices"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
)

// Verifier answers one question: what does this token say?
//
// There are three outcomes, and the difference between the last two is what
// keeps people signed in:
//
//   - a Token: the issuer vouches for it, now, for this resource.
//   - an [*InvalidError]: the issuer does not. The client has to get another.
//   - any other error, best an [*UnavailableError]: nobody could find out. The
//     token may be perfectly good, so the client must keep it and try again.
//
// Verify must be safe for concurrent use and give up when ctx ends. It must not
// put the token, or anything that was read from it before it was verified, into
// an error: errors are logged.
type Verifier interface {
	// Accepts reports whether the verifier is one to ask about p. It goes by the
	// form of the token, and asks nobody.
	Accepts(p *Presented) bool

	// Verify judges p, which Accepts said yes to.
	Verify(ctx context.Context, p *Presented) (*Token, error)
}

// Reason says what is wrong with a token. It is one of the constants, so that it
// can be a metric's label and, as a fixed sentence, an answer to the client.
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
	// Rule names the rule that the token broke, more closely than Reason does, for
	// [ExplainJWT]. It is empty where the verifier has no such rules.
	Rule string
	// Detail is for the operator's log. It contains nothing that the token's
	// bearer could choose freely.
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

// UnavailableError says that it could not be found out whether a token is good.
// It is the error of everything that asks another server.
type UnavailableError = outbound.UnavailableError
