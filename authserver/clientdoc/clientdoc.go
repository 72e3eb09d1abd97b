// Package clientdoc fetches OAuth Client ID Metadata Documents
// (draft-ietf-oauth-client-id-metadata-document-02) for an authorization server:
// anyone who starts an authorization chooses the URL, so strangers can trigger the
// fetch. It only reaches public addresses, is bounded in size, time and number, and
// is shared and cached. This package doesn't know Caddy.
//
// Of a document it checks only what makes it one: that it is a JSON object, read
// strictly, and that client_id in it is its URL. What the client says of itself is
// for the caller to read, with a strict parser as well.
//
// Not supported, on purpose: redirects, HTTP/2, Last-Modified, s-maxage, and
// telling that a network uses public addresses for its inside. Who runs such a
// network needs a firewall (section 8.6 of the draft recommends one anyway).
package clientdoc

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
)

const (
	// fetchTimeout bounds a fetch, from the resolution of the name to the last
	// byte of the body, and slotTimeout the wait for a slot. The user is waiting
	// in front of a browser.
	fetchTimeout = 5 * time.Second
	slotTimeout  = 20 * time.Second

	// fastestFailure is how long it takes at least to be told that a host does not
	// answer; what takes longer to find out takes fetchTimeout.
	fastestFailure = time.Second

	// unavailableFor is how long a URL that can't be fetched is not tried again, and
	// invalidFor the same for one without a valid document. The draft forbids caching
	// error responses and invalid documents (section 5.2): these are limits, as short
	// as possible, on how often someone who reloads a page makes us fetch.
	unavailableFor = 10 * time.Second
	invalidFor     = time.Minute

	// maxStale is how long after it was fetched or confirmed a document serves
	// while its server can't be reached.
	maxStale = 24 * time.Hour

	defaultMaxEntries = 1000
)

// Config is what a [Fetcher] works with. Its zero value is the strictest.
type Config struct {
	// AllowPrivate reports whether an address that is not public may be dialed,
	// and be the host of a client identifier: for tests and intranets. An
	// IPv4-mapped address is asked for as the IPv4 address it is. Nil: none.
	//
	// Anyone who can send an authorization request can make an allowed address
	// answer a GET, so let it name hosts, not networks.
	AllowPrivate func(netip.Addr) bool

	// RootCAs sign the certificates of those who publish documents. Nil: the
	// system's.
	RootCAs *x509.CertPool

	// Proxy returns the proxy for a request, nil for none; see [CheckProxy]. It is
	// given an address, never a name, so that what isn't public stays out of reach.
	// Nil: there is no proxy. [http.ProxyFromEnvironment] is one to use.
	Proxy func(*http.Request) (*url.URL, error)

	// InsecureProxyResolves gives the proxy names: which addresses are reached is
	// the proxy's to say, then.
	InsecureProxyResolves bool

	// Now is the clock. Nil: [time.Now].
	Now func() time.Time

	// MaxEntries bounds the documents kept, of 16 KiB at most each, and likewise
	// the failures and the hosts remembered; those that are seldom used give way.
	// Default: 1000.
	MaxEntries int
}

// Fetcher fetches and keeps documents. It is safe for concurrent use.
type Fetcher struct {
	allow   func(netip.Addr) bool
	now     func() time.Time
	dialer  *net.Dialer
	client  *http.Client
	timeout time.Duration // of a fetch
	maxWait time.Duration // for a slot
	padded  func(time.Duration) time.Duration
	lanes   lanes

	// The way out, if it isn't the client's.
	proxy         func(*http.Request) (*url.URL, error)
	proxyResolves bool
	roots         *x509.CertPool
	network       network

	// ctx is for the fetches: they continue when the callers leave, because
	// otherwise a client that hangs up would make all others start again.
	ctx    context.Context
	cancel context.CancelFunc

	documents *otter.Cache[string, *document]
	// failures are kept apart, so that a flood of made-up identifiers does not
	// displace the documents of clients in use.
	failures *otter.Cache[string, *failure]
	// hosts tells whether they answered when they were last asked.
	hosts *otter.Cache[string, bool]

	mu      sync.Mutex
	flights map[string]*flight
}

