// Package dpop checks DPoP proofs (RFC 9449): that the sender of a request has the key
// that its access token is bound to. It also remembers which proofs were used, and
// makes the nonces that a server may ask for.
//
// Not supported, on purpose: symmetric algorithms, keys that are named and not
// included, and proofs in JSON serialization.
package dpop

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
)

// Window is how far iat may lie in the past or in the future. The DPoP profile of MCP
// (SEP-1932) has five minutes; clients' clocks are worse than servers'.
const Window = 5 * time.Minute

// Rule is what a proof must keep. It is one of the constants below.
type Rule string

// The rules of RFC 9449, section 4.3, in the order in which they are checked.
const (
	RuleForm      Rule = "form"      // a signed JWT with nothing ambiguous in it
	RuleType      Rule = "typ"       // dpop+jwt
	RuleAlgorithm Rule = "alg"       // asymmetric, and one of ours
	RuleKey       Rule = "jwk"       // a public key for that algorithm
	RuleMethod    Rule = "htm"       // that of the request
	RuleURL       Rule = "htu"       // that of the request, without its query
	RuleTime      Rule = "iat"       // now, give or take [Window]
	RuleToken     Rule = "ath"       // the hash of the access token
	RuleBinding   Rule = "jkt"       // the key is the one that the token is bound to
	RuleSignature Rule = "signature" // by the key in jwk
	RuleNonce     Rule = "nonce"     // one that the server made, if it asks for one
	RuleOnce      Rule = "jti"       // not used before
)

// Error means that a proof is refused.
type Error struct {
	// Rule is what the proof breaks.
	Rule Rule
	// Detail is for the operator's log. It contains nothing that the client could choose
	// freely. May be empty.
	Detail string
}

func (e *Error) Error() string {
	if e.Detail == "" {
		return "DPoP proof: " + string(e.Rule)
	}
	return fmt.Sprintf("DPoP proof: %s: %s", e.Rule, e.Detail)
}

// breaks returns an [*Error] with a formatted detail.
func breaks(rule Rule, format string, args ...any) error {
	return &Error{Rule: rule, Detail: fmt.Sprintf(format, args...)}
}

// Request is what a proof must be for.
type Request struct {
	// Method and URL are those of the request. The URL is absolute; its query doesn't
	// count. Required.
	Method, URL string

	// Token is the access token that came with the proof. Empty where there is none,
	// as at a token endpoint: then ath isn't looked at.
	Token string

	// Thumbprint is that of the key which the token is bound to, as cnf.jkt has it.
	// Empty where any key will do, as at a token endpoint.
	Thumbprint string
}

// Algorithms returns the algorithms that proofs may be signed with: all asymmetric
// ones that are supported.
func Algorithms() []string { return keys.Algorithms() }

// Check judges the proof raw by everything that needs no memory: all rules but
// [RuleNonce] and [RuleOnce]. Its error is an [*Error]. The signature comes last: it
// costs more than the others together.
func Check(raw string, r Request, now time.Time) (*Proof, error) {
	p, err := parse(raw)
	if err != nil {
		return nil, err
	}
	switch age := now.Sub(p.issuedAt); {
	case p.method != r.Method:
		return nil, breaks(RuleMethod, "htm is not the method of the request")
	case !sameURL(p.url, r.URL):
		return nil, breaks(RuleURL, "htu is not the address of the request")
	case age > Window:
		return nil, breaks(RuleTime, "iat is %s ago", age.Round(time.Second))
	case age < -Window:
		return nil, breaks(RuleTime, "iat is %s in the future", (-age).Round(time.Second))
	case !p.expiry.IsZero() && !now.Before(p.expiry):
		return nil, breaks(RuleTime, "exp has passed")
	case p.notBefore.After(now.Add(Window)):
		return nil, breaks(RuleTime, "nbf is in the future")
	case r.Token != "" && !p.isFor(r.Token):
		return nil, breaks(RuleToken, "ath is not the hash of the access token")
	case r.Thumbprint != "" && p.key.Thumbprint() != r.Thumbprint:
		return nil, breaks(RuleBinding, "made with another key than the one that the token is bound to")
	}
	if p.key.Verify(p.algorithm, []byte(p.input), p.signature) != nil {
		return nil, breaks(RuleSignature, "not by the key in jwk")
	}
	return p, nil
}

// isFor reports whether ath is the hash of token (RFC 9449, section 4.2).
func (p *Proof) isFor(token string) bool {
	sum := sha256.Sum256([]byte(token))
	var want [43]byte
	base64.RawURLEncoding.Encode(want[:], sum[:])
	return subtle.ConstantTimeCompare([]byte(p.tokenHash), want[:]) == 1
}

// supported reports whether proofs may be signed with alg.
func supported(alg string) bool { return slices.Contains(algorithms, alg) }

var algorithms = Algorithms()
