// Package clientdoc fetches OAuth Client ID Metadata Documents
// (draft-ietf-oauth-client-id-metadata-document-02) for an authorization server, and
// the key sets of clients (jwks_uri of RFC 7591, section 2). Anyone who starts an
// authorization chooses the URL, so a fetch may be triggered by an attacker. Fetches
// only reach public addresses, are bounded in size, time and number, and are shared and
// cached. This package doesn't know Caddy.
//
// It only checks what makes a document valid: that it is a JSON object, read
// strictly, and that its client_id is its URL. The caller must read the client's
// metadata, also with a strict parser.
//
// Not supported, on purpose: redirects, HTTP/2, Last-Modified, and s-maxage. The
// package can't recognize a network that uses public addresses internally.
// Operators of such a network need a firewall (section 8.6 of the draft
// recommends one anyway).
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

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
)

const (
	// fetchTimeout bounds a fetch, from the resolution of the name to the last
	// byte of the body. slotTimeout bounds the wait for a slot. A user is waiting
	// meanwhile.
	fetchTimeout = 5 * time.Second
	slotTimeout  = 20 * time.Second

	// fastestFailure is the least time until a caller learns that a host does not
	// answer. If finding out takes longer, the caller always waits for
	// fetchTimeout.
	fastestFailure = time.Second

	// unavailableFor is how long a URL is not fetched again after a failed fetch.
	// invalidFor is the same for a URL without a valid document. The draft
	// forbids caching error responses and invalid documents (section 5.2). These
	// limits are as short as possible; they only bound how often reloading a page
	// causes a fetch.
	unavailableFor = 10 * time.Second
	invalidFor     = time.Minute

	// maxStale is how long a document is used after it was fetched or confirmed,
	// while its server can't be reached.
	maxStale = 24 * time.Hour

	defaultMaxEntries = 1000
)

// Config configures a [Fetcher]. Its zero value is the strictest.
type Config struct {
	// AllowPrivate reports whether an address that is not public may be dialed,
	// and be the host of a client identifier. It is for tests and intranets. An
	// IPv4-mapped address is passed as the IPv4 address. Nil allows none.
	//
	// Anyone who can send an authorization request can cause a GET request to an
	// allowed address, so allow hosts, not networks.
	AllowPrivate func(netip.Addr) bool

	// RootCAs are the certificate authorities to trust. Nil means the system's.
	RootCAs *x509.CertPool

	// Proxy returns the proxy for a request; nil for none, see [CheckProxy]. The
	// proxy gets an address, never a name, so it can't reach what isn't public.
	// If Proxy is nil, there is no proxy. [http.ProxyFromEnvironment] can be
	// used.
	Proxy func(*http.Request) (*url.URL, error)

	// InsecureProxyResolves sends names to the proxy, which then decides which
	// addresses are reached.
	InsecureProxyResolves bool

	// Now returns the time. Nil means [time.Now].
	Now func() time.Time

	// MaxEntries bounds the cached documents, of at most 16 KiB each, and
	// likewise the remembered failures and hosts. Entries that are seldom used
	// are removed first. Default: 1000.
	MaxEntries int
}

// Fetcher fetches and caches documents. It is safe for concurrent use.
type Fetcher struct {
	allow   func(netip.Addr) bool
	now     func() time.Time
	dialer  *net.Dialer
	client  *http.Client
	timeout time.Duration // of a fetch
	maxWait time.Duration // for a slot
	padded  func(time.Duration) time.Duration
	lanes   lanes

	// These fetch through a proxy.
	proxy         func(*http.Request) (*url.URL, error)
	proxyResolves bool
	roots         *x509.CertPool
	network       network

	// ctx is the context of fetches. A fetch continues when its caller leaves:
	// otherwise a client that hangs up would make all others start again.
	ctx    context.Context
	cancel context.CancelFunc

	documents *otter.Cache[address, *document]
	// failures are cached separately, so that a flood of invented identifiers
	// does not displace the documents of clients in use.
	failures *otter.Cache[address, *failure]
	// hosts records whether a host answered the last time.
	hosts *otter.Cache[string, bool]

	mu      sync.Mutex
	flights map[address]*flight
}

// address is what is fetched: the metadata document at a URL, or the key set.
type address struct {
	url  string
	keys bool
}

