package throttle

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// maxInvented is how many names without a user have counters, and
	// maxInventedRecords how many records they have together after a sweep. One is
	// due again after a third as many guesses, each of which adds three at most.
	maxInvented        = 20_000
	maxInventedRecords = 100_000

	// maxBrowsers is how many browsers that have signed in are remembered as
	// failing, of a user's. Only the user can make more of them.
	maxBrowsers = 64
)

// names holds the counters of names. Those of users are kept as long as there is
// the user. Those of other names work in the same way, so that nothing tells a name
// that exists from one that doesn't, as long as there are not too many of them: then
// the ones with the fewest failures are evicted.
type names struct {
	users    map[string]*user
	invented map[uint64]*name // by hash: names are as long as strangers like
	guesses  int              // at invented names, since the last sweep
}

// name is what is known of the guesses at a name.
type name struct {
	hash   uint64
	bucket *bucket
	failed *table[*failures] // bounded by the guesses that there are
	known  *table[*failures] // of browsers that the user has signed in with
	last   time.Time         // of the guesses
}

// user is a name that exists.
type user struct {
	*name
	configurations int // that name the user
}

func newName(hash uint64, now time.Time) *name {
	return &name{
		hash:   hash,
		bucket: newBucket(userRate, now),
		failed: newTable[*failures](0),
		known:  newTable[*failures](maxBrowsers),
	}
}

// fold returns the name that failures are counted under: users type theirs in
// either case.
func fold(username string) string { return strings.ToLower(username) }

// AddUsers tells names that exist, until release is called: several
// configurations may name the same ones. What was counted before is kept, as it is
// when they are gone.
func (g *Guesses) AddUsers(list []string) (release func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, n := range list {
		u := g.names.users[fold(n)]
		if u == nil {
			u = &user{name: g.names.inventedName(g.hash(fold(n)), g.now())}
			delete(g.names.invented, u.hash)
			g.names.users[fold(n)] = u
		}
		u.configurations++
	}
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, n := range list {
			u := g.names.users[fold(n)]
			if u.configurations--; u.configurations == 0 {
				delete(g.names.users, fold(n))
				g.names.invented[u.hash] = u.name
			}
		}
	})
}

// inventedName returns the counter of a name without a user. It is not kept before
// something is counted.
func (n *names) inventedName(hash uint64, now time.Time) *name {
	if have := n.invented[hash]; have != nil {
		return have
	}
	return newName(hash, now)
}

// guessed keeps the counter of a name without a user, at which there was a guess.
func (n *names) guessed(at *name, now time.Time) {
	n.invented[at.hash] = at
	if n.guesses++; len(n.invented) > maxInvented || n.guesses > maxInventedRecords/3 {
		n.sweep(now)
	}
}

// takenBack forgets the counter of a name without a user, if it says nothing.
func (n *names) takenBack(at *name) {
	if n.invented[at.hash] == at && len(at.failed.records) == 0 {
		delete(n.invented, at.hash)
	}
}

// sweep forgets what is over, and then, if there are too many, the names at which
// there were the fewest failures: a flood displaces itself.
func (n *names) sweep(now time.Time) {
	n.guesses = 0
	type entry struct {
		*name
		failures int
	}
	entries := make([]entry, 0, len(n.invented))
	records := 0
	for hash, at := range n.invented {
		e := entry{name: at}
		for of, f := range at.failed.records {
			if count := f.since(now); count > 0 {
				e.failures += count
			} else {
				delete(at.failed.records, of)
			}
		}
		if e.failures == 0 && at.bucket.weight(now) <= 0 {
			delete(n.invented, hash)
			continue
		}
		records += len(at.failed.records)
		entries = append(entries, e)
	}
	if len(entries) <= maxInvented && records <= maxInventedRecords {
		return
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.failures, b.failures), a.last.Compare(b.last), cmp.Compare(a.hash, b.hash))
	})
	left := len(entries)
	for _, e := range entries {
		// Some more than needed, as looking at all of them takes time.
		if left <= maxInvented*7/8 && records <= maxInventedRecords {
			break
		}
		delete(n.invented, e.hash)
		left--
		records -= len(e.failed.records)
	}
}
