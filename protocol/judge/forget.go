package judge

import (
	"crypto/sha256"
	"errors"
)

// errForgotten ends the watches of a token that is forgotten.
var errForgotten = errors.New("the verdict on the token was to be forgotten")

// Forget drops all verdicts and returns their number. Watches of the tokens end, see
// [Issuers.Watch].
func (c *Cache) Forget() int {
	return c.forget(func([sha256.Size]byte, spellings, string, bool) bool { return true })
}

// ForgetToken drops the verdicts on the token with the given SHA-256, in all its
// spellings, and returns their number.
func (c *Cache) ForgetToken(hash [sha256.Size]byte) int {
	return c.forget(func(key [sha256.Size]byte, others spellings, _ string, _ bool) bool {
		return key == hash || others.has(hash)
	})
}

// ForgetSubject drops the verdicts on the tokens of subject and returns their number.
func (c *Cache) ForgetSubject(subject string) int {
	return c.forget(func(_ [sha256.Size]byte, _ spellings, whose string, good bool) bool {
		return good && whose == subject
	})
}

// forget drops the verdicts and ends the watches for which match returns true.
func (c *Cache) forget(match func(key [sha256.Size]byte, others spellings, subject string, good bool) bool) int {
	c.forgotten.Add(1)
	c.mu.Lock()
	clear(c.flights) // later callers don't get answers to earlier questions
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
