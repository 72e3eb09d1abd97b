package caddymcpauth

import (
	"context"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/inprocess"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// ending refuses tokens of users whose access an operator has ended at the
// authorization server in this process.
type ending struct {
	token.Verifier
	issuer string
}

// heedEnds returns v with that check. A verifier that asks the issuer learns of the
// end from the answer.
func heedEnds(issuer string, v token.Source) token.Source {
	if v.NoNetwork {
		v.Verifier = ending{v.Verifier, issuer}
	}
	return v
}

// Verify implements [token.Verifier].
func (e ending) Verify(ctx context.Context, p *token.Presented) (*token.Token, error) {
	t, err := e.Verifier.Verify(ctx, p)
	if err != nil || t == nil {
		return t, err
	}
	issued := func() (time.Time, bool) {
		seconds, ok := t.Claims()["iat"].(float64)
		return time.Unix(int64(seconds), 0), ok
	}
	// An exchanged token (RFC 8693, section 4.1) names the client that exchanged it, not
	// the one whose access it came from.
	exchanged := func() (time.Time, bool) {
		at, ok := issued()
		return at, ok && t.Claims()["act"] != nil
	}
	if inprocess.Ended(e.issuer, t.Subject, t.ClientID, issued) || inprocess.EndedForAny(e.issuer, t.Subject, exchanged) {
		return nil, &token.InvalidError{Reason: token.Inactive, Detail: "an operator has ended the user's access"}
	}
	return t, nil
}

// forgetSubject drops the verdicts on the tokens of subject, and ends its streams.
func (iss *Issuer) forgetSubject(subject string) {
	for _, cache := range iss.caches {
		cache.ForgetSubject(subject)
	}
}
