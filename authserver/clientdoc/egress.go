package clientdoc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// unreachableFor is how long a network counts as cut off after a fetch has failed
// for want of it.
const unreachableFor = 10 * time.Minute

// CheckProxy returns an error unless proxy can be the way out: an HTTP proxy that
// does CONNECT, or one of SOCKS 5.
func CheckProxy(proxy *url.URL) error {
	if proxy.Scheme != "http" && proxy.Scheme != "socks5" || proxy.Hostname() == "" || proxy.Path != "" && proxy.Path != "/" {
		return errors.New("a proxy must be http://host:port or socks5://host:port")
	}
	return nil
}

// proxyError says that the proxy is at fault.
type proxyError struct{ cause string }

func (e *proxyError) Error() string { return "the proxy " + e.cause }

// exchange sends a request for a document, through the proxy if there is one for
// it, and notes whether there is a network at all.
func (f *Fetcher) exchange(req *http.Request) (*http.Response, error) {
	var connected atomic.Bool // a dial may go on after the request was given up
	trace := &httptrace.ClientTrace{TLSHandshakeStart: func() { connected.Store(true) }}
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), trace))
	resp, err := f.send(req)
	if f.ctx.Err() == nil {
		f.network.note(err == nil, connected.Load(), f.now())
	}
	return resp, err
}

func (f *Fetcher) send(req *http.Request) (*http.Response, error) {
	if f.proxy == nil {
		return f.client.Do(req)
	}
	proxy, err := f.proxy(req)
	switch {
	case err != nil || proxy != nil && CheckProxy(proxy) != nil:
		return nil, &proxyError{"of the environment is not one of http or socks5"}
	case proxy == nil:
		return f.client.Do(req) // an exception of the environment's
	}
	return f.sendThrough(proxy, req)
}

// sendThrough sends a request through a proxy.
//
// A proxy that gets a name resolves it itself, and would dial what
// [Fetcher.controlDial] refuses. So it gets an address: the name is resolved here,
// and one of its addresses that may be dialed is chosen. The proxy never sees the
// name, so it can't resolve it differently; the certificate must still be for the
// name. A name that can't be resolved here isn't fetched, then,
// unless the guard is off, and with it the reason not to leave it to the proxy.
func (f *Fetcher) sendThrough(proxy *url.URL, req *http.Request) (*http.Response, error) {
	out := req.Clone(req.Context())
	out.Host = req.URL.Host
	if !f.proxyResolves {
		addr, err := f.resolve(req.Context(), req.URL.Hostname())
		if err != nil {
			return nil, err
		}
		port := req.URL.Port()
		if port == "" {
			port = "443"
		}
		out.URL.Host = net.JoinHostPort(addr.String(), port)
	}
	client := newClient(nil, f.roots)
	transport := client.Transport.(*http.Transport)
	transport.Proxy = http.ProxyURL(proxy)
	transport.TLSClientConfig.ServerName = req.URL.Hostname()
	// The proxy is the operator's: it may be anywhere.
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil && ctx.Err() == nil {
			return nil, &proxyError{"can't be reached"}
		}
		return conn, err
	}
	transport.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
		if resp.StatusCode != http.StatusOK {
			return &proxyError{fmt.Sprintf("answered %d", resp.StatusCode)}
		}
		return nil
	}
	return client.Do(out)
}

// resolve returns an address of host that may be dialed.
func (f *Fetcher) resolve(ctx context.Context, host string) (netip.Addr, error) {
	addrs, err := f.dialer.Resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, err
	}
	refused := &refusedError{}
	for _, addr := range addrs {
		// The same check as for direct connections.
		addr = addr.Unmap()
		if err := f.controlDial(ctx, "tcp", netip.AddrPortFrom(addr, 443).String(), nil); err == nil {
			return addr, nil
		}
		refused.addr = addr
	}
	return netip.Addr{}, refused
}

// network is what is known of the way to other hosts.
type network struct {
	mu sync.Mutex
	// answered says that some host has answered, ever.
	answered bool
	lost     time.Time // when a fetch failed for want of network
}

// note takes down how an exchange went. What fails after there was a connection is
// the host's fault.
func (n *network) note(answered, connected bool, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if answered {
		n.answered = true
	} else if !connected {
		n.lost = now
	}
}

// Reachable reports whether there is hope that a document can be fetched: it is
// false for some minutes after a fetch has failed for want of network, unless some
// host has answered before. On a closed network no host ever does.
//
// A stranger who names a host that isn't there makes it false as well, until the
// first document is fetched. Clients are then told to register, which they can all
// do, and documents are fetched all the same.
func (f *Fetcher) Reachable() bool {
	f.network.mu.Lock()
	defer f.network.mu.Unlock()
	return f.network.answered || f.network.lost.IsZero() || !f.now().Before(f.network.lost.Add(unreachableFor))
}
