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
	// token is used instead of slim if the verifier has the token in memory anyway.
	token *token.Token
	slim  token.Slim
	// kept is what requests have selected from the slim token.
	kept token.Kept

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

// result returns what the verifier said; raw is the token that the verdict is on.
func (v *verdict) result(raw string) (*token.Token, error) {
	switch {
	case v.refusal != nil:
		return nil, v.refusal
	case v.token != nil:
		return v.token, nil
	default:
		return v.slim.Token(raw, &v.kept), nil
	}
}

// subject returns the subject of the token; false if it was refused.
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

// until returns until when the verdict on a good token is kept. What an issuer said is
// kept for a short time only, because it may say something else the next time.
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

// spellings are the other spellings of a token, see [token.Presented.Spellings], each
// as the first eight bytes of its SHA-256. If another token has the same eight bytes,
// it is forgotten too and judged again, which does no harm.
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
