package throttle

import (
	"hash/maphash"
	"strings"
	"sync"
	"time"
)

const (
	// freeFailures is how many failed sign-ins of an address at one name cost
	// nothing: people mistype. freeAnywhere is the same for all names together.
	freeFailures = 5
	freeAnywhere = 20

	// maxPause is the longest pause between two attempts of an address. It begins
	// with a second and doubles.
	maxPause = time.Minute

	// forgetFailures is how long an address's failures at a name are remembered:
	// as long as it takes until all the guesses of a user are to be had again, or
	// the same networks could begin again. forgetAnywhere is the same for all
	// names together.
	forgetFailures = 6 * time.Hour
	forgetAnywhere = time.Hour

	// nameSlots is how many counters the names share, and maxAtName how many
	// networks each remembers that is not a user's.
	nameSlots = 1024
	maxAtName = 256
)

var (
	// userRate is how many guesses at one user all networks have together: 1,200
	// in the first hour of an attack, and 200 in each that follows.
	userRate = Rate{1000, 18 * time.Second}

	// anywhereRate is how many failures a /56 has at all names together; a /48
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
// a counter that only such browsers move.
//
// Names are spread over a fixed number of counters, by a keyed hash, whether or
// not there is such a user: nothing tells names that exist from others. No two
// users share a counter, and of a user's nothing is evicted.
//
// Guesses are safe for concurrent use.
type Guesses struct {
	now  func() time.Time
	hash func(string) uint64

	mu       sync.Mutex
	names    []*name
	users    map[string]*name
	anywhere [65]*table[*standing] // by prefix length
}

// name is what is known of the guesses at some names.
type name struct {
	bucket *bucket
	failed *table[*failures]
	known  failures // of browsers that have signed in before
}

// failures are those of a network.
type failures struct {
	count  int
	last   time.Time
	forget time.Duration
}

// standing is what is known of a network at all names together. After
// [forgetAnywhere] the bucket is full again.
type standing struct {
	failures
	bucket *bucket // nil for a single address
}

// NewGuesses returns a throttle that has seen nothing.
func NewGuesses(now func() time.Time) *Guesses {
	seed := maphash.MakeSeed()
	g := &Guesses{
		now:   now,
		hash:  func(s string) uint64 { return maphash.String(seed, s) },
		names: make([]*name, nameSlots),
		users: make(map[string]*name),
	}
	for _, bits := range []int{0, 24, 32, 48, 56, 64} {
		g.anywhere[bits] = newTable[*standing](maxRecords)
	}
	return g
}

// SetUsers tells the names that exist. What is known of those that existed
// before stays.
func (g *Guesses) SetUsers(names []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	users := make(map[string]*name, len(names))
	taken := make(map[*name]bool, len(names))
	for _, n := range names {
		if had := g.users[fold(n)]; had != nil {
			users[fold(n)] = had
			taken[had] = true
		}
	}
	for _, n := range names {
		if users[fold(n)] != nil {
			continue
		}
		var slot *name
		for probe := range uint64(len(g.names)) {
			if slot = g.slot(g.hash(fold(n)) + probe); !taken[slot] {
				break
			}
		}
		users[fold(n)] = slot
		taken[slot] = true
	}
	g.users = users
	for _, slot := range g.names {
		if slot != nil {
			slot.failed.max = maxAtName
		}
	}
	for _, slot := range users {
		slot.failed.max = 0 // the user's guesses bound them
	}
}

// fold returns the name that failures are counted under: users type theirs in
// either case.
func fold(username string) string { return strings.ToLower(username) }

func (g *Guesses) slot(hash uint64) *name {
	i := int(hash % uint64(len(g.names)))
	if g.names[i] == nil {
		g.names[i] = &name{
			bucket: newBucket(userRate, g.now()),
			failed: newTable[*failures](maxAtName),
			known:  failures{forget: forgetAnywhere},
		}
	}
	return g.names[i]
}

// Attempt is a sign-in that may be tried. It counts as failed until it is said
// to be something else, so that those made at the same time count too.
type Attempt struct {
	// Rank says who goes first when passwords wait to be checked: browsers that
	// have signed in before, and then those whose networks have failed less.
	Rank int

	guesses  *Guesses
	name     *name
	known    bool
	networks []network // unless known
}

// Try returns an attempt to sign in by that name from that address; or nil, and
// how long it has to wait. The browser is known if that user has signed in with
// it before.
func (g *Guesses) Try(address, username string, known bool) (*Attempt, time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	n := g.users[fold(username)]
	if n == nil {
		n, known = g.slot(g.hash(fold(username))), false
	}
	if known && n.known.wait(2*freeFailures, now) == 0 {
		n.known.add(now)
		return &Attempt{guesses: g, name: n, known: true}, 0
	}
	a := &Attempt{guesses: g, name: n, networks: networks(address)}
	// From the narrowest network on: a wide one yields to narrow ones inside of
	// it that have failed less.
	wait := n.failed.records[a.networks[0]].wait(freeFailures, now)
	here, anywhere := 0, 0
	for _, of := range a.networks {
		here = max(here, n.failed.records[of].since(now)/of.share())
		s := g.anywhere[of.bits].records[of]
		switch {
		case s == nil:
			continue // which has all of its shares
		case s.bucket == nil:
			wait = max(wait, s.wait(freeAnywhere, now))
		default:
			wait = max(wait, s.bucket.wait(reserve(s.bucket.rate, anywhere*freeFailures/freeAnywhere), now))
		}
		anywhere = max(anywhere, s.since(now)/of.share())
	}
	wait = max(wait, n.bucket.wait(reserve(userRate, here), now))
	if known {
		wait = min(wait, n.known.wait(2*freeFailures, now))
	}
	if wait > 0 {
		return nil, wait // and nothing is remembered: refusals fill no memory
	}
	a.Rank = 1 + min(anywhere, freeAnywhere)
	for _, of := range a.networks {
		f := n.failed.records[of]
		if f == nil {
			f = &failures{forget: forgetFailures}
			n.failed.put(of, f, now)
		}
		f.add(now)
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
	return a, 0
}

// reserve returns how many tokens are left for networks that have failed less.
func reserve(rate Rate, failed int) float64 {
	return float64(rate.Burst * min(failed, freeFailures) / (freeFailures + 1))
}

// Succeeded says that the password was right. The address's failures at that name
// are forgiven; those at others stay, for one good account is no licence to try
// others.
func (a *Attempt) Succeeded() {
	g := a.guesses
	g.mu.Lock()
	defer g.mu.Unlock()
	if a.known {
		a.name.known.count = 0
		return
	}
	forgiven := 1
	if f := a.name.failed.records[a.networks[0]]; f != nil {
		forgiven = max(1, f.count)
	}
	a.takeBack(forgiven)
}

// Withdraw says that the password was not looked at, and so nothing was learned.
func (a *Attempt) Withdraw() {
	g := a.guesses
	g.mu.Lock()
	defer g.mu.Unlock()
	if a.known {
		a.name.known.count = max(0, a.name.known.count-1)
		return
	}
	a.takeBack(1)
}

// takeBack takes back the attempt, and as many failures at its name.
func (a *Attempt) takeBack(failed int) {
	g := a.guesses
	for _, of := range a.networks {
		if f := a.name.failed.records[of]; f != nil {
			if f.count -= failed; f.count <= 0 {
				delete(a.name.failed.records, of)
			}
		}
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
}

func (f *failures) add(now time.Time) {
	f.count = f.since(now) + 1
	f.last = now
}

// since returns how many failures are remembered; of nobody, none.
func (f *failures) since(now time.Time) int {
	if f == nil || f.forget > 0 && now.Sub(f.last) > f.forget {
		return 0
	}
	return f.count
}

// wait returns how long the next attempt has to wait if so many failures are
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
