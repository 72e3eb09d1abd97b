package throttle

import (
	"slices"
	"testing"
	"time"
)

// The simulations: an hour of an attack on sign-ins, with a clock that is ours
// and a machine that checks one password a second. The user comes every six
// minutes, each time with a browser and from a network that were never seen, and
// in half of the hours mistypes first. What is measured is how long it takes from
// the first attempt with the right password to its answer.

func TestSignInUnderAttack(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		attack func(w *world)
		hash   time.Duration // that a password takes; default: a second
		owner  func(i int) string
		known  bool
		exact  bool // the user makes no mistakes
		// beyond says that the attack is larger than what the goal holds for. The wait
		// is only reported, and some of the attempts may end after the hour.
		beyond bool
		// guesses is how many there may be at the user in the hour.
		guesses int
	}{
		{
			name: "invented names from a /56, 4 a second",
			attack: func(w *world) {
				w.every(time.Second/4, func() { w.signIn(ipv6(1, 1, w.rand.IntN(256)), w.invent(), false, false, nil) })
			},
			owner: func(i int) string { return []string{elsewhere(i), ipv6(1, 100+i, 1)}[i%2] }, // or in another /56 of the /48
		},
		{
			name: "invented names from a /48 and a /24, 2 a second",
			attack: func(w *world) {
				w.every(time.Second, func() { w.signIn(ipv6(1, w.rand.IntN(256), w.rand.IntN(256)), w.invent(), false, false, nil) })
				w.every(time.Second, func() { w.signIn(ipv4(1, w.rand.IntN(250)), w.invent(), false, false, nil) })
			},
		},
		{
			name: "invented names from 50 networks, each every 30 seconds",
			attack: func(w *world) {
				w.from(50, 30*time.Second, func(i int) { w.signIn(ipv4(i, 1), w.invent(), false, false, nil) })
			},
		},
		{
			name: "the user's name from one address, every 2 seconds",
			attack: func(w *world) {
				w.every(2*time.Second, func() { w.signIn("192.0.2.1", "ada", false, false, nil) })
			},
			guesses: 70,
		},
		{
			name: "the user's name from a /48, one a second",
			attack: func(w *world) {
				w.every(time.Second, func() { w.signIn(ipv6(1, w.rand.IntN(256), w.rand.IntN(256)), "ada", false, false, nil) })
			},
			guesses: 367,
		},
		{
			name: "the user's name from 50 networks, each every 30 seconds",
			attack: func(w *world) {
				w.from(50, 30*time.Second, func(i int) { w.signIn(ipv4(i, 1), "ada", false, false, nil) })
			},
			guesses: 420,
		},
		{
			name: "the user's name from 300 networks, each every 3 minutes",
			hash: time.Second / 4,
			attack: func(w *world) {
				w.from(300, 3*time.Minute, func(i int) { w.signIn(ipv4(i, 1), "ada", false, false, nil) })
			},
			guesses: 1200,
		},
		{
			name:  "the user's name from 900 networks, each every 10 minutes; no mistakes",
			hash:  time.Second / 4,
			exact: true,
			attack: func(w *world) {
				w.from(900, 10*time.Minute, func(i int) { w.signIn(ipv4(i, 1), "ada", false, false, nil) })
			},
			guesses: 1200,
		},
		{
			name:   "the user's name from 900 networks, each every 10 minutes; half of the users mistype",
			hash:   time.Second / 4,
			beyond: true,
			attack: func(w *world) {
				w.from(900, 10*time.Minute, func(i int) { w.signIn(ipv4(i, 1), "ada", false, false, nil) })
			},
			guesses: 1200,
		},
		{
			name:   "the user's name from 5,000 networks, one every 2 seconds; no mistakes",
			exact:  true,
			beyond: true,
			attack: func(w *world) {
				w.every(2*time.Second, func() { w.signIn(ipv4(w.rand.IntN(5000), 1), "ada", false, false, nil) })
			},
			guesses: 1200,
		},
		{
			name:   "invented names from 5,000 networks, 4 a second; no mistakes",
			exact:  true,
			beyond: true,
			attack: func(w *world) {
				w.every(time.Second/4, func() { w.signIn(ipv4(w.rand.IntN(5000), 1), w.invent(), false, false, nil) })
			},
		},
		{
			name: "the user's name from 5,000 networks, one every 2 seconds; a known browser",
			attack: func(w *world) {
				w.every(2*time.Second, func() { w.signIn(ipv4(w.rand.IntN(5000), 1), "ada", false, false, nil) })
			},
			known:   true,
			guesses: 1200,
		},
		{
			name: "both names, from the network of a known browser",
			attack: func(w *world) {
				w.every(time.Second, func() { w.signIn("192.0.2.1", []string{"ada", w.invent()}[w.rand.IntN(2)], false, false, nil) })
			},
			owner:   func(int) string { return "192.0.2.1" },
			known:   true,
			guesses: 70,
		},
		{
			name: "the user's name, and a flood of invented ones in between",
			attack: func(w *world) {
				w.every(20*time.Second, func() {
					for range 20 {
						w.signIn(ipv4(100+w.rand.IntN(20), w.rand.IntN(250)), w.invent(), false, false, nil)
					}
					w.signIn("192.0.2.1", "ada", false, false, nil)
				})
			},
			guesses: 70,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var took []time.Duration
			most, open := 0, 0
			for seed := range seeds() {
				w := newWorld(seed)
				if tt.hash != 0 {
					w.hash = tt.hash
				}
				tt.attack(w)
				mistakes := int(seed % 2)
				if tt.exact {
					mistakes = 0
				}
				came := 0
				for i := range 10 {
					address := elsewhere(i)
					if tt.owner != nil {
						address = tt.owner(i)
					}
					w.after(time.Duration(i)*6*time.Minute+time.Duration(w.rand.Int64N(int64(3*time.Minute))), func() {
						came++
						w.owner(address, "ada", tt.known, mistakes, func(d time.Duration) { took = append(took, d); came-- })
					})
				}
				w.run(time.Hour)
				if came != 0 && !tt.beyond {
					t.Errorf("seed %d: the user does not get in %d times", seed, came)
				}
				open += came
				most = max(most, w.checked["ada"]-10*mistakes)
			}
			slices.Sort(took)
			longest, p99 := took[len(took)-1], took[len(took)*99/100]
			inTime, _ := slices.BinarySearch(took, within+1)
			t.Logf("%s: the user waits %s at most, %s at the 99th percentile; %.1f %% within %s; at most %d guesses in the hour", tt.name,
				longest.Round(100*time.Millisecond), p99.Round(100*time.Millisecond), 100*float64(inTime)/float64(len(took)+open), within, most)
			if longest > within && !tt.beyond {
				t.Errorf("the user waits %s, want at most %s", longest, within)
			}
			if most > tt.guesses {
				t.Errorf("%d guesses at one user in an hour, want at most %d", most, tt.guesses)
			}
		})
	}
}
