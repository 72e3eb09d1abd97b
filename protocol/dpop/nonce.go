package dpop

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"time"
)

const (
	// NonceLifetime is how long a nonce counts.
	NonceLifetime = 5 * time.Minute

	// nonceStep is how long the same nonce is handed out.
	nonceStep = time.Minute
	// renewAfter is how many steps later clients get the next one with an answer, so
	// that those who ask all the time are never refused for an old one.
	renewAfter = 2

	nonceMAC = 16
)

// Nonces makes the nonces that a server asks for (RFC 9449, sections 8 and 9): with
// them, nobody can make proofs for later. A nonce is the time and its HMAC, so there is
// nothing to remember, and servers with the same key take each other's nonces.
type Nonces struct {
	key      []byte
	audience string
}

// NewNonces returns nonces for audience, the server that asks for them. The key is a
// secret of 32 random bytes.
func NewNonces(key []byte, audience string) *Nonces { return &Nonces{key: key, audience: audience} }

// Current returns the nonce to hand out.
func (n *Nonces) Current(now time.Time) string {
	return n.at(now.Unix() / int64(nonceStep/time.Second))
}

// Check judges the nonce of p. Its error is an [*Error]. A nonce that counts, but not
// for long, is good and to be renewed.
func (n *Nonces) Check(p *Proof, now time.Time) (renew bool, err error) {
	text, err := base64url.DecodeString(p.nonce)
	if err != nil || len(text) != 8+nonceMAC {
		return false, breaks(RuleNonce, "none of ours")
	}
	current := now.Unix() / int64(nonceStep/time.Second)
	step := int64(binary.BigEndian.Uint64(text))
	if subtle.ConstantTimeCompare([]byte(n.at(step)), []byte(p.nonce)) != 1 {
		return false, breaks(RuleNonce, "none of ours")
	}
	// Another server's clock may be ahead.
	if age := current - step; age < -1 || age >= int64(NonceLifetime/nonceStep) {
		return false, breaks(RuleNonce, "too old")
	}
	return current-step >= renewAfter, nil
}

// at returns the nonce of a step.
func (n *Nonces) at(step int64) string {
	text := binary.BigEndian.AppendUint64(make([]byte, 0, 8+nonceMAC), uint64(step))
	mac := hmac.New(sha256.New, n.key)
	mac.Write([]byte("dpop nonce\x00"))
	mac.Write([]byte(n.audience))
	mac.Write([]byte{0})
	mac.Write(text)
	return base64url.EncodeToString(append(text, mac.Sum(nil)[:nonceMAC]...))
}
