package throttle

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	// freeFailures is how many failed sign-ins of an address at one name have no
	// consequence, because people mistype. freeAnywhere is the same for all names
	// together.
	freeFailures = 5
	freeAnywhere = 20

	// maxPause is the longest pause between two attempts of an address. The first
	// pause is a second; each one doubles.
	maxPause = time.Minute

	// maxWait is the longest wait that a client is told.
	maxWait = 5 * time.Minute

	// forgetFailures is how long an address's failures at a name are remembered.
	// It is no shorter than the time in which all guesses at a user become
	// available again; otherwise the same networks could start again.
	// forgetAnywhere is the same for all names together.
	forgetFailures = 6 * time.Hour
	forgetAnywhere = time.Hour
)

var (
	// userRate is how many guesses at one user all networks have together: 1,200
	// in the first hour of an attack, and 200 in each following hour.
	userRate = Rate{1000, 18 * time.Second}

	// anywhereRate is how many failures at all names together a /56 has; a /48
	// and a /24 have twice as many.
	anywhereRate = Rate{120, 30 * time.Second}
)

// Guesses slows down the guessing of passwords, without keeping out the user.
//
// Who guesses from one address pauses longer and longer. Who guesses from many
// addresses draws on what is shared: each user has so many guesses, and each wide
// network too. Of what is shared, the last part is reserved for those who have
// failed the least: a network without failures may have all of it, one with five
// only what is above five sixths. So a user who comes from a new network gets in
// while thousands guess, unless there are as many new networks as guesses; and
// the guesses stay bounded.
//
// A browser that the user has signed in with before is under none of this. It has
// a counter of its own.
//
// Every name has counters of its own, whether or not there is such a user: nothing
// tells names that exist from others. Of a user's nothing is evicted.
//
// Guesses are safe for concurrent use.
type Guesses struct {
	now  func() time.Time
	hash func(string) uint64

	mu       sync.Mutex
	names    names
	anywhere [65]*table[*standing] // by prefix length
}

// failures are the failures of a network.
type failures struct {
	count  int
	last   time.Time
	forget time.Duration
}

// standing has the failures of a network at all names together. After
// [forgetAnywhere] the bucket is full again.
type standing struct {
	failures
	bucket *bucket // nil for a single address
}

// NewGuesses returns a throttle without any failures.
func NewGuesses(now func() time.Time) *Guesses {
	seed := maphash.MakeSeed()
	g := &Guesses{
		now:   now,
		hash:  func(s string) uint64 { return maphash.String(seed, s) },
		names: names{users: make(map[string]*user), invented: make(map[uint64]*name)},
	}
	for _, bits := range []int{0, 24, 32, 48, 56, 64} {
		g.anywhere[bits] = newTable[*standing](maxRecords)
	}
	return g
}

// Attempt is a sign-in attempt. It counts as failed until its result is known, so
// that parallel attempts count too.
type Attempt struct {
	// Rank is the priority when passwords wait to be checked: known browsers
	// first, then networks with fewer failures.
	Rank int

	guesses  *Guesses
	name     *name
	browser  network   // of the known browser; otherwise zero
	networks []network // empty if the browser is known
}

