package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// usedMargin is how long an assertion is remembered after its expiry, for servers on
// the same store whose clocks differ.
const usedMargin = time.Minute

// used is the record of the assertions of one signer, or about one user, that were used
// and haven't expired. All servers on the store share it.
type used struct {
	// IDs has a hash of each jti, and when the assertion expires, in seconds since
	// the epoch.
	IDs map[string]int64 `json:"ids"`
	// Until is when the last of them is forgotten.
	Until time.Time `json:"until"`
}

// usedID returns a hash of a jti: half of a SHA-256 is enough, because nobody can make
// another party's jti collide.
func usedID(jti string) string {
	sum := sha256.Sum256([]byte(jti))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// useOnce records that an assertion was used, and reports whether this was the first
// time. Call it last, after the assertion was verified and everything else is right, so
// that only its rightful owner can use it up. whose is whose memory it takes: if that
// has limit assertions already, this one has to wait, and nobody else.
//
// A damaged record counts as absent, like that of a code: without that, it would shut
// out its client until an operator removed it. Only those who can write to the store can
// damage it.
func (s *Server) useOnce(ctx context.Context, whose string, a *token.Assertion, limit int) (bool, error) {
	key := usedPrefix + hashed(whose)
	unlock, err := s.lock(ctx, key)
	if err != nil {
		return false, err
	}
	defer unlock()
	var memory used
	if _, err := s.load(ctx, key, &memory); err != nil {
		return false, err
	}
	now, id := s.now(), usedID(a.ID)
	forgotten := func(expires int64) bool { return now.After(time.Unix(expires, 0).Add(usedMargin)) }
	maps.DeleteFunc(memory.IDs, func(_ string, expires int64) bool { return forgotten(expires) })
	if _, again := memory.IDs[id]; again {
		return false, nil
	}
	if len(memory.IDs) >= limit {
		return false, tooMany("Too many assertions in a short time: try again later, and keep access tokens until they expire.", memory.room(now))
	}
	if memory.IDs == nil {
		memory.IDs = make(map[string]int64)
	}
	memory.IDs[id] = a.Expiry.Unix()
	if until := a.Expiry.Add(usedMargin); until.After(memory.Until) {
		memory.Until = until
	}
	return true, s.store(ctx, key, &memory)
}

// room returns how long it takes until there is room for another assertion.
func (u *used) room(now time.Time) time.Duration {
	next := u.Until
	for _, expires := range u.IDs {
		if until := time.Unix(expires, 0).Add(usedMargin); until.Before(next) {
			next = until
		}
	}
	return max(next.Sub(now), time.Second)
}
