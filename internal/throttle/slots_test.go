package throttle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// order joins all claims at slots of which the only one is taken, and returns in
// which order they get it. Those refused come after a bar.
func order(s *Slots, claims []Claim) []int {
	first := s.join(Claim{From: "203.0.113.1"})
	places := make([]*place, len(claims))
	for i, c := range claims {
		places[i] = s.join(c)
	}
	var refused []int
	for i, p := range places {
		if len(p.answer) == 1 {
			refused = append(refused, i)
		}
	}
	var got []int
	for current := first; current != nil; {
		s.release(current)
		current = nil
		for i, p := range places {
			if len(p.answer) == 1 && !slices.Contains(refused, i) && !slices.Contains(got, i) {
				got = append(got, i)
				current = p
				break
			}
		}
	}
	return append(append(got, -1), refused...)
}

func from(addresses ...string) []Claim {
	claims := make([]Claim, len(addresses))
	for i, a := range addresses {
		claims[i].From = a
	}
	return claims
}

func TestSlotsTakeTurns(t *testing.T) {
	t.Parallel()
	const a, a2, b, c = "192.0.2.1", "192.0.2.2", "198.51.100.1", "10.0.0.1"
	const home, home2, away = "2001:db8:0:100::1", "2001:db8:0:101::1", "2001:db8:0:200::1"
	for _, tt := range []struct {
		name   string
		queue  int
		claims []Claim
		want   []int
	}{
		{"one network: in turn", 9, from(a, a, a), []int{0, 1, 2, -1}},
		{"two networks", 9, from(a, a, a, b, b), []int{0, 3, 1, 4, 2, -1}},
		{"the last comes second", 9, from(a, a, a, a, b), []int{0, 4, 1, 2, 3, -1}},
		{"a /24 is one", 9, from(a, a2, a, a2, b), []int{0, 4, 1, 2, 3, -1}},
		{"within a /24 addresses take turns", 9, from(a, a, a, a2), []int{0, 3, 1, 2, -1}},
		{"a /48 is one", 9, from(home, away, home2, b), []int{0, 3, 1, 2, -1}},
		{"within a /48 a /56 is one", 9, from(home, home2, home, away), []int{0, 3, 1, 2, -1}},
		{"within a /56 a /64 is one", 9, from(home, home, home, home2), []int{0, 3, 1, 2, -1}},
		{"IPv4 and IPv6", 9, from(home, home, a, a), []int{0, 2, 1, 3, -1}},
		{"rank goes before", 9, []Claim{{From: a, Rank: 2}, {From: b, Rank: 1}, {From: c}}, []int{2, 1, 0, -1}},
		{"no queue", 0, from(a, b), []int{-1, 0, 1}},
		{"full: the last of as many", 2, from(a, b, c), []int{0, 1, -1, 2}},
		{"full: the newest of the most", 3, from(a, a, a, b, c), []int{0, 3, 4, -1, 1, 2}},
		{"full: a /24 has the most", 3, from(a, a2, "192.0.2.3", b), []int{0, 3, 1, -1, 2}},
		{"full: the /32 of the /24 that has the most", 3, from(a, a, a2, b), []int{0, 3, 2, -1, 1}},
		{"full: the last rank", 2, []Claim{{From: a, Rank: 1}, {From: b, Rank: 2}, {From: a, Rank: 1}}, []int{0, 2, -1, 1}},
		{"full: one host has no more than a fourth", 8, []Claim{{From: a, For: "x"}, {From: b, For: "x"}, {From: c, For: "x"}, {From: a, For: "y"}}, []int{0, 1, 3, -1, 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := NewSlots(1, tt.queue, 1)
			if got := order(s, tt.claims); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if len(s.nodes)+len(s.waiting)+len(s.groups)+s.held != 0 {
				t.Errorf("something is left: %+v", s)
			}
		})
	}
}

// While one network holds slots for long, others get the rest first.
func TestSlotsInUseCount(t *testing.T) {
	t.Parallel()
	s := NewSlots(2, 9, 0)
	long := s.join(Claim{From: "192.0.2.1"})
	short := s.join(Claim{From: "198.51.100.1"})
	again := s.join(Claim{From: "192.0.2.2"}) // the /24 holds one already
	other := s.join(Claim{From: "10.0.0.1"})
	s.release(short)
	if len(again.answer) != 0 || len(other.answer) != 1 {
		t.Error("the network that holds a slot gets another before one that holds none")
	}
	s.release(long)
	if len(again.answer) != 1 {
		t.Error("a free slot is given to nobody")
	}
}

func TestSlotsForOneThing(t *testing.T) {
	t.Parallel()
	s := NewSlots(8, 64, 2)
	var places []*place
	for i := range 4 {
		places = append(places, s.join(Claim{From: fmt.Sprintf("10.0.%d.1", i), For: "slow.example"}))
	}
	other := s.join(Claim{From: "10.0.9.1", For: "other.example"})
	granted := 0
	for _, p := range places {
		granted += len(p.answer)
	}
	if granted != 2 || len(other.answer) != 1 {
		t.Errorf("%d slots for one host, want 2; another host's %d, want 1", granted, len(other.answer))
	}
}

func TestTake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(2, 3, 0)
		release, err := s.Take(t.Context(), "192.0.2.1")
		if err != nil {
			t.Fatal(err)
		}
		second, err := s.Take(t.Context(), "192.0.2.1")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Take(ctx, "192.0.2.1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
		if _, err := s.Take(ctx, "192.0.2.1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a context that is done: got %v", err)
		}
		var got, busy atomic.Int64
		for range 5 {
			go func() {
				release, err := s.Take(t.Context(), "192.0.2.1")
				if e, ok := errors.AsType[*BusyError](err); ok {
					if !e.Own {
						t.Error("it is the network's own queue that is full")
					}
					busy.Add(1)
					return
				}
				got.Add(1)
				time.Sleep(time.Second)
				release()
			}()
		}
		synctest.Wait()
		if got.Load() != 0 || busy.Load() != 2 || s.Waiting() != 3 {
			t.Errorf("%d have a slot, %d were refused, %d wait", got.Load(), busy.Load(), s.Waiting())
		}
		release()
		release() // once is what counts
		time.Sleep(10 * time.Second)
		second()
		if got.Load() != 3 || s.held != 0 || len(s.nodes) != 0 {
			t.Errorf("%d got a slot, %d are held, %d networks are remembered", got.Load(), s.held, len(s.nodes))
		}
	})
}
