package throttle

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// maxInvented bounds the counters of names without a user, and
	// maxInventedRecords the records that they have together after a sweep. The
	// next sweep is due after a third as many guesses, each of which adds at most
	// three records.
	maxInvented        = 20_000
	maxInventedRecords = 100_000

	// maxBrowsers is how many known browsers of a user are tracked after a
	// failure. Only the user can create more.
	maxBrowsers = 64
)

// names holds the counters of names. A user's counter is kept as long as the user
// exists. The counters of other names work in the same way, so that nothing
// reveals which names exist. If there are too many of those, the ones with the
// fewest failures are evicted.
type names struct {
	users    map[string]*user
	invented map[uint64]*name // by hash: names are as long as strangers like
	guesses  int              // at invented names, since the last sweep
}

// name has the failures at a name.
type name struct {
	hash   uint64
	bucket *bucket
	failed *table[*failures] // bounded by the number of guesses
	known  *table[*failures] // of known browsers
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

// fold returns the name under which failures are counted. Users type their names
// in any case.
func fold(username string) string { return strings.ToLower(username) }

// AddUsers adds names that exist, until release is called. Several configurations
// may have the same names. Earlier failures at a name still count, as they do
// after release.
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

// inventedName returns the counter of a name without a user. The counter is
// stored only when there is something to count.
func (n *names) inventedName(hash uint64, now time.Time) *name {
	if have := n.invented[hash]; have != nil {
		return have
	}
	return newName(hash, now)
}

// guessed stores the counter of a name without a user, after a guess.
func (n *names) guessed(at *name, now time.Time) {
	n.invented[at.hash] = at
	if n.guesses++; len(n.invented) > maxInvented || n.guesses > maxInventedRecords/3 {
		n.sweep(now)
	}
}

// undone removes the counter of a name without a user, if it is empty.
func (n *names) undone(at *name) {
	if n.invented[at.hash] == at && len(at.failed.records) == 0 {
		delete(n.invented, at.hash)
	}
}

// sweep removes what has expired and then, if there are too many, the names with
// the fewest failures. So a flood displaces itself.
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
		// It removes some more than needed, because looking at all of them takes
		// time.
		if left <= maxInvented*7/8 && records <= maxInventedRecords {
			break
		}
		delete(n.invented, e.hash)
		left--
		records -= len(e.failed.records)
	}
}