// document is a document as it was fetched. It is never modified.
type document struct {
	body    []byte
	set     *keys.Set // in body; nil for a metadata document
	etag    string    // what revalidates it; may be empty
	fetched time.Time // or confirmed
	expires time.Time
	noStale bool // its server forbids using it after it expires
}

// failure is the error of a fetch, and until when it is returned without another
// fetch.
type failure struct {
	err   error
	until time.Time
}

// New returns a fetcher. It doesn't fetch anything yet. Call [Fetcher.Close] when
// it is no longer needed.
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
		documents: newCache[address, *document](config.MaxEntries),
		failures:  newCache[address, *failure](config.MaxEntries),
		hosts:     newCache[string, bool](config.MaxEntries),
		flights:   make(map[address]*flight),
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.dialer = &net.Dialer{ControlContext: f.controlDial}
	f.client = newClient(f.dialer.DialContext, config.RootCAs)
	f.proxy, f.proxyResolves, f.roots = config.Proxy, config.InsecureProxyResolves, config.RootCAs
	return f
}

// newCache returns a cache of that many values. Values that are used often stay,
// no matter how many others are added.
func newCache[K comparable, V any](entries int) *otter.Cache[K, V] {
	return otter.Must(&otter.Options[K, V]{MaximumSize: entries})
}

// Close ends the fetches under way. Afterwards, every call returns an error.
func (f *Fetcher) Close() { f.cancel() }

// Fetch returns the document of the client identifier URL id. It may come from
// the cache, for as long as HTTP's rules allow, but at least a minute and at most
// a day. While the publishing server is unreachable, a document is used up to a
// day after it was last fetched or confirmed. from is the address of the client
// that asks; networks take turns.
//
// The error is an [*InvalidError] or an [*outbound.UnavailableError]. A host whose
// address must not be dialed is reported as unavailable, after the same time as
// one that does not exist: anyone can ask, and must not learn which hosts exist on
// this network.
func (f *Fetcher) Fetch(ctx context.Context, id, from string) ([]byte, error) {
	doc, err := f.load(ctx, address{url: id}, from, time.Time{})
	if err != nil {
		return nil, err
	}
	// A copy, so that this caller can't change what others get.
	return bytes.Clone(doc.body), nil
}

// load returns the document at an address, from the cache if it is fresh there, and was
// fetched recently enough for since.
func (f *Fetcher) load(ctx context.Context, at address, from string, since time.Time) (*document, error) {
	if err := checkURL(at.url, f.allow); err != nil {
		return nil, err
	}
	if f.ctx.Err() != nil {
		return nil, errClosed()
	}
	if doc, err, known := f.kept(at, since); known {
		return doc, err
	}
	fl := f.join(at, since)
	defer f.leave(fl)
	return f.share(ctx, fl, from)
}

// kept returns the cached result for an address, if there is one.
func (f *Fetcher) kept(at address, since time.Time) (_ *document, err error, known bool) {
	now := f.now()
	doc, _ := f.documents.GetIfPresent(at)
	if doc != nil && now.Before(doc.expires) && doc.satisfies(since, now) {
		return doc, nil, true
	}
	if failed, ok := f.failures.GetIfPresent(at); ok && now.Before(failed.until) {
		doc, err = stale(doc, failed.err, now)
		return doc, err, true
	}
	return nil, nil, false
}

// stale returns the result of a failed fetch: the old document if it may still be
// used, or err. If the server is unreachable, its users must not be turned away;
// if it denies the document or publishes an invalid one, they must.
func stale(doc *document, err error, now time.Time) (*document, error) {
	var unavailable *outbound.UnavailableError
	if doc != nil && !doc.noStale && errors.As(err, &unavailable) && now.Sub(doc.fetched) < maxStale {
		return doc, nil
	}
	return nil, err
}

// keep caches the result of a fetch, and returns what the callers get.
func (f *Fetcher) keep(at address, old, doc *document, err error) (*document, error) {
	now := f.now()
	if err == nil {
		f.documents.Set(at, doc)
		f.failures.Invalidate(at)
		return doc, nil
	}
	var wrong *InvalidError
	if errors.As(err, &wrong) {
		// The document no longer exists.
		f.documents.Invalidate(at)
		f.failures.Set(at, &failure{err, now.Add(invalidFor)})
		return nil, err
	}
	f.failures.Set(at, &failure{err, now.Add(unavailableFor)})
	return stale(old, err, now)
}
