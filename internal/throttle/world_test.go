package throttle

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// within is the goal.
const within = 2 * time.Minute

// raceDetector says whether the race detector is on, which takes ten times as long
// and finds in few hours what it finds in many.
var raceDetector bool

// seeds is how many hours of each attack are simulated.
func seeds() uint64 {
	if testing.Short() || raceDetector {
		return 10
	}
	return 200
}

// world is a machine that checks passwords, and those who send them.
type world struct {
	*testkit.Clock
	rand    *rand.Rand
	events  []event
	guesses *Guesses
	slots   *Slots
	hash    time.Duration
	pending []*pending
	checked map[string]int // guesses that were looked at, by name
}

func newWorld(seed uint64) *world {
	w := &world{Clock: testkit.NewClock(), rand: rand.New(rand.NewPCG(seed, 1)), slots: NewSlots(1, 32, 0), hash: time.Second, checked: make(map[string]int)}
	w.guesses = newGuesses(w.Clock, "ada", "bob")
	return w
}

// event is something that will happen.
type event struct {
	at time.Time
	do func()
}

// after calls do when that much time has passed.
func (w *world) after(d time.Duration, do func()) {
	w.events = append(w.events, event{w.Now().Add(d), do})
}

// every calls do again and again, from some moment of the first interval on.
func (w *world) every(interval time.Duration, do func()) {
	var again func()
	again = func() { w.after(interval, again); do() }
	w.after(time.Duration(w.rand.Int64N(int64(interval))), again)
}

func (w *world) run(d time.Duration) {
	for end := w.Now().Add(d); len(w.events) > 0; {
		// There are few at a time. Of two at once, the first in the list.
		next := 0
		for i, e := range w.events {
			if e.at.Before(w.events[next].at) {
				next = i
			}
		}
		e := w.events[next]
		if e.at.After(end) {
			return
		}
		w.events = slices.Delete(w.events, next, next+1)
		w.Advance(e.at.Sub(w.Now()))
		e.do()
	}
}

// outcome is how a sign-in was answered: with a wait if it was refused.
type outcome struct {
	wait  time.Duration
	right bool
}

// signIn sends a name and a password, and calls done with the answer; nil: nobody
// reads it.
func (w *world) signIn(address, username string, known, right bool, done func(outcome)) {
	if done == nil {
		done = func(outcome) {}
	}
	browser := ""
	if known {
		browser = "ada's"
	}
	a, wait := w.guesses.Try(address, username, browser)
	if a == nil {
		done(outcome{wait: wait})
		return
	}
	p := w.slots.join(Claim{From: address, Rank: a.Rank})
	w.pending = append(w.pending, &pending{p, a, func() {
		w.after(w.hash, func() {
			if right {
				a.Succeeded()
			} else {
				w.checked[username]++
			}
			w.slots.release(p)
			w.settle()
			done(outcome{right: right})
		})
	}, func() { done(outcome{wait: 5 * time.Second}) }, w.Now().Add(20 * time.Second)})
	w.settle()
}

// pending is a sign-in whose password waits to be checked.
type pending struct {
	*place
	attempt       *Attempt
	check, refuse func()
	deadline      time.Time
}

// settle does what those who wait for a slot do when they have their answer, or
// have waited for too long.
func (w *world) settle() {
	kept := w.pending[:0]
	var then []func()
	for _, p := range w.pending {
		switch {
		case len(p.answer) == 1:
			if <-p.answer == nil {
				then = append(then, p.check)
				break
			}
			p.attempt.Withdraw()
			then = append(then, p.refuse)
		case w.Now().After(p.deadline) && w.slots.leave(p.place):
			p.attempt.Withdraw()
			then = append(then, p.refuse)
		default:
			kept = append(kept, p)
		}
	}
	clear(w.pending[len(kept):])
	w.pending = kept
	for _, do := range then {
		do()
	}
}

// owner signs in by the name, after as many mistakes. They wait as long as they
// are told, and some seconds more.
func (w *world) owner(address, username string, known bool, mistakes int, signedIn func(took time.Duration)) {
	var first time.Time
	var try func()
	try = func() {
		right := mistakes <= 0
		if right && first.IsZero() {
			first = w.Now()
		}
		w.signIn(address, username, known, right, func(o outcome) {
			if o.right {
				signedIn(w.Now().Sub(first))
				return
			}
			if o.wait == 0 {
				mistakes--
			}
			w.after(o.wait+time.Second+time.Duration(w.rand.Int64N(int64(4*time.Second))), try)
		})
	}
	try()
}

// Networks of strangers.
func ipv4(network, host int) string {
	return netip.AddrFrom4([4]byte{byte(11 + network>>16), byte(network >> 8), byte(network), byte(1 + host)}).String()
}

func ipv6(site, home, net int) string {
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, byte(site >> 8), byte(site), byte(home), byte(net), 15: 1}).String()
}

// elsewhere returns the user's address.
func elsewhere(i int) string { return ipv4(1<<20+i, 1) }

// invent returns a name that nobody has.
func (w *world) invent() string { return strconv.FormatUint(w.rand.Uint64(), 36) }

// from calls do for each of n networks at that interval, one after the other.
func (w *world) from(n int, interval time.Duration, do func(i int)) {
	i := 0
	w.every(interval/time.Duration(n), func() { do(i % n); i++ })
}
