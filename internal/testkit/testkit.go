// Package testkit has what the tests of several packages need: a clock that they
// move, a way to wait for background work, free ports, what a page has, an in-memory network that works in the
// bubbles of testing/synctest, and the lock for provisioning. It knows neither
// Caddy nor any package of this module, so that every test can use it.
package testkit

import (
	"sync"
	"testing"
	"time"
)

// Provisioning is held while a test provisions a configuration, because Caddy
// keeps the running one in package variables.
var Provisioning sync.Mutex

// Clock is a clock that only moves when told.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that shows a fixed time.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)} }

// Now returns the time that the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock by d, which may be negative.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Patience is how long anything may take before a test gives up on it. It is long
// enough for any machine.
const Patience = 2 * time.Minute

// Eventually waits until ok returns true. It is for background work that a test
// can't wait for otherwise. The failure names what.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	pause := time.Millisecond
	for deadline := time.Now().Add(Patience); !ok(); time.Sleep(pause) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: did not happen", what)
		}
		// To look again costs more than a moment where it takes a request.
		pause = min(2*pause, 20*time.Millisecond)
	}
}

// Receive returns the next value of c, and fails the test if there is none. A
// closed channel gives the zero value.
func Receive[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	timer := time.NewTimer(Patience)
	defer timer.Stop()
	select {
	case v := <-c:
		return v
	case <-timer.C:
		t.Fatalf("%s: did not happen", what)
		panic("not reached")
	}
}
