package throttle

import (
	"sync"
	"time"
)

// maxRecords bounds how many networks of a prefix length are tracked.
const maxRecords = 10_000

// Rate allows Burst at once, and one more every Every.
type Rate struct {
	// Burst is the number at once. Every is the interval after which there is one
	// more.
	Burst int
	Every time.Duration
}

// bucket is the rest of a [Rate].
type bucket struct {
	rate   Rate
	tokens float64
	filled time.Time // the time up to which tokens were added
}

func newBucket(rate Rate, now time.Time) *bucket {
	return &bucket{rate, float64(rate.Burst), now}
}

// level returns how many tokens there are.
func (b *bucket) level(now time.Time) float64 {
	if passed := now.Sub(b.filled); passed > 0 {
		b.tokens = min(float64(b.rate.Burst), b.tokens+float64(passed)/float64(b.rate.Every))
		b.filled = now
	}
	return b.tokens
}

// wait returns the time until there is a token above reserve.
func (b *bucket) wait(reserve float64, now time.Time) time.Duration {
	// Nanoseconds don't add up to whole tokens exactly.
	if missing := reserve + 1 - b.level(now); missing > 1e-9 {
		return max(time.Millisecond, time.Duration(missing*float64(b.rate.Every)))
	}
	return 0
}

func (b *bucket) take() { b.tokens-- }

func (b *bucket) giveBack() { b.tokens = min(float64(b.rate.Burst), b.tokens+1) }

func (b *bucket) weight(now time.Time) float64 { return float64(b.rate.Burst) - b.level(now) }

func (b *bucket) touched() time.Time { return b.filled }

// Buckets are token buckets, one for each network at each prefix length. They
// are safe for concurrent use.
type Buckets struct {
	now  func() time.Time
	rate Rate // for a single address

	mu     sync.Mutex
	tables map[int]*table[*bucket] // by prefix length
}

// NewBuckets returns buckets for single addresses (a /64 in IPv6) with the given
// rate. A /56 has twice as much, and a /48 or a /24 four times.
func NewBuckets(rate Rate, now func() time.Time) *Buckets {
	return &Buckets{now: now, rate: rate, tables: make(map[int]*table[*bucket])}
}

func times(rate Rate, n int) Rate { return Rate{n * rate.Burst, rate.Every / time.Duration(n)} }

// Take takes a token from each of the address's networks. If one of them has
// none, Take takes nothing and returns the time until it has one.
func (b *Buckets) Take(address string) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	list := networks(address)
	var wait time.Duration
	for _, n := range list {
		if have, ok := b.table(n).records[n]; ok {
			wait = max(wait, have.wait(0, now))
		}
	}
	if wait > 0 {
		return wait // without a record: refusals use no memory
	}
	for _, n := range list {
		t := b.table(n)
		have, ok := t.records[n]
		if !ok {
			have = newBucket(times(b.rate, n.share()), now)
			t.put(n, have, now)
		}
		have.take()
	}
	return 0
}

func (b *Buckets) table(of network) *table[*bucket] {
	t := b.tables[of.bits]
	if t == nil {
		t = newTable[*bucket](maxRecords)
		b.tables[of.bits] = t
	}
	return t
}
