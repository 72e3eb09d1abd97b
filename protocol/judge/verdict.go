package judge

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// verdict is what a verifier said of a token: one of refusal, token and slim.
type verdict struct {
	until   int64               // in milliseconds since the epoch
	refusal *token.InvalidError // nil if the token is good
	// token is there for a verifier that has it in its memory anyway.
	token *token.Token
	slim  token.Slim

	spellings spellings
}

// goodVerdict returns the verdict on the good token t, presented as p.
func (c *Cache) goodVerdict(p *token.Presented, t *token.Token, noNetwork bool) *verdict {
	v := &verdict{until: c.until(t, noNetwork).UnixMilli(), spellings: spellingsOf(p)}
	if noNetwork && !t.Signed() {
		v.token = t
	} else {
		v.slim = c.slimmer.Slim(t)
	}
	return v
}

// result returns what a verifier would say of raw, the token of the verdict.
func (v *verdict) result(raw string) (*token.Token, error) {
	switch {
	case v.refusal != nil:
		return nil, v.refusal
	case v.token != nil:
		return v.token, nil
	default:
		return v.slim.Token(raw), nil
	}
}

// subject returns whose token the verdict is on; false if it is a refusal.
func (v *verdict) subject() (string, bool) {
	switch {
	case v.refusal != nil:
		return "", false
	case v.token != nil:
		return v.token.Subject, true
	default:
		return v.slim.Subject(), true
	}
}

// until returns how long the verdict on a good token is kept. One that was got by
// asking is for a short time: the answer may change.
func (c *Cache) until(t *token.Token, noNetwork bool) time.Time {
	ttl := c.config.TTL
	if ttl == 0 && (!noNetwork || t.Expiry.IsZero()) {
		ttl = DefaultTTL
	}
	limit := c.config.Now().Add(ttl)
	if !t.Expiry.IsZero() && (ttl == 0 || t.Expiry.Before(limit)) {
		return t.Expiry
	}
	return limit
}

// spellings are the other spellings of a token, each by the first eight bytes of its
// SHA-256. If those are another token's too, one more is judged again: no harm.
type spellings [2]uint64

// spellingsOf returns the other spellings of p.
func spellingsOf(p *token.Presented) (list spellings) {
	for i, other := range p.Spellings() {
		if i < len(list) {
			list[i] = spelling(cacheKey(other))
		}
	}
	return list
}

func spelling(hash [sha256.Size]byte) uint64 { return binary.BigEndian.Uint64(hash[:]) }

// has reports whether the token with this SHA-256 is one of the spellings.
func (s spellings) has(hash [sha256.Size]byte) bool {
	return slices.Contains(s[:], spelling(hash))
}
