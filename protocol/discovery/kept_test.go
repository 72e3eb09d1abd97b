package discovery

// This file tests kept on the fake clock of testing/synctest, which also finds
// goroutines that are left behind and calls that wait forever.

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// source is what a kept fetches from. Its value is a version number.
type source struct {
	mu      sync.Mutex
	version int
	latency time.Duration // half of it before the value is read, half after
	err     error
	fetches []time.Time
}

func (s *source) get(ctx context.Context) (int, time.Duration, error) {
	s.mu.Lock()
	s.fetches = append(s.fetches, time.Now())
	latency := s.latency
	s.mu.Unlock()
	if err := pause(ctx, nil, latency/2); err != nil {
		return 0, 0, err
	}
	s.mu.Lock()
	version, err := s.version, s.err
	s.mu.Unlock()
	if err := pause(ctx, nil, latency/2); err != nil {
		return 0, 0, err
	}
	return version, defaultKeysFresh, err
}

func (s *source) set(change func(*source)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *source) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.fetches)
}

// bubble runs f with a kept that fetches from s, on a fake clock.
func bubble(t *testing.T, s *source, f func(t *testing.T, k *kept[int])) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f(t, &kept[int]{
			lifetime: t.Context(),
			now:      time.Now,
			get:      s.get,
			same:     func(a, b int) bool { return a == b },
			usable:   usable,
		})
	})
}

func mustLoad(t *testing.T, k *kept[int], since time.Time, want int) {
	t.Helper()
	if got, err := k.load(t.Context(), since); err != nil || got != want {
		t.Errorf("got version %d (%v), want %d", got, err, want)
	}
}

// A token signed with a key published just now is good after a second, even if
// another request asked a moment before and its answer is still on the way.
func TestJustPublished(t *testing.T) {
	t.Parallel()
	for name, latency := range map[string]time.Duration{"fast issuer": 0, "slow issuer": 800 * time.Millisecond} {
		for _, before := range []time.Duration{0, 10 * time.Millisecond, 400 * time.Millisecond, 790 * time.Millisecond, 999 * time.Millisecond, 2 * time.Second} {
			t.Run(name+", asked "+before.String()+" before", func(t *testing.T) {
				t.Parallel()
				s := &source{latency: latency}
				bubble(t, s, func(t *testing.T, k *kept[int]) {
					mustLoad(t, k, time.Time{}, 0)
					time.Sleep(time.Minute)
					var asker sync.WaitGroup
					asker.Go(func() { _, _ = k.load(t.Context(), time.Now()) })
					time.Sleep(before)
					s.set(func(s *source) { s.version = 1 })
					start := time.Now()
					mustLoad(t, k, start, 1)
					if got, most := time.Since(start), minCooldown+2*latency; got > most {
						t.Errorf("got an answer after %v, want it within %v", got, most)
					}
					asker.Wait()
				})
			})
		}
	}
}

