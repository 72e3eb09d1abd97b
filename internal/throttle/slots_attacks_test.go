package throttle

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// The slots alone, as questions to an issuer and fetches of documents use them: 32
// slots, each held for five seconds by what never answers, and a queue of 64. An
// attacker asks 13 times a second, for an hour, and in half of the hours for
// everything at once at the beginning. Every two minutes a client comes
// from a network that was never seen, for what takes a tenth of a second.
func TestSlotsUnderAttack(t *testing.T) {
	t.Parallel()
	const goal = 30 * time.Second
	for _, tt := range []struct {
		name  string
		claim func(r *rand.Rand) Claim
	}{
		{"13 a second from one address", func(*rand.Rand) Claim { return Claim{From: "192.0.2.1"} }},
		{"13 a second from a /48", func(r *rand.Rand) Claim { return Claim{From: ipv6(1, r.IntN(256), r.IntN(256))} }},
		{"13 a second from 60 networks", func(r *rand.Rand) Claim { return Claim{From: ipv4(r.IntN(60), 1)} }},
		{"13 a second for one host, from 1,000 networks", func(r *rand.Rand) Claim { return Claim{From: ipv4(r.IntN(1000), 1), For: "silent.example"} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var took []time.Duration
			for seed := range seeds() {
				hour := &slotsHour{slots: NewSlots(32, 64, 2), rand: rand.New(rand.NewPCG(seed, 1)), attack: tt.claim}
				if seed%2 == 1 {
					for range 32 + 64 { // all slots are given back at the same time, again and again
						hour.ask()
					}
				}
				hour.run()
				took = append(took, hour.took...)
			}
			if want := int(seeds()) * int(time.Hour/slotsInterval-1); len(took) < want {
				t.Errorf("%d clients were answered, want at least %d", len(took), want)
			}
			slices.Sort(took)
			longest, p99 := took[len(took)-1], took[len(took)*99/100]
			t.Logf("%s: the client waits %s at most, %s at the 99th percentile", tt.name, longest.Round(100*time.Millisecond), p99.Round(100*time.Millisecond))
			if longest > goal {
				t.Errorf("the client waits %s, want at most %s", longest, goal)
			}
		})
	}
}

const (
	slotsInterval = 2 * time.Minute // between two clients
	slotsHeld     = 5 * time.Second // by what never answers
)

// slotsHour is an hour of an attack. All hours together would have 50 million steps,
// so it does without a list of events: what lasts equally long ends in the order in
// which it began. It also leaves out rounds that change nothing: as long as the
// attacker waits for every slot, and nobody else does, each is taken again when it is
// given back, and after slotsHeld everything is as before.
type slotsHour struct {
	slots  *Slots
	rand   *rand.Rand
	attack func(r *rand.Rand) Claim

	now           time.Duration
	held, waiting []slotsTurn // the attacker's
	honest        struct {
		*place        // nil: no client is waiting or at work
		since, at     time.Duration
		granted, come bool
	}
	took []time.Duration
}

// slotsTurn is a place of the attacker's, and when it ends if nothing else happens.
type slotsTurn struct {
	*place
	until time.Duration
}

func (h *slotsHour) run() {
	const never = 2 * time.Hour
	next := time.Duration(h.rand.Int64N(int64(time.Second / 13)))
	arrival := time.Minute + time.Duration(h.rand.Int64N(int64(slotsInterval-time.Minute)))
	for {
		release := never
		if len(h.held) > 0 {
			release = h.held[0].until
		}
		mine := never
		if h.honest.come {
			mine = h.honest.at
		}
		switch h.now = min(next, arrival, release, mine); {
		case h.now >= time.Hour:
			return
		case h.now == release:
			h.slots.release(h.held[0].place)
			h.held = h.held[1:]
		case h.now == next:
			next += time.Second / 13
			if !h.ask() {
				continue
			}
		case h.now == arrival:
			// One at a time: who still waits when the next one comes is what is measured.
			if !h.honest.come {
				h.honest.come, h.honest.since, h.honest.at = true, h.now, h.now
			}
			arrival += slotsInterval
			continue
		default:
			h.step()
		}
		h.settle()
		if rounds := (arrival - h.now) / slotsHeld; !h.honest.come && h.now > time.Minute/2 && rounds > 1 {
			next += h.skip((rounds - 1) * slotsHeld)
		}
	}
}

// ask is a request of the attacker's. It reports whether it waits; if it doesn't, no
// other place was answered.
func (h *slotsHour) ask() bool {
	p := h.slots.join(h.attack(h.rand))
	if len(p.answer) == 0 {
		h.waiting = append(h.waiting, slotsTurn{p, h.now + 20*time.Second})
		return true
	}
	if <-p.answer == nil {
		h.held = append(h.held, slotsTurn{p, h.now + slotsHeld})
	}
	return false
}

// skip leaves rounds out: what is to come comes later.
func (h *slotsHour) skip(d time.Duration) time.Duration {
	for i := range h.held {
		h.held[i].until += d
	}
	for i := range h.waiting {
		h.waiting[i].until += d
	}
	return d
}

// step is what the client does at its time: ask, give up waiting, or be done.
func (h *slotsHour) step() {
	c := &h.honest
	switch {
	case c.place == nil:
		c.place = h.slots.join(Claim{From: elsewhere(h.rand.IntN(1 << 16)), For: "client.example"})
		c.at = h.now + 20*time.Second
	case c.granted:
		h.slots.release(c.place)
		h.took = append(h.took, h.now-c.since)
		c.place, c.granted, c.come = nil, false, false
	default:
		h.slots.leave(c.place)
		c.place, c.at = nil, h.now+5*time.Second
	}
}

// settle reads the answers that there are.
func (h *slotsHour) settle() {
	if c := &h.honest; c.place != nil && !c.granted && len(c.answer) == 1 {
		if <-c.answer == nil {
			c.granted, c.at = true, h.now+time.Second/10
		} else {
			c.place, c.at = nil, h.now+5*time.Second // as Retry-After says
		}
	}
	queued := len(h.waiting)
	if h.honest.place != nil && !h.honest.granted {
		queued++
	}
	if len(h.slots.waiting) == queued && (len(h.waiting) == 0 || h.now < h.waiting[0].until) {
		return // nobody has left the queue, or has waited too long
	}
	kept := h.waiting[:0]
	for _, p := range h.waiting {
		switch {
		case len(p.answer) == 1:
			if <-p.answer == nil {
				h.held = append(h.held, slotsTurn{p.place, h.now + slotsHeld})
			}
		case h.now >= p.until && h.slots.leave(p.place):
		default:
			kept = append(kept, p)
		}
	}
	h.waiting = kept
}
