package throttle

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
)

// Slots gives out a bounded number of slots for work that any client can cause,
// such as hashing a password. Clients wait in a bounded queue, and networks take
// turns: at each prefix length, the next slot goes to the network that holds the
// fewest; of those, to the one that has waited the longest for its turn. So a /48
// or a /24 with many requests gets no more than one with a single request.
//
// A full queue refuses immediately. The network with the most places in it loses
// its newest one, not the network that comes last. Which place that is, and who
// is next, depends only on the order of the calls.
//
// Slots are safe for concurrent use.
type Slots struct {
	slots, queue, each int

	mu      sync.Mutex
	held    int
	groups  map[string]int // slots held, by group
	waiting []*place
	nodes   map[network]*node
	turn    uint64
}

// node is a network that holds slots or waits for them.
type node struct {
	held, waiting int
	// turn is when the network joined, or last got or released a slot.
	turn uint64
}

// place is a place in the queue.
type place struct {
	claim    Claim
	networks []network
	nodes    []*node
	number   uint64
	// answer receives nil when the place gets a slot, or an error.
	answer chan error
}

// Claim says which client wants a slot, and for what.
type Claim struct {
	// From is the client's address. Everything that is not an IP address is one
	// network.
	From string

	// Rank takes precedence over networks: no higher rank gets a slot while a
	// lower one waits, and in a full queue the highest loses its place. Default:
	// 0.
	Rank int

	// For is what the slot is for, such as a host. Each may hold only so many
	// slots, and a fourth of the queue. Empty: no limit.
	For string
}

// BusyError means that there was no place in the queue, or that it was lost.
type BusyError struct {
	// Own says that the client's network has other places or slots: it sends too
	// many requests (429). Otherwise, all networks together do (503).
	Own bool
}

func (e *BusyError) Error() string {
	if e.Own {
		return "too many requests from this network are waiting"
	}
	return "too many requests are waiting"
}

// NewSlots returns the given number of slots, with a queue of the given length.
// Each [Claim.For] may hold at most each slots; zero means all.
func NewSlots(slots, queue, each int) *Slots {
	return &Slots{
		slots:  slots,
		queue:  queue,
		each:   each,
		groups: make(map[string]int),
		nodes:  make(map[network]*node),
	}
}

// Take waits for a slot for a client at the address from, until ctx is done. The
// slot must be released, once. The error is a [*BusyError], or the context's.
func (s *Slots) Take(ctx context.Context, from string) (release func(), err error) {
	return s.TakeAs(ctx, Claim{From: from})
}

// TakeAs is [Slots.Take] for a claim.
func (s *Slots) TakeAs(ctx context.Context, claim Claim) (release func(), err error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("waiting for a slot: %w", context.Cause(ctx))
	}
	p := s.join(claim)
	select {
	case err = <-p.answer:
	case <-ctx.Done():
		if s.leave(p) {
			return nil, fmt.Errorf("waiting for a slot: %w", context.Cause(ctx))
		}
		err = <-p.answer // the answer came first
	}
	if err != nil {
		return nil, err
	}
	return sync.OnceFunc(func() { s.release(p) }), nil
}

// Waiting returns how many places are in the queue.
func (s *Slots) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting)
}

// join adds a place to the queue. Its answer may arrive immediately.
func (s *Slots) join(claim Claim) *place {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn++
	p := &place{claim: claim, networks: networks(claim.From), number: s.turn, answer: make(chan error, 1)}
	for _, of := range p.networks {
		n := s.nodes[of]
		if n == nil {
			n = &node{turn: s.turn}
			s.nodes[of] = n
		} else if n.waiting == 0 {
			n.turn = s.turn
		}
		n.waiting++
		p.nodes = append(p.nodes, n)
	}
	s.waiting = append(s.waiting, p)
	s.grant()
	if loser := s.loser(claim.For); loser != nil {
		// The widest network includes the narrower ones.
		widest := loser.nodes[len(loser.nodes)-1]
		busy := &BusyError{Own: widest.held+widest.waiting > 1}
		s.remove(loser)
		loser.answer <- busy
	}
	return p
}

