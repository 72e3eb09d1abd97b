package dpop_test

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/dpop"
)

// proofs are proofs that were checked.
type proofs struct {
	*oauthtest.Prover
	clock *testkit.Clock
}

// next returns a proof with claims.
func (p proofs) next(t testing.TB, claims map[string]any) *dpop.Proof {
	t.Helper()
	proof, err := dpop.Check(p.Prove(method, resource, token, claims), request(p.Prover), p.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

func usedBefore(err error) bool {
	refused, ok := errors.AsType[*dpop.Error](err)
	return ok && refused.Rule == dpop.RuleOnce
}

// A proof counts once, as long as it counts.
func TestUsedOnce(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{-dpop.Window, -time.Minute, 0, time.Second, dpop.Window} {
		t.Run(ahead.String(), func(t *testing.T) {
			t.Parallel()
			_, prover, c := newProver(t, "ES256")
			p := proofs{prover, c}
			memory := dpop.NewReplay(dpop.ReplayConfig{})
			proof := p.next(t, map[string]any{"iat": c.Now().Add(ahead).Unix()})
			if err := memory.Use(proof, c.Now()); err != nil {
				t.Fatalf("first use: %v", err)
			}
			for counts := ahead + dpop.Window; counts >= 0; counts -= 7 * time.Second {
				if err := memory.Use(proof, c.Now()); !usedBefore(err) {
					t.Fatalf("%s before its end: got %v, want it refused as used before", counts, err)
				}
				c.Advance(7 * time.Second)
			}
			c.Advance(2 * time.Minute)
			_ = memory.Use(p.next(t, nil), c.Now())
			if got := memory.Len(); got != 1 {
				t.Errorf("after its end: got %d proofs remembered, want 1", got)
			}
		})
	}
}

// The same jti is another proof if another key made it, and the same one whenever it
// was made.
func TestUsedByKey(t *testing.T) {
	t.Parallel()
	srv, prover, c := newProver(t, "ES256")
	one, other := proofs{prover, c}, proofs{srv.NewProver("ES256"), c}
	memory := dpop.NewReplay(dpop.ReplayConfig{})
	for name, p := range map[string]proofs{"one": one, "other": other} {
		if err := memory.Use(p.next(t, map[string]any{"jti": "1"}), c.Now()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	again := one.next(t, map[string]any{"jti": "1", "iat": c.Now().Add(-4 * time.Minute).Unix()})
	if err := memory.Use(again, c.Now()); !usedBefore(err) {
		t.Errorf("same jti, another iat: got %v, want it refused as used before", err)
	}
}

// A key that has used up its room is stopped; nobody else is, and nothing is forgotten.
func TestFullOfOneKey(t *testing.T) {
	t.Parallel()
	srv, prover, c := newProver(t, "ES256")
	greedy, modest := proofs{prover, c}, proofs{srv.NewProver("ES256"), c}
	memory := dpop.NewReplay(dpop.ReplayConfig{MaxOfKey: 10, Max: 1000})
	first := greedy.next(t, nil)
	earlier := modest.next(t, nil)
	for _, p := range []*dpop.Proof{first, earlier} {
		if err := memory.Use(p, c.Now()); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		err := memory.Use(greedy.next(t, nil), c.Now())
		full, refused := errors.AsType[*dpop.FullError](err)
		if want := i >= 9; refused != want {
			t.Fatalf("proof %d: got %v, want refused %t", i+2, err, want)
		}
		if refused && (!full.Own || full.RetryAfter <= 0 || full.RetryAfter > dpop.Window+time.Minute) {
			t.Errorf("proof %d: got %+v, want its own fault and a time to wait", i+2, full)
		}
	}
	if err := memory.Use(modest.next(t, nil), c.Now()); err != nil {
		t.Errorf("another key: %v", err)
	}
	for name, p := range map[string]*dpop.Proof{"of the key itself": first, "of another key": earlier} {
		if err := memory.Use(p, c.Now()); !usedBefore(err) {
			t.Errorf("a proof %s, again: got %v, want it refused as used before", name, err)
		}
	}
	c.Advance(dpop.Window + time.Minute)
	if err := memory.Use(greedy.next(t, nil), c.Now()); err != nil {
		t.Errorf("when its proofs no longer count: %v", err)
	}
}

// A few keys that send as fast as they can don't shut out a key that sends little, and
// the memory never grows beyond its bound.
func TestFullOfMany(t *testing.T) {
	t.Parallel()
	srv, prover, c := newProver(t, "ES256")
	const size = 400
	memory := dpop.NewReplay(dpop.ReplayConfig{MaxOfKey: 200, Max: size})
	greedy := make([]proofs, 4)
	for i := range greedy {
		greedy[i] = proofs{srv.NewProver("ES256"), c}
	}
	modest := proofs{prover, c}
	stopped := 0
	for round := range 15 {
		for _, p := range greedy {
			for range 10 {
				if _, full := errors.AsType[*dpop.FullError](memory.Use(p.next(t, nil), c.Now())); full {
					stopped++
				}
			}
		}
		if err := memory.Use(modest.next(t, nil), c.Now()); err != nil {
			t.Fatalf("round %d: a key that sends little: %v", round, err)
		}
		if got := memory.Len(); got > size {
			t.Fatalf("round %d: got %d proofs, want at most %d", round, got, size)
		}
	}
	if stopped == 0 {
		t.Error("nobody was stopped: the test shows nothing")
	}
}

// After the clock was set back, the memory goes on, and a proof still counts once.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	_, prover, c := newProver(t, "ES256")
	p := proofs{prover, c}
	memory := dpop.NewReplay(dpop.ReplayConfig{})
	for range 13 {
		if err := memory.Use(p.next(t, nil), c.Now()); err != nil {
			t.Fatal(err)
		}
		c.Advance(time.Minute)
	}
	c.Advance(-time.Hour)
	for i := range 13 {
		proof := p.next(t, nil)
		if err := memory.Use(proof, c.Now()); err != nil {
			t.Fatalf("minute %d: %v", i, err)
		}
		if err := memory.Use(proof, c.Now()); !usedBefore(err) {
			t.Fatalf("minute %d, again: got %v, want it refused as used before", i, err)
		}
		c.Advance(time.Minute)
	}
}

// An entry takes at most 100 bytes, whether one key has made all of them or each has
// one of its own.
func TestMemoryOfAnEntry(t *testing.T) { // not parallel: it measures memory
	_, prover, c := newProver(t, "ES256")
	const n, most = 100_000, 100
	for name, owner := range map[string]func(i int) string{
		"one key":  func(int) string { return "key" },
		"n keys":   func(i int) string { return fmt.Sprint("key ", i) },
		"10 a key": func(i int) string { return fmt.Sprint("key ", i/10) },
	} {
		memory := dpop.NewReplay(dpop.ReplayConfig{MaxOfKey: n + 1, Max: 10 * n})
		template := proofs{prover, c}.next(t, nil)
		before := heap()
		for i := range n {
			if err := dpop.UseAs(memory, template, owner(i), fmt.Sprint(i), c.Now()); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		each := float64(heap()-before) / n
		t.Logf("%s: %.1f bytes an entry", name, each)
		if each > most {
			t.Errorf("%s: got %.1f bytes an entry, want at most %d", name, each, most)
		}
		runtime.KeepAlive(memory)
	}
}

// heap returns how much memory is in use.
func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
