package token

// This file explains to an operator why a token was accepted or refused. It decides
// nothing: it presents what the verifiers said.

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
)

// Outcome is how a step of judging a token came out.
type Outcome string

const (
	// Passed means that the token kept the rule.
	Passed Outcome = "ok"
	// Failed means that it broke the rule, and was refused for it.
	Failed Outcome = "FAIL"
	// Unknown means that it could not be found out.
	Unknown Outcome = "?"
	// NotReached means that an earlier check refused the token.
	NotReached Outcome = "-"
)

// Step is the result of one check. No field contains the token or, except for iss
// and aud (quoted), any attacker-chosen value.
type Step struct {
	// Rule names what was checked.
	Rule string `json:"rule"`
	// Outcome is how it ended.
	Outcome Outcome `json:"outcome"`
	// Detail says more, if there is more to say.
	Detail string `json:"detail,omitempty"`
	// Cure says what to do about it.
	Cure string `json:"cure,omitempty"`
}

// wellKnown lists values of alg and typ that are shown, because they tell what kind of
// token the user has.
var wellKnown = []string{
	"none", "HS256", "HS384", "HS512", "ES256K", "RSA-OAEP", "RSA-OAEP-256", "dir", "ECDH-ES",
	"at+jwt", "jwt", "id_token", "dpop+jwt", "logout+jwt", "secevent+jwt", "token-introspection+jwt", "jose", "jose+json",
}

func shown(value string) string {
	if value == "" {
		return "none given"
	}
	if slices.Contains(wellKnown, value) || keys.Supported(value) {
		return value
	}
	return "not a known one"
}

// ExplainForm describes the form of raw. p and err are what [Present] returned.
func ExplainForm(raw string, p *Presented, err error) []Step {
	if err != nil {
		return []Step{{Rule: "form", Outcome: Failed, Detail: detail(err)}}
	}
	if p.JWS == nil && strings.Count(raw, ".") == 4 {
		return []Step{{Rule: "form", Outcome: Passed, Detail: "an encrypted JWT (JWE), which only its issuer can read: have it sign access tokens only, or ask it with introspection or userinfo"}}
	}
	if p.JWS == nil {
		return []Step{{Rule: "form", Outcome: Passed, Detail: fmt.Sprintf("opaque, %d characters", len(raw))}}
	}
	kid := "none given"
	if p.JWS.KeyID != "" {
		kid = "given"
	}
	return []Step{{Rule: "form", Outcome: Passed, Detail: fmt.Sprintf("a signed JWT: alg %s, typ %s, kid %s", shown(p.JWS.Algorithm), shown(p.JWS.Type), kid)}}
}

// The rules of [JWT], in the order in which it applies them.
const (
	ruleAlgorithm   = "alg"
	ruleType        = "typ"
	ruleIssuer      = "iss"
	ruleKind        = "access token"
	ruleAudience    = "aud"
	ruleExpiry      = "exp"
	ruleTimes       = "nbf, iat"
	ruleSubject     = "sub"
	ruleConstrained = "cnf"
	ruleKey         = "key"
	ruleSignature   = "signature"
)

var jwtRules = []string{
	ruleAlgorithm, ruleType, ruleIssuer, ruleKind, ruleAudience, ruleExpiry, ruleTimes, ruleConstrained, ruleSubject, ruleKey, ruleSignature,
}

// ExplainJWT presents the verdict of a [JWT] on p, rule by rule. err is what its Verify
// returned.
func ExplainJWT(p *Presented, err error, now time.Time) []Step {
	broken, outcome := "", Failed
	if inv, ok := errors.AsType[*InvalidError](err); ok {
		broken = cmp.Or(inv.Rule, string(inv.Reason))
	} else if err != nil {
		broken, outcome = ruleKey, Unknown
	}
	var steps []Step
	reached := true
	for _, rule := range jwtRules {
		step := Step{Rule: rule, Outcome: Passed}
		switch {
		case rule == broken:
			reached = false
			step.Outcome, step.Detail = outcome, detail(err)
		case !reached:
			step.Outcome = NotReached
		}
		if rule == ruleAudience && step.Outcome == Failed {
			step.Detail += ", but " + shownAudience(p.JWS.claims.audience)
		}
		if rule == ruleExpiry && step.Outcome != Failed && !p.JWS.claims.expiry.IsZero() {
			step.Detail = relative(p.JWS.claims.expiry, now)
		}
		steps = append(steps, step)
	}
	if broken != "" && reached {
		// None of the rules has this reason.
		steps = append(steps, Step{Rule: "verdict", Outcome: Failed, Detail: detail(err)})
	}
	return steps
}

// shownAudience returns the audience of a refused token. It is quoted and cut off,
// because nothing in the token is verified.
func shownAudience(audience []string) string {
	const maxValues, maxLength = 5, 200
	if len(audience) == 0 {
		return "the token has none"
	}
	var quoted []string
	for i, value := range audience {
		if i == maxValues {
			quoted = append(quoted, "…")
			break
		}
		if len(value) > maxLength {
			value = value[:maxLength] + "…"
		}
		quoted = append(quoted, strconv.QuoteToASCII(value))
	}
	return strings.Join(quoted, ", ")
}

// ExplainVerdict presents the verdict of any verifier in one step.
func ExplainVerdict(rule string, t *Token, err error, now time.Time) Step {
	inv, refused := errors.AsType[*InvalidError](err)
	switch {
	case refused:
		return Step{Rule: rule, Outcome: Failed, Detail: strings.TrimSuffix(string(inv.Reason)+": "+inv.Detail, ": ")}
	case err != nil || t == nil:
		return Step{Rule: rule, Outcome: Unknown, Detail: detail(err)}
	case t.Expiry.IsZero():
		return Step{Rule: rule, Outcome: Passed, Detail: "good; when it expires isn't known"}
	default:
		return Step{Rule: rule, Outcome: Passed, Detail: "good; " + relative(t.Expiry, now)}
	}
}

// detail returns the text of an error for the operator, on one line.
func detail(err error) string {
	if err == nil {
		return "neither a token nor an error"
	}
	text := err.Error()
	if inv, ok := errors.AsType[*InvalidError](err); ok && inv.Detail != "" {
		text = inv.Detail
	} else if unavailable, ok := errors.AsType[*UnavailableError](err); ok {
		text = unavailable.Err.Error()
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}

// relative says how far expiry is from now.
func relative(expiry, now time.Time) string {
	if d := expiry.Sub(now).Round(time.Second); d > 0 {
		return "expires in " + d.String()
	}
	return "expired " + now.Sub(expiry).Round(time.Second).String() + " ago"
}