// A flood of unknown keys: it gets few fetches out of us, the value at hand is
// there at once for everybody else, and news get through.
func TestFlood(t *testing.T) {
	t.Parallel()
	s := &source{latency: 50 * time.Millisecond}
	bubble(t, s, func(t *testing.T, k *kept[int]) {
		mustLoad(t, k, time.Time{}, 0)
		ctx, stop := context.WithCancel(t.Context())
		var flood sync.WaitGroup
		for range 100 {
			flood.Go(func() {
				for ctx.Err() == nil {
					_, _ = k.load(ctx, time.Now())
					time.Sleep(200 * time.Millisecond)
				}
			})
		}
		const minutes = 5
		for range minutes * 60 {
			time.Sleep(time.Second)
			start := time.Now()
			mustLoad(t, k, time.Time{}, 0)
			if got := time.Since(start); got != 0 {
				t.Errorf("got the value at hand after %v, want it at once", got)
			}
		}
		if got, most := s.count(), freeForcedFetches+10+minutes*int(time.Minute/maxForcedCooldown); got > most {
			t.Errorf("got %d fetches in %d minutes, want at most %d", got, minutes, most)
		}

		s.set(func(s *source) { s.version = 1 })
		start := time.Now()
		for {
			got, err := k.load(t.Context(), time.Time{})
			if err != nil {
				t.Fatalf("got %v, want the value at hand", err)
			}
			if got == 1 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if got := time.Since(start); got > maxForcedCooldown+time.Second {
			t.Errorf("got the news after %v, want them within %v", got, maxForcedCooldown)
		}
		stop()
		flood.Wait()
	})
}

// The first seconds of a flood, before the cooldown grows: news take a second.
func TestFloodJustBegun(t *testing.T) {
	t.Parallel()
	s := new(source)
	bubble(t, s, func(t *testing.T, k *kept[int]) {
		mustLoad(t, k, time.Time{}, 0)
		ctx, stop := context.WithCancel(t.Context())
		var flood sync.WaitGroup
		for range 200 {
			flood.Go(func() {
				for ctx.Err() == nil {
					_, _ = k.load(ctx, time.Now())
					time.Sleep(20 * time.Millisecond)
				}
			})
		}
		time.Sleep(3500 * time.Millisecond)
		s.set(func(s *source) { s.version = 1 })
		time.Sleep(minCooldown + time.Millisecond)
		mustLoad(t, k, time.Time{}, 1)
		stop()
		flood.Wait()
	})
}

// Not more than maxWaiters wait for the cooldown; the others know at once.
func TestWaitersBounded(t *testing.T) {
	t.Parallel()
	s := new(source)
	bubble(t, s, func(t *testing.T, k *kept[int]) {
		mustLoad(t, k, time.Time{}, 0)
		time.Sleep(time.Millisecond)
		since := time.Now()
		var mu sync.Mutex
		var served, refused int
		var callers sync.WaitGroup
		for range 1000 {
			callers.Go(func() {
				_, err := k.load(t.Context(), since)
				mu.Lock()
				defer mu.Unlock()
				switch waited := time.Since(since); {
				case err == nil:
					served++
				case waited == 0:
					refused++
				default:
					t.Errorf("got %v after %v, want that at once or not at all", err, waited)
				}
			})
		}
		callers.Wait()
		if served != maxWaiters || refused != 1000-maxWaiters {
			t.Errorf("got %d served, %d refused, want %d served", served, refused, maxWaiters)
		}
		if got := s.count(); got != 2 {
			t.Errorf("got %d fetches, want 2", got)
		}
		mustLoad(t, k, since, 0)
	})
}

// Hostile and honest callers, an issuer of all moods: whatever happens, every
// call ends soon, says the truth, and fetches keep their distance.
func TestKeptAtRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		s := new(source)
		bubble(t, s, func(t *testing.T, k *kept[int]) {
			random := rand.New(rand.NewPCG(seed, 1))
			var callers sync.WaitGroup
			for range 3000 {
				switch random.IntN(40) {
				case 0:
					s.set(func(s *source) { s.version++ })
					time.Sleep(time.Nanosecond) // a fetch of this very moment may have missed it
				case 1:
					s.set(func(s *source) { s.latency = time.Duration(random.IntN(8000)) * time.Millisecond })
				case 2:
					s.set(func(s *source) { s.latency = 0 })
				case 3:
					s.set(func(s *source) { s.err = errors.New("no") })
				case 4, 5, 6:
					s.set(func(s *source) { s.err = nil })
				}
				forced, leaves := random.IntN(2) == 0, random.IntN(10) == 0
				callers.Go(func() { callAtRandom(t, s, k, forced, leaves) })
				time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
			}
			callers.Wait()
			for i := 1; i < len(s.fetches); i++ {
				if gap := s.fetches[i].Sub(s.fetches[i-1]); gap < minCooldown {
					t.Errorf("seed %d: got fetches %v apart, want at least %v", seed, gap, minCooldown)
				}
			}
		})
	}
}

func callAtRandom(t *testing.T, s *source, k *kept[int], forced, leaves bool) {
	start := time.Now()
	ctx, cancel := t.Context(), context.CancelFunc(func() {})
	if leaves {
		ctx, cancel = context.WithTimeout(ctx, 300*time.Millisecond)
	}
	defer cancel()
	var since time.Time
	if forced {
		since = start
	}
	s.mu.Lock()
	atStart := s.version
	s.mu.Unlock()
	got, err := k.load(ctx, since)
	var una *token.UnavailableError
	switch {
	case err != nil && !errors.As(err, &una):
		t.Errorf("got %v, want an *UnavailableError", err)
	case err == nil && forced && got < atStart:
		t.Errorf("got version %d, want %d or later, which was there when it was asked for", got, atStart)
	}
	most := 2*fetchTimeout + maxWait // one fetch that came too early, the cooldown, one more
	if leaves {
		most = 300 * time.Millisecond
	}
	if took := time.Since(start); took > most {
		t.Errorf("got an answer after %v, want it within %v", took, most)
	}
}
