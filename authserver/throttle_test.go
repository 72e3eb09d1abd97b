package authserver

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

func newTestThrottle() (*throttle, func(time.Duration)) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return newThrottle(func() time.Time { return now }), func(d time.Duration) { now = now.Add(d) }
}

func TestThrottle(t *testing.T) {
	t.Parallel()
	th, pass := newTestThrottle()
	for i := range freeFailures {
		if wait := th.wait("192.0.2.1", "ada"); wait != 0 {
			t.Fatalf("attempt %d waits %s", i, wait)
		}
	}
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		wait := th.wait("192.0.2.1", "Ada") // names differ in case only
		if wait != want*time.Second {
			t.Fatalf("pause %d is %s, want %ds", i, wait, want)
		}
		pass(wait)
		if wait := th.wait("192.0.2.1", "ada"); wait != 0 {
			t.Fatalf("after pause %d there is another of %s", i, wait)
		}
	}
	if wait := th.wait("192.0.2.2", "ada"); wait != 0 {
		t.Errorf("another address waits %s for the first one's failures", wait)
	}
	pass(forgetFailures + time.Second)
	if wait := th.wait("192.0.2.1", "ada"); wait != 0 {
		t.Errorf("nothing is forgotten: %s", wait)
	}
}

func TestThrottleByEachAlone(t *testing.T) {
	t.Parallel()
	for name, attempt := range map[string]func(int) (address, username string){
		"one address, many names": func(i int) (string, string) { return "192.0.2.1", fmt.Sprint("user", i) },
		"one network of IPv6":     func(i int) (string, string) { return fmt.Sprintf("2001:db8::%x", i+1), fmt.Sprint("user", i) },
		"the same, as IPv4 in IPv6": func(i int) (string, string) {
			return []string{"192.0.2.1", "::ffff:192.0.2.1"}[i%2], fmt.Sprint("user", i)
		},
		"many addresses, one name":        func(i int) (string, string) { return fmt.Sprintf("192.0.2.%d", i%250), "ada" },
		"one address that isn't readable": func(i int) (string, string) { return "unix", fmt.Sprint("user", i) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			th, _ := newTestThrottle()
			for i := range 100 {
				if th.wait(attempt(i)) > 0 {
					if i < freeFailures {
						t.Errorf("waits after %d attempts", i)
					}
					return
				}
			}
			t.Error("nobody slows it down")
		})
	}
}

func TestThrottleSuccess(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"192.0.2.1", "2001:db8::1"} {
		th, _ := newTestThrottle()
		for range 50 { // somebody who knows their password
			if wait := th.wait(address, "ada"); wait != 0 {
				t.Fatalf("%s: a good user waits %s", address, wait)
			}
			th.succeeded(address, "ada")
		}
		// One good account is no licence to try others.
		slowed := false
		for i := range 4*freeFailures + 2 {
			slowed = th.wait(address, fmt.Sprint("user", i)) > 0
			if th.wait(address, "ada") == 0 {
				th.succeeded(address, "ada")
			}
		}
		if !slowed {
			t.Errorf("%s: signing in in between makes guessing free", address)
		}
	}
}

func TestThrottleIsBounded(t *testing.T) {
	t.Parallel()
	th, _ := newTestThrottle()
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 10_000 {
				th.wait(fmt.Sprintf("10.%d.%d.%d", worker, i/250, i%250), fmt.Sprint("user", i))
			}
		})
	}
	wg.Wait()
	if len(th.records) > maxThrottled {
		t.Errorf("%d records, want at most %d", len(th.records), maxThrottled)
	}
}
