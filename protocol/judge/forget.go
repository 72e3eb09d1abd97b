package judge

import (
	"crypto/sha256"
	"errors"
)

// errForgotten ends what watches a token that was to be forgotten.
var errForgotten = errors.New("the verdict on the token was to be forgotten")

// Forget drops all verdicts, and returns how many. What watches their tokens ends.
func (c *Cache) Forget() int {
	return c.forget(func([sha256.Size]byte, spellings, string, bool) bool { return true })
}

// ForgetToken drops the verdicts on the token with the given SHA-256, in all its
// spellings, and returns how many that were.
func (c *Cache) ForgetToken(hash [sha256.Size]byte) int {
	return c.forget(func(key [sha256.Size]byte, others spellings, _ string, _ bool) bool {
		return key == hash || others.has(hash)
	})
}

// ForgetSubject drops the verdicts on the tokens of subject, and returns how
// many that were.
func (c *Cache) ForgetSubject(subject string) int {
	return c.forget(func(_ [sha256.Size]byte, _ spellings, whose string, good bool) bool {
		return good && whose == subject
	})
}

// forget drops the verdicts, and ends the watches, that match says.
func (c *Cache) forget(match func(key [sha256.Size]byte, others spellings, subject string, good bool) bool) int {
	c.forgotten.Add(1)
	c.mu.Lock()
	clear(c.flights) // callers from now on aren't told what was asked before
	for w := range c.watches {
		if match(w.key, w.spellings, w.subject, true) {
			go w.finish(errForgotten) // it may have to wait for a slow client
		}
	}
	c.mu.Unlock()
	n := 0
	for key, v := range c.verdicts.All() {
		if subject, good := v.subject(); match(key, v.spellings, subject, good) {
			c.verdicts.Invalidate(key)
			n++
		}
	}
	return n
}