// leave removes a place from the queue. It reports false if the place has had its
// answer.
func (s *Slots) leave(p *place) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.waiting, p) {
		return false
	}
	s.remove(p)
	return true
}

func (s *Slots) release(p *place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held--
	if s.groups[p.claim.For]--; s.groups[p.claim.For] <= 0 {
		delete(s.groups, p.claim.For)
	}
	s.turn++
	for _, n := range p.nodes {
		n.held--
		n.turn = s.turn // behind those that came while it held the slot
	}
	s.forget(p)
	s.grant()
}

// grant gives the free slots to the places whose turn it is.
func (s *Slots) grant() {
	for s.held < s.slots {
		var next *place
		for _, p := range s.waiting {
			if s.each > 0 && p.claim.For != "" && s.groups[p.claim.For] >= s.each {
				continue
			}
			if next == nil || compareTurn(p, next) < 0 {
				next = p
			}
		}
		if next == nil {
			return
		}
		s.turn++
		s.held++
		s.groups[next.claim.For]++
		for _, n := range next.nodes {
			n.held++
			n.turn = s.turn
		}
		s.remove(next)
		next.answer <- nil
	}
}

// remove removes a place from the queue.
func (s *Slots) remove(p *place) {
	i := slices.Index(s.waiting, p)
	s.waiting = slices.Delete(s.waiting, i, i+1)
	for _, n := range p.nodes {
		n.waiting--
	}
	s.forget(p)
}

// forget removes the networks of a place that neither hold nor want a slot.
func (s *Slots) forget(p *place) {
	for i, n := range p.nodes {
		if n.held == 0 && n.waiting == 0 && s.nodes[p.networks[i]] == n {
			delete(s.nodes, p.networks[i])
		}
	}
}

// loser returns the place to remove if there are too many in the queue, or too
// many for group; nil if there are not. At each prefix length, from the widest,
// it chooses the network with the most places; of several, the one that came
// last.
func (s *Slots) loser(group string) *place {
	ofGroup, rank := 0, 0
	for _, p := range s.waiting {
		if p.claim.For == group {
			ofGroup++
		}
	}
	// Places for one slow host leave room for those for other hosts.
	tooMany := group != "" && s.each > 0 && ofGroup > max(1, s.queue/4)
	if !tooMany && len(s.waiting) <= s.queue {
		return nil
	}
	candidate := func(p *place) bool { return !tooMany || p.claim.For == group }
	for _, p := range s.waiting {
		if candidate(p) {
			rank = max(rank, p.claim.Rank)
		}
	}
	var loser *place
	for level := 1; loser == nil || level <= len(loser.nodes); level++ {
		var in *node // the network chosen before
		if loser != nil {
			in = loser.nodes[len(loser.nodes)-level+1]
		}
		var most *place
		for _, p := range s.waiting {
			if !candidate(p) || p.claim.Rank != rank || in != nil && (len(p.nodes) < level || p.nodes[len(p.nodes)-level+1] != in) {
				continue
			}
			n := p.nodes[len(p.nodes)-level]
			// The places are ordered by number.
			if most == nil || n.held+n.waiting >= most.nodes[len(most.nodes)-level].held+most.nodes[len(most.nodes)-level].waiting {
				most = p
			}
		}
		loser = most
	}
	// The newest place of the narrowest chosen network.
	return loser
}

// compareTurn is negative if a's turn is before b's. It compares the widest
// networks first. Places of one network compare by the next narrower one.
func compareTurn(a, b *place) int {
	if c := cmp.Compare(a.claim.Rank, b.claim.Rank); c != 0 {
		return c
	}
	i, j := len(a.nodes)-1, len(b.nodes)-1
	for ; i >= 0 && j >= 0; i, j = i-1, j-1 {
		m, n := a.nodes[i], b.nodes[j]
		if c := cmp.Or(cmp.Compare(m.held, n.held), cmp.Compare(m.turn, n.turn)); m != n && c != 0 {
			return c
		}
	}
	return cmp.Compare(a.number, b.number)
}
