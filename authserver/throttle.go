package authserver

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/network"
)

// clientAddress returns where the request of ctx comes from. What it is, behind a
// proxy, is the server's option trusted_proxies.
func clientAddress(ctx context.Context) string {
	address, _ := caddyhttp.GetVar(ctx, caddyhttp.ClientIPVarKey).(string)
	return address
}

const (
	// freeFailures is how many failed sign-ins cost nothing: people mistype.
	freeFailures = 5
	// maxPause is the longest pause between two attempts.
	maxPause = time.Minute
	// forgetFailures is how long nothing must fail for all to be forgotten.
	forgetFailures = 15 * time.Minute
	// maxThrottled bounds how many addresses and users are remembered.
	maxThrottled = 10_000
)

// throttle slows down the guessing of passwords: after some failures, each
// further one doubles the pause before the next attempt counts. It goes by the
// address and the user name together, and more patiently by each alone: one
// address that tries many names, many addresses that try one.
type throttle struct {
	now func() time.Time

	mu      sync.Mutex
	records map[string]*failures
}

type failures struct {
	count int
	last  time.Time
	until time.Time
}

func newThrottle(now func() time.Time) *throttle {
	return &throttle{now: now, records: make(map[string]*failures)}
}

// counter is something that failures are counted under.
type counter struct {
	key string
	// free is how many failures cost nothing.
	free int
	// forgiven says that a success makes all of them forgotten.
	forgiven bool
}

// countersOf returns what an attempt is counted under. The user's own is
// patient, or a stranger could keep anybody from signing in; the address's stays
// after a success, for one good account is no licence to try others.
func countersOf(address, username string) []counter {
	from := network.Of(address)
	if len(username) > 100 {
		username = username[:100]
	}
	username = strings.ToLower(username)
	return []counter{
		{from + " " + username, freeFailures, true},
		{from, 4 * freeFailures, false},
		{" " + username, 10 * freeFailures, true},
	}
}

// wait returns how long the attempt has to wait; zero if it may be made. The
// attempt then counts as failed until [throttle.succeeded] is called, so that
// those made at the same time count too.
func (t *throttle) wait(address, username string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	counters := countersOf(address, username)
	var wait time.Duration
	for _, c := range counters {
		if f := t.records[c.key]; f != nil && now.Before(f.until) {
			wait = max(wait, f.until.Sub(now))
		}
	}
	if wait > 0 {
		return wait
	}
	for _, c := range counters {
		f := t.records[c.key]
		if f == nil || now.Sub(f.last) > forgetFailures {
			if f == nil && len(t.records) >= maxThrottled {
				t.makeRoom(now)
			}
			f = new(failures)
			t.records[c.key] = f
		}
		f.count++
		f.last = now
		if over := f.count - c.free; over >= 0 {
			f.until = now.Add(min(maxPause, time.Second<<min(over, 10)))
		}
	}
	return 0
}

// succeeded takes back what the attempt was counted for.
func (t *throttle) succeeded(address, username string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range countersOf(address, username) {
		if c.forgiven {
			delete(t.records, c.key)
		} else if f := t.records[c.key]; f != nil {
			f.count--
		}
	}
}

// makeRoom forgets what is over, or failing that, anything: a flood of invented
// names must not fill the memory.
func (t *throttle) makeRoom(now time.Time) {
	for key, f := range t.records {
		if now.Sub(f.last) > forgetFailures {
			delete(t.records, key)
		}
	}
	for key := range t.records {
		if len(t.records) < maxThrottled/2 {
			return
		}
		delete(t.records, key)
	}
}
