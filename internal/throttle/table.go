package throttle

import (
	"cmp"
	"slices"
	"time"
)

// record is what a table has about a network.
type record interface {
	// weight is what the network would gain if the record were removed. At zero,
	// the record is useless.
	weight(now time.Time) float64
	// touched returns when the record last changed.
	touched() time.Time
}

// table holds the records of networks. It is not safe for concurrent use.
type table[R record] struct {
	// max bounds the number of records; zero if something else bounds them.
	max     int
	records map[network]R
	// sweepAt is the number of records at which useless ones are next removed.
	sweepAt int
}

// minSweep is the number of records below which no sweep is worthwhile.
const minSweep = 256

func newTable[R record](max int) *table[R] {
	return &table[R]{max: max, records: make(map[network]R), sweepAt: minSweep}
}

// put adds a record. If there is no room, the records with the least weight are
// evicted; of those, the ones unchanged for the longest. So a flood of new
// networks displaces new networks, not those that are being throttled.
func (t *table[R]) put(of network, r R, now time.Time) {
	if _, ok := t.records[of]; !ok {
		if len(t.records) >= t.sweepAt {
			for n, r := range t.records {
				if r.weight(now) <= 0 {
					delete(t.records, n)
				}
			}
			t.sweepAt = max(minSweep, 2*len(t.records))
		}
		if t.max > 0 && len(t.records) >= t.max {
			t.evict(now)
		}
	}
	t.records[of] = r
}

// evict makes room for several records, because it has to look at all of them.
func (t *table[R]) evict(now time.Time) {
	type entry struct {
		network network
		weight  float64
		touched time.Time
	}
	entries := make([]entry, 0, len(t.records))
	for n, r := range t.records {
		entries = append(entries, entry{n, r.weight(now), r.touched()})
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.weight, b.weight), a.touched.Compare(b.touched), cmp.Compare(a.network.prefix, b.network.prefix))
	})
	for _, e := range entries[:max(1, t.max/8)] {
		delete(t.records, e.network)
	}
}
