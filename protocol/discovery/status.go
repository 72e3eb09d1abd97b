package discovery

import "time"

// Status is what is known about an authorization server, for an operator who looks.
type Status struct {
	// Metadata and Keys are its two documents.
	Metadata, Keys Fetched
	// KeyCount is the number of keys in the key set.
	KeyCount int
}

// Fetched is the state of a document that is fetched when it is needed.
type Fetched struct {
	// At is when the last good fetch began. Zero means that there was none.
	At time.Time
	// Failures is how many fetches have failed since, and Err is why.
	Failures int
	Err      error
}

// Status returns what is known now. It fetches nothing.
func (iss *Issuer) Status() Status {
	var s Status
	_, s.Metadata = iss.metadata.status()
	set, fetched := iss.keys.status()
	s.Keys = fetched
	if set != nil {
		s.KeyCount = set.Len()
	}
	return s
}

func (k *kept[T]) status() (T, Fetched) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.value, Fetched{At: k.asOf, Failures: k.failures, Err: k.lastErr}
}
