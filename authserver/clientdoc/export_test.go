package clientdoc

import (
	"context"
	"net"
	"net/http"
	"time"
)

// What the tests reach of the inside.
var (
	Public        = public
	CheckDocument = checkDocument
	Lease         = lease
	EntityTag     = entityTag
	IsJSON        = isJSON
	CheckURL      = func(id string) error { return checkURL(id, nil) }
)

const (
	MaxBody          = maxBody
	FreshFetches     = freshFetches
	SilentFetches    = silentFetches
	MaxDomainFetches = maxDomainFetches
	MaxQueue         = maxQueue
)

func (f *Fetcher) SetResolver(r *net.Resolver)       { f.dialer.Resolver = r }
func (f *Fetcher) SetTransport(rt http.RoundTripper) { f.client.Transport = rt }
func (f *Fetcher) SkipVerify() {
	f.client.Transport.(*http.Transport).TLSClientConfig.InsecureSkipVerify = true
}

func (f *Fetcher) SetDial(dial dialer)        { f.client.Transport.(*http.Transport).DialContext = dial }
func (f *Fetcher) SetTimeout(d time.Duration) { f.timeout = d }
func (f *Fetcher) SetMaxWait(d time.Duration) { f.maxWait = d }
func (f *Fetcher) Unpadded()                  { f.padded = func(took time.Duration) time.Duration { return took } }

func (f *Fetcher) CleanUp() { f.documents.CleanUp(); f.failures.CleanUp(); f.hosts.CleanUp() }

type dialer = func(ctx context.Context, network, address string) (net.Conn, error)

func (f *Fetcher) Control(ctx context.Context, network, address string) error {
	return f.controlDial(ctx, network, address, nil)
}

func (f *Fetcher) Queued() int {
	return f.lanes.proven.Waiting() + f.lanes.fresh.Waiting() + f.lanes.silent.Waiting()
}

func (f *Fetcher) Flights() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.flights)
}
