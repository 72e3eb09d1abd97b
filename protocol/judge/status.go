package judge

import "time"

// Status is the state of a cache, for an operator who looks.
type Status struct {
	// Entries is how many verdicts there are, of at most Max.
	Entries, Max int
	// Hits and Misses count the questions about tokens that a verdict was there for, or
	// not.
	Hits, Misses uint64
	// Down says that the issuer is not asked, because it didn't answer, until Until.
	// Err is why.
	Down  bool
	Until time.Time
	Err   error
}

// Status returns the state of the cache now.
func (c *Cache) Status() Status {
	asked := c.asked.Snapshot()
	s := Status{Entries: c.verdicts.EstimatedSize(), Max: c.config.MaxEntries, Hits: asked.Hits, Misses: asked.Misses}
	b := &c.breaker
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open {
		s.Down, s.Until, s.Err = true, b.until, b.err
	}
	return s
}
