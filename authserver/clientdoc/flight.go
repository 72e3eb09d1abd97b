package clientdoc

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/throttle"
)

// Anybody can ask for fetches, and a host that doesn't answer makes each of them
// last. So hosts go in lanes, by what was last seen of them, and no lane takes
// anything from another: whatever strangers do with hosts that don't answer,
// those that do are asked.
const (
	provenFetches = 16 // of hosts that answered
	freshFetches  = 32 // of hosts that were never asked, or so long ago
	silentFetches = 8  // of hosts that did not answer

	// maxDomainFetches is how many fetches of a lane go to one registrable domain,
	// whose owner has as many hosts as they like.
	maxDomainFetches = 2

	// maxQueue is how many wait in a lane. Networks of clients take turns.
	maxQueue = 64
)

// lanes limit how many fetches run at a time.
type lanes struct{ proven, fresh, silent *throttle.Slots }

func newLanes() lanes {
	return lanes{
		proven: throttle.NewSlots(provenFetches, maxQueue, maxDomainFetches),
		fresh:  throttle.NewSlots(freshFetches, maxQueue, maxDomainFetches),
		silent: throttle.NewSlots(silentFetches, maxQueue, maxDomainFetches),
	}
}

// lane returns where a fetch from host, with its port, waits.
func (f *Fetcher) lane(host string) *throttle.Slots {
	answered, seen := f.hosts.GetIfPresent(host)
	switch {
	case !seen:
		return f.lanes.fresh
	case answered:
		return f.lanes.proven
	}
	return f.lanes.silent
}

// flight is a fetch that is wanted or in progress. Each caller waits for a slot of
// its own, because otherwise a stranger could make all of them wait; the first to
// get a slot starts the fetch for all.
type flight struct {
	id      string
	wanters int
	begun   context.Context // done when the fetch has begun
	begin   context.CancelFunc

	done chan struct{} // closed when there are body and err
	body []byte
	err  error
}

// want returns the flight for id, which must be left again.
func (f *Fetcher) want(id string) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl := f.flights[id]
	if fl == nil {
		fl = &flight{id: id, done: make(chan struct{})}
		fl.begun, fl.begin = context.WithCancel(f.ctx)
		f.flights[id] = fl
	}
	fl.wanters++
	return fl
}

// leave forgets a flight that nobody wants any longer and that has not begun.
func (f *Fetcher) leave(fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl.wanters--; fl.wanters == 0 && fl.begun.Err() == nil {
		delete(f.flights, fl.id)
		fl.begin()
	}
}

// share waits for the flight, and begins it as soon as there is a slot for the
// client's network.
func (f *Fetcher) share(ctx context.Context, fl *flight, from string) ([]byte, error) {
	if err := f.take(ctx, fl, from); err != nil {
		// Our own shortage, which says nothing of the URL: not remembered.
		old, _ := f.documents.GetIfPresent(fl.id)
		return stale(old, err, f.now())
	}
	select {
	case <-fl.done:
		return fl.body, fl.err
	case <-ctx.Done():
		return nil, &UnavailableError{Err: fmt.Errorf("waiting for the document: %w", ctx.Err())}
	}
}

// take returns when the flight has begun, by this caller or another.
func (f *Fetcher) take(ctx context.Context, fl *flight, from string) error {
	u, err := url.Parse(fl.id)
	if err != nil {
		return invalid("the URL is malformed")
	}
	wait, cancel := context.WithTimeout(ctx, f.maxWait)
	defer cancel()
	defer context.AfterFunc(fl.begun, cancel)()
	release, err := f.lane(hostPort(u)).TakeAs(wait, throttle.Claim{From: from, For: registrableDomain(u.Hostname())})
	if err == nil {
		f.start(fl, u, release)
		return nil
	}
	busy, isBusy := errors.AsType[*throttle.BusyError](err)
	switch {
	case f.ctx.Err() != nil:
		return errClosed()
	case fl.begun.Err() != nil:
		return nil
	case isBusy:
		return &UnavailableError{Err: fmt.Errorf("too many fetches are waiting: %w", busy)}
	case ctx.Err() != nil:
		return &UnavailableError{Err: fmt.Errorf("waiting for a slot: %w", ctx.Err())}
	}
	return &UnavailableError{Err: errors.New("too many fetches are under way")}
}

// start begins the flight, unless it has begun.
func (f *Fetcher) start(fl *flight, u *url.URL, release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl.begun.Err() != nil {
		release()
		return
	}
	fl.begin()
	go func() {
		body, err := f.refresh(fl.id, hostPort(u), release)
		f.mu.Lock()
		defer f.mu.Unlock()
		fl.body, fl.err = body, err
		delete(f.flights, fl.id)
		close(fl.done)
	}()
}

// refresh fetches the document of id, releases the slot, and keeps what came of
// it. No two run for the same id.
func (f *Fetcher) refresh(id, host string, release func()) ([]byte, error) {
	defer release()
	// Another fetch may have ended after the caller looked.
	if body, err, known := f.kept(id); known {
		return body, err
	}
	old, _ := f.documents.GetIfPresent(id)
	asked := time.Now()
	ctx, cancel := context.WithTimeout(f.ctx, f.timeout)
	defer cancel()
	doc, err := f.get(ctx, id, old)
	if f.ctx.Err() != nil {
		return nil, errClosed()
	}
	release()
	away, _ := errors.AsType[*UnavailableError](err)
	silent := away != nil && away.silent
	f.hosts.Set(host, !silent)
	if silent {
		took := time.Since(asked)
		select {
		case <-time.After(f.padded(took) - took):
		case <-f.ctx.Done():
		}
	}
	return f.keep(id, old, doc, err)
}

// padded returns how long to wait in total before reporting that a host does not
// answer, given how long it took to find out. It is the same for a host whose
// address must not be dialed, for one that does not exist, and for one where nobody
// listens: a difference would reveal the names and addresses on this network.
func padded(took time.Duration) time.Duration {
	if took <= fastestFailure {
		return fastestFailure
	}
	return max(fetchTimeout, took)
}

// hostPort returns what a lane is chosen by: the same host at another port may be
// anything.
func hostPort(u *url.URL) string {
	if u.Port() == "" {
		return u.Hostname() + ":443"
	}
	return u.Host
}

// registrableDomain returns the part of a host name that has one owner: the last
// label that isn't a public suffix, and the suffix.
func registrableDomain(host string) string {
	domain, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return host // a suffix itself, or an address
	}
	return domain
}
