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

// unreachableFor is how long a network counts as disconnected after a fetch found
// no way out.
const unreachableFor = 10 * time.Minute

// CheckProxy returns an error unless proxy is an HTTP proxy that supports
// CONNECT, or a SOCKS 5 proxy.
func CheckProxy(proxy *url.URL) error {
	if proxy.Scheme != "http" && proxy.Scheme != "socks5" || proxy.Hostname() == "" || proxy.Path != "" && proxy.Path != "/" {
		return errors.New("a proxy must be http://host:port or socks5://host:port")
	}
	return nil
}

// proxyError is a failure of the proxy.
type proxyError struct{ cause string }

func (e *proxyError) Error() string { return "the proxy " + e.cause }

// exchange sends a request for a document, through the proxy if there is one for
// it, and records whether there is a network at all.
func (f *Fetcher) exchange(req *http.Request) (*http.Response, error) {
	var connected atomic.Bool // a dial may outlive the request
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
		return f.client.Do(req) // the environment exempts this host
	}
	return f.sendThrough(proxy, req)
}

// sendThrough sends a request through a proxy.
//
// A proxy that gets a name resolves it itself, and would dial what
// [Fetcher.controlDial] refuses. So the name is resolved here, and the proxy gets
// one of the addresses that may be dialed. It never sees the name, so it can't
// resolve it differently; the certificate must still be for the name. A name that
// can't be resolved here is not fetched, unless the check of addresses is
// disabled: then the proxy may resolve it.
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
	// The operator chose the proxy, so it may have any address.
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

// network says what is known about the way to other hosts.
type network struct {
	mu sync.Mutex
	// answered says that some host has answered at least once.
	answered bool
	lost     time.Time // when a fetch last found no network
}

// note records how an exchange went. A failure after a connection was made is the
// host's fault.
func (n *network) note(answered, connected bool, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if answered {
		n.answered = true
	} else if !connected {
		n.lost = now
	}
}

// Reachable reports whether a document can probably be fetched. It is false for
// some minutes after a fetch found no network, unless a host has answered before.
// On a closed network no host ever does.
//
// A client that names a nonexistent host makes it false as well, until the first
// document is fetched. The effect is small: clients are told to register, which
// all of them can, and documents are fetched all the same.
func (f *Fetcher) Reachable() bool {
	f.network.mu.Lock()
	defer f.network.mu.Unlock()
	return f.network.answered || f.network.lost.IsZero() || !f.now().Before(f.network.lost.Add(unreachableFor))
}