// Try returns an attempt to sign in with a name from an address; or nil and how
// long to wait. browser identifies a browser in which the user with that name has
// signed in before; empty if it isn't known.
func (g *Guesses) Try(address, username, browser string) (*Attempt, time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	var n *name
	u := g.names.users[fold(username)]
	if u != nil {
		n = u.name
	} else {
		n, browser = g.names.inventedName(g.hash(fold(username)), now), ""
	}
	var own time.Duration // the browser's pause
	if browser != "" {
		of := network{prefix: g.hash(browser)}
		if own = n.known.records[of].wait(2*freeFailures, now); own == 0 {
			count(n.known, of, forgetAnywhere, now)
			return &Attempt{guesses: g, name: n, browser: of}, 0
		}
	}
	list := networks(address)
	// From the narrowest network on: a wide one yields to narrow ones inside of
	// it that have failed less.
	wait := n.failed.records[list[0]].wait(freeFailures, now)
	here, anywhere := 0, 0
	for _, of := range list {
		here = max(here, n.failed.records[of].since(now)/of.share())
		s := g.anywhere[of.bits].records[of]
		switch {
		case s == nil:
			continue // which has the full share
		case s.bucket == nil:
			wait = max(wait, s.wait(freeAnywhere, now))
		default:
			wait = max(wait, s.bucket.wait(reserve(s.bucket.rate, anywhere*freeFailures/freeAnywhere), now))
		}
		anywhere = max(anywhere, s.since(now)/of.share())
	}
	wait = max(wait, n.bucket.wait(reserve(userRate, here), now))
	if browser != "" {
		wait = min(wait, own)
	}
	if wait > 0 {
		// There is no record: refusals use no memory. The wait is capped, because
		// others may return their share earlier.
		return nil, min(wait, maxWait)
	}
	for _, of := range list {
		count(n.failed, of, forgetFailures, now)
		s := g.anywhere[of.bits].records[of]
		if s == nil {
			s = &standing{failures: failures{forget: forgetAnywhere}}
			if of.share() > 1 {
				s.bucket = newBucket(times(anywhereRate, of.share()/2), now)
			}
			g.anywhere[of.bits].put(of, s, now)
		}
		s.add(now)
		if s.bucket != nil {
			s.bucket.take()
		}
	}
	n.bucket.take()
	n.last = now
	if u == nil {
		g.names.guessed(n, now)
	}
	return &Attempt{Rank: 1 + min(anywhere, freeAnywhere), guesses: g, name: n, networks: list}, 0
}

// reserve returns how many tokens are reserved for networks with fewer failures.
func reserve(rate Rate, failed int) float64 {
	return float64(rate.Burst * min(failed, freeFailures) / (freeFailures + 1))
}

// Succeeded records that the password was right. The address's failures at that
// name are forgiven. Those at other names stay: a valid account must not help to
// guess at others.
func (a *Attempt) Succeeded() {
	g := a.guesses
	g.mu.Lock()
	defer g.mu.Unlock()
	if a.networks == nil {
		delete(a.name.known.records, a.browser)
		return
	}
	forgiven := 1
	if f := a.name.failed.records[a.networks[0]]; f != nil {
		forgiven = max(1, f.count)
	}
	a.undo(forgiven)
}

// Withdraw records that the password was not checked.
func (a *Attempt) Withdraw() {
	g := a.guesses
	g.mu.Lock()
	defer g.mu.Unlock()
	if a.networks == nil {
		uncount(a.name.known, a.browser, 1)
		return
	}
	a.undo(1)
}

// undo removes the attempt, and the given number of failures at its name.
func (a *Attempt) undo(failed int) {
	g := a.guesses
	for _, of := range a.networks {
		uncount(a.name.failed, of, failed)
		s := g.anywhere[of.bits].records[of]
		if s == nil {
			continue
		}
		if s.bucket != nil {
			s.bucket.giveBack()
		}
		if s.count--; s.count <= 0 {
			delete(g.anywhere[of.bits].records, of)
		}
	}
	a.name.bucket.giveBack()
	g.names.undone(a.name)
}

func count(t *table[*failures], of network, forget time.Duration, now time.Time) {
	f := t.records[of]
	if f == nil {
		f = &failures{forget: forget}
		t.put(of, f, now)
	}
	f.add(now)
}

func uncount(t *table[*failures], of network, n int) {
	if f := t.records[of]; f != nil {
		if f.count -= n; f.count <= 0 {
			delete(t.records, of)
		}
	}
}

func (f *failures) add(now time.Time) {
	f.count = f.since(now) + 1
	f.last = now
}

// since returns how many failures count now. f may be nil.
func (f *failures) since(now time.Time) int {
	if f == nil || f.forget > 0 && now.Sub(f.last) > f.forget {
		return 0
	}
	return f.count
}

// wait returns how long the next attempt must wait if that many failures are
// free.
func (f *failures) wait(free int, now time.Time) time.Duration {
	over := f.since(now) - free
	if over < 0 {
		return 0
	}
	return max(0, f.last.Add(min(maxPause, time.Second<<min(over, 10))).Sub(now))
}

func (f *failures) weight(now time.Time) float64 { return float64(f.since(now)) }

func (f *failures) touched() time.Time { return f.last }
