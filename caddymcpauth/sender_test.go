package caddymcpauth

import (
	"errors"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/dpop"
)

// Every way in which a proof can fail has its answer.
func TestRefuseProof(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err          error
		status       int
		reason, code string
		challenge    bool
		retryAfter   time.Duration
	}{
		{errors.New("no DPoP header"), 401, "dpop_proof", "invalid_dpop_proof", true, 0},
		{&dpop.Error{Rule: dpop.RuleForm}, 401, "dpop_proof", "invalid_dpop_proof", true, 0},
		{&dpop.Error{Rule: dpop.RuleTime}, 401, "dpop_proof", "invalid_dpop_proof", true, 0},
		{&dpop.Error{Rule: dpop.RuleSignature}, 401, "dpop_proof", "invalid_dpop_proof", true, 0},
		{&dpop.Error{Rule: dpop.RuleBinding}, 401, "wrong_key", "invalid_token", true, 0},
		{&dpop.Error{Rule: dpop.RuleNonce}, 401, "dpop_nonce", "use_dpop_nonce", true, 0},
		{&dpop.Error{Rule: dpop.RuleOnce}, 401, "dpop_replay", "invalid_dpop_proof", true, 0},
		{&dpop.FullError{Own: true, RetryAfter: time.Minute}, 429, "dpop_full", "temporarily_unavailable", false, time.Minute},
		// It is not the client's fault, and not the token's: it keeps both.
		{&dpop.FullError{RetryAfter: time.Minute}, 503, "dpop_full", "temporarily_unavailable", false, time.Minute},
	} {
		got := refuseProof(tc.err)
		if got.status != tc.status || got.reason != tc.reason || got.code != tc.code || got.challenge != tc.challenge || got.retryAfter != tc.retryAfter || got.sentence == "" || !errors.Is(got.cause, tc.err) {
			t.Errorf("%v: got %+v, want %+v", tc.err, got, tc)
		}
	}
}
