package clientdoc

import (
	"context"
	"errors"
	"sync"
)

const (
	// maxFetches is how many fetches there are at a time, and maxHostFetches,
	// how many to one host: anybody can ask for them.
	maxFetches     = 8
	maxHostFetches = 2

	// maxQueue is how many wait for their turn. Beyond it, nobody would get it in
	// time.
	maxQueue = 64
)

// slots limits how many fetches run at a time.
type slots struct {
	all chan struct{}

	mu     sync.Mutex
	queued int
	hosts  map[string]*hostSlots
}

// hostSlots are the slots of one host. They exist while somebody uses them.
type hostSlots struct {
	taken chan struct{}
	users int
}

func newSlots() *slots {
	return &slots{all: make(chan struct{}, maxFetches), hosts: make(map[string]*hostSlots)}
}

// acquire waits for a slot, which must be released, until ctx is done. The error
// is an [*UnavailableError].
func (s *slots) acquire(ctx context.Context, host string) error {
	s.mu.Lock()
	if s.queued >= maxQueue {
		s.mu.Unlock()
		return &UnavailableError{errors.New("too many fetches are waiting")}
	}
	s.queued++
	h := s.hosts[host]
	if h == nil {
		h = &hostSlots{taken: make(chan struct{}, maxHostFetches)}
		s.hosts[host] = h
	}
	h.users++
	s.mu.Unlock()

	// The host's first: who waits for a slow host holds up nobody else.
	ok := take(ctx, h.taken)
	if ok && !take(ctx, s.all) {
		<-h.taken
		ok = false
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.queued--
	if !ok {
		s.leave(host)
		return &UnavailableError{errors.New("too many fetches are under way")}
	}
	return nil
}

func (s *slots) release(host string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	<-s.all
	<-s.hosts[host].taken
	s.leave(host)
}

// leave is called with mu held.
func (s *slots) leave(host string) {
	h := s.hosts[host]
	if h.users--; h.users == 0 {
		delete(s.hosts, host)
	}
}

// take takes a place in c unless ctx is done before.
func take(ctx context.Context, c chan struct{}) bool {
	select {
	case c <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}