// document is a document as it was fetched. It is never changed.
type document struct {
	body    []byte
	etag    string    // what revalidates it; may be empty
	fetched time.Time // or confirmed
	expires time.Time
	noStale bool // its server forbids using it after expires
}

// failure is why there is no document, and until when that is not looked into.
type failure struct {
	err   error
	until time.Time
}

// New returns a fetcher. It fetches nothing yet. Call [Fetcher.Close] when it is
// no longer needed.
func New(config Config) *Fetcher {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.MaxEntries <= 0 {
		config.MaxEntries = defaultMaxEntries
	}
	f := &Fetcher{
		allow:     config.AllowPrivate,
		now:       config.Now,
		timeout:   fetchTimeout,
		maxWait:   slotTimeout,
		padded:    padded,
		lanes:     newLanes(),
		documents: newCache[*document](config.MaxEntries),
		failures:  newCache[*failure](config.MaxEntries),
		hosts:     newCache[bool](config.MaxEntries),
		flights:   make(map[string]*flight),
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.dialer = &net.Dialer{ControlContext: f.controlDial}
	f.client = newClient(f.dialer.DialContext, config.RootCAs)
	f.proxy, f.proxyResolves, f.roots = config.Proxy, config.InsecureProxyResolves, config.RootCAs
	return f
}

// newCache returns a cache for so many values. What is used often stays, whatever
// is put beside it.
func newCache[V any](entries int) *otter.Cache[string, V] {
	return otter.Must(&otter.Options[string, V]{MaximumSize: entries})
}

// Close ends the fetches under way. From then on the fetcher only says that it
// is closed.
func (f *Fetcher) Close() { f.cancel() }

// Fetch returns the document of the client identifier URL id, which it may have
// kept for as long as HTTP's rules allow, between a minute and a day; longer
// while the server that publishes it is out of reach, up to a day after it was
// last seen there. It is asked for by a client at the address from: networks take
// turns.
//
// The error is an [*InvalidError] or an [*UnavailableError]. A host whose address
// must not be dialed is unavailable, after the same time, like one that does not
// exist: anyone can ask, and must not learn which hosts exist on this network.
func (f *Fetcher) Fetch(ctx context.Context, id, from string) ([]byte, error) {
	if err := checkURL(id, f.allow); err != nil {
		return nil, err
	}
	if f.ctx.Err() != nil {
		return nil, errClosed()
	}
	body, err, known := f.kept(id)
	if !known {
		fl := f.want(id)
		defer f.leave(fl)
		body, err = f.share(ctx, fl, from)
	}
	if err != nil {
		return nil, err
	}
	// A copy: what others get must not depend on what this caller does with it.
	return bytes.Clone(body), nil
}

// kept returns the cached result for id, if there is one.
func (f *Fetcher) kept(id string) (body []byte, err error, known bool) {
	now := f.now()
	doc, _ := f.documents.GetIfPresent(id)
	if doc != nil && now.Before(doc.expires) {
		return doc.body, nil, true
	}
	if failed, ok := f.failures.GetIfPresent(id); ok && now.Before(failed.until) {
		body, err = stale(doc, failed.err, now)
		return body, err, true
	}
	return nil, nil, false
}

// stale returns what there is when a fetch has failed with err: the old document
// if it may still be used. That its server is out of reach is no reason to turn
// users away; that it denies the document, or publishes a bad one, is.
func stale(doc *document, err error, now time.Time) ([]byte, error) {
	var unavailable *UnavailableError
	if doc != nil && !doc.noStale && errors.As(err, &unavailable) && now.Sub(doc.fetched) < maxStale {
		return doc.body, nil
	}
	return nil, err
}

// keep remembers what a fetch of id brought, and returns what the callers get.
func (f *Fetcher) keep(id string, old, doc *document, err error) ([]byte, error) {
	now := f.now()
	if err == nil {
		f.documents.Set(id, doc)
		f.failures.Invalidate(id)
		return doc.body, nil
	}
	var wrong *InvalidError
	if errors.As(err, &wrong) {
		// Whatever was there is there no longer.
		f.documents.Invalidate(id)
		f.failures.Set(id, &failure{err, now.Add(invalidFor)})
		return nil, err
	}
	f.failures.Set(id, &failure{err, now.Add(unavailableFor)})
	return stale(old, err, now)
}
