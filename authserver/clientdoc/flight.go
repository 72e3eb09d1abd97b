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

// Anyone can cause fetches, and a fetch from a host that doesn't answer takes
// long. So hosts are divided into lanes by how they last behaved, and no lane
// takes capacity from another. No matter how many fetches are waiting for silent
// hosts, those from hosts that answer proceed.
const (
	provenFetches = 16 // from hosts that answered
	freshFetches  = 32 // from hosts not asked before, or not lately
	silentFetches = 8  // from hosts that did not answer

	// maxDomainFetches is how many fetches of a lane go to one registrable
	// domain: its owner can have any number of hosts.
	maxDomainFetches = 2

	// maxQueue is how many fetches may wait in a lane. Networks of clients take
	// turns.
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

// lane returns the lane for fetches from host, which includes its port.
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

// flight is a fetch that callers are waiting for. Each caller waits for its own
// slot, because otherwise one slow caller would make all of them wait. The first
// to get a slot starts the fetch for all.
type flight struct {
	at      address
	since   time.Time // how recent the document must be, for those who wait
	wanters int
	begun   context.Context // done when the fetch has begun
	begin   context.CancelFunc

	done chan struct{} // closed when doc and err are set
	doc  *document
	err  error
}

// join returns the flight for an address. The caller must leave it again.
func (f *Fetcher) join(at address, since time.Time) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl := f.flights[at]
	if fl == nil {
		fl = &flight{at: at, done: make(chan struct{})}
		fl.begun, fl.begin = context.WithCancel(f.ctx)
		f.flights[at] = fl
	}
	if since.After(fl.since) {
		fl.since = since
	}
	fl.wanters++
	return fl
}

// leave forgets a flight that nobody is waiting for and that has not begun.
func (f *Fetcher) leave(fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl.wanters--; fl.wanters == 0 && fl.begun.Err() == nil {
		delete(f.flights, fl.at)
		fl.begin()
	}
}

// share waits for the flight, and starts it as soon as there is a slot for the
// client's network.
func (f *Fetcher) share(ctx context.Context, fl *flight, from string) (*document, error) {
	if err := f.await(ctx, fl, from); err != nil {
		// The lack of slots says nothing about the URL, so it is not remembered.
		old, _ := f.documents.GetIfPresent(fl.at)
		return stale(old, err, f.now())
	}
	select {
	case <-fl.done:
		return fl.doc, fl.err
	case <-ctx.Done():
		return nil, unavailable(fmt.Errorf("waiting for the document: %w", ctx.Err()))
	}
}

// await returns when the flight has begun, whether this caller or another started
// it.
func (f *Fetcher) await(ctx context.Context, fl *flight, from string) error {
	u, err := url.Parse(fl.at.url)
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
		return unavailable(fmt.Errorf("too many fetches are waiting: %w", busy))
	case ctx.Err() != nil:
		return unavailable(fmt.Errorf("waiting for a slot: %w", ctx.Err()))
	}
	return unavailable(errors.New("too many fetches are under way"))
}

// start starts the flight, unless it has begun.
func (f *Fetcher) start(fl *flight, u *url.URL, release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl.begun.Err() != nil {
		release()
		return
	}
	fl.begin()
	since := fl.since
	go func() {
		doc, err := f.refresh(fl.at, since, hostPort(u), release)
		f.mu.Lock()
		defer f.mu.Unlock()
		fl.doc, fl.err = doc, err
		delete(f.flights, fl.at)
		close(fl.done)
	}()
}

// refresh fetches the document at an address, releases the slot, and caches the result.
// Only one runs for the same address at a time.
func (f *Fetcher) refresh(at address, since time.Time, host string, release func()) (*document, error) {
	defer release()
	// Another fetch may have finished since the caller looked.
	if doc, err, known := f.kept(at, since); known {
		return doc, err
	}
	old, _ := f.documents.GetIfPresent(at)
	asked := time.Now()
	ctx, cancel := context.WithTimeout(f.ctx, f.timeout)
	defer cancel()
	doc, err := f.get(ctx, at, old)
	if f.ctx.Err() != nil {
		return nil, errClosed()
	}
	release()
	_, silent := errors.AsType[*silentError](err)
	f.hosts.Set(host, !silent)
	if silent {
		took := time.Since(asked)
		select {
		case <-time.After(f.padded(took) - took):
		case <-f.ctx.Done():
		}
	}
	return f.keep(at, old, doc, err)
}

// padded returns how long to wait in total before reporting that a host does not
// answer, given how long it took to find out. The result is the same for a host
// whose address must not be dialed, one that does not exist, and one where
// nothing listens: a difference would reveal the names and addresses on this
// network.
func padded(took time.Duration) time.Duration {
	if took <= fastestFailure {
		return fastestFailure
	}
	return max(fetchTimeout, took)
}

// hostPort returns the key by which a lane is chosen. It has the port because the
// same host may behave differently at another port.
func hostPort(u *url.URL) string {
	if u.Port() == "" {
		return u.Hostname() + ":443"
	}
	return u.Host
}

// registrableDomain returns the part of a host name that has one owner: the
// public suffix and the label before it.
func registrableDomain(host string) string {
	domain, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return host // a suffix itself, or an address
	}
	return domain
}
