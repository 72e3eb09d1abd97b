package clientdoc_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/clientdoc"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// proxy is an HTTP proxy that does CONNECT, and notes whereto. Every name means the
// publisher to it.
type proxy struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
}

func newProxy(t *testing.T, p *publisher, status int) *proxy {
	t.Helper()
	pr := new(proxy)
	pr.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pr.mu.Lock()
		pr.asked = append(pr.asked, r.Method+" "+r.RequestURI)
		pr.mu.Unlock()
		if status != http.StatusOK {
			http.Error(w, "text of the proxy's", status)
			return
		}
		there, err := net.Dial("tcp", p.Listener.Addr().String())
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			there.Close()
			return
		}
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(there, here); there.Close() }()
		_, _ = io.Copy(here, there)
		here.Close()
	}))
	t.Cleanup(pr.Close)
	return pr
}

func (pr *proxy) wantAsked(t *testing.T, what string, want ...string) {
	t.Helper()
	pr.mu.Lock()
	defer pr.mu.Unlock()
	if !slices.Equal(pr.asked, want) {
		t.Errorf("%s: the proxy was asked for %q, want %q", what, pr.asked, want)
	}
}

func (pr *proxy) config() clientdoc.Config {
	u, _ := url.Parse(pr.URL)
	return clientdoc.Config{Proxy: http.ProxyURL(u)}
}

// A proxy is told the address that was judged, and nothing else.
func TestProxy(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, nil)
	pr := newProxy(t, p, http.StatusOK)
	var lookups atomic.Int64
	f := newFetcher(t, p, pr.config())
	f.SetResolver(resolver(func(host string) []netip.Addr {
		if lookups.Add(1) > 2 { // A and AAAA
			return []netip.Addr{netip.MustParseAddr("169.254.169.254")}
		}
		return lookup(host)
	}))
	id := p.idAt("client.example.com")
	mustFetch(t, f, id)
	pr.wantAsked(t, "a name", "CONNECT "+p.Listener.Addr().String())
	if !f.Reachable() {
		t.Error("out of reach, and fetched")
	}
}

// What may not be dialed may not be dialed by way of a proxy.
func TestProxyKeepsToTheGuard(t *testing.T) {
	t.Parallel()
	for _, text := range slices.Concat(notPublic, []string{"::ffff:169.254.169.254"}) {
		addr := netip.MustParseAddr(text)
		if addr.Zone() != "" {
			continue // not one that a resolver returns
		}
		p := newPublisher(t, nil)
		pr := newProxy(t, p, http.StatusOK)
		f := clientdoc.New(pr.config())
		f.Unpadded()
		t.Cleanup(f.Close)
		f.SetResolver(resolver(func(string) []netip.Addr { return []netip.Addr{addr} }))
		if got, err := fetch(t, f, p.idAt("client.example.com")); err == nil {
			t.Errorf("%s: got %s", text, got)
		}
		pr.wantAsked(t, text)
		p.wantHits(t, text, 0)
	}
}

func TestProxyFails(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, nil)
	good, refusing, gone := newProxy(t, p, http.StatusOK), newProxy(t, p, http.StatusForbidden), newProxy(t, p, http.StatusOK)
	gone.Close()
	resolves := good.config()
	resolves.InsecureProxyResolves = true
	for _, test := range []struct {
		name   string
		config clientdoc.Config
		host   string
		want   string // error; empty: fetched
	}{
		{"a good one", good.config(), "client.example.com", ""},
		{"a certificate for another name", good.config(), "client.example.org", "certificate"},
		{"a name that isn't known here", good.config(), "missing.example.com", "the host does not exist"},
		{"a name that only the proxy knows", resolves, "missing.example.com", ""},
		{"a certificate for another name than the proxy's", resolves, "client.example.org", "certificate"},
		{"it refuses", refusing.config(), "client.example.com", "the proxy answered 403"},
		{"it isn't there", gone.config(), "client.example.com", "the proxy can't be reached"},
		{"another kind", clientdoc.Config{Proxy: http.ProxyURL(&url.URL{Scheme: "https", Host: "proxy.example"})}, "client.example.com", "not one of http or socks5"},
		{"an address that is none", clientdoc.Config{Proxy: func(*http.Request) (*url.URL, error) { return nil, errors.New("secret words") }}, "client.example.com", "not one of http or socks5"},
		{"none for this host", clientdoc.Config{Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }}, "client.example.com", ""},
	} {
		f := newFetcher(t, p, test.config)
		f.SetResolver(resolver(lookup))
		id := p.idAt(test.host)
		if test.want == "" {
			mustFetch(t, f, id)
			continue
		}
		got, err := fetch(t, f, id)
		wantUnavailable(t, got, err, test.want)
		if err != nil && (strings.Contains(err.Error(), "text of the proxy's") || strings.Contains(err.Error(), "secret words")) {
			t.Errorf("%s: the error repeats what it was told: %v", test.name, err)
		}
	}
	good.wantAsked(t, "names", "CONNECT "+p.Listener.Addr().String(), "CONNECT "+p.Listener.Addr().String(),
		"CONNECT "+strings.TrimPrefix(p.idAt("missing.example.com"), "https://")[:len("missing.example.com:")]+port(p), "CONNECT client.example.org:"+port(p))
}

func port(p *publisher) string {
	_, port, _ := net.SplitHostPort(p.Listener.Addr().String())
	return port
}

func TestCheckProxy(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]bool{
		"http://proxy.example:3128": true, "http://user:word@10.0.0.1:3128/": true, "socks5://127.0.0.1:1080": true, "http://[::1]:3128": true,
		"https://proxy.example": false, "proxy.example:3128": false, "http://": false, "http://:3128": false, "http://proxy.example/path": false, "socks4://proxy.example": false, "": false,
	} {
		u, err := url.Parse(raw)
		if err != nil {
			u = &url.URL{}
		}
		if err := clientdoc.CheckProxy(u); (err == nil) != want {
			t.Errorf("%s: %v, want it taken: %t", raw, err, want)
		}
	}
}

// Without a network there is no hope for some minutes; with one there always is.
func TestReachable(t *testing.T) {
	t.Parallel()
	const expired = 10 * time.Minute
	for _, test := range []struct {
		name string
		// steps are hosts that are fetched from, or how long to wait.
		steps []any
		want  bool
	}{
		{"at first", nil, true},
		{"a document", []any{"client.example.com"}, true},
		{"no network", []any{"missing.example.com"}, false},
		{"no network, almost over", []any{"missing.example.com", expired - time.Second}, false},
		{"no network, over", []any{"missing.example.com", expired}, true},
		{"no network, and again", []any{"missing.example.com", expired, "missing.example.org"}, false},
		{"a document, then none", []any{"client.example.com", "missing.example.com"}, true},
		{"none, then a document", []any{"missing.example.com", "client.example.com"}, true},
		{"none, then a document, long ago", []any{"missing.example.com", "client.example.com", 100 * time.Hour, "missing.example.org"}, true},
		// A host answers, so there is a network.
		{"a certificate that is another's", []any{"client.example.org"}, true},
		// Looks like a host that there isn't, so that nobody learns which there are.
		{"a private address", []any{"private.example.com"}, false},
	} {
		c := testkit.NewClock()
		p := newPublisher(t, nil)
		f := newFetcher(t, p, clientdoc.Config{Now: c.Now})
		f.SetResolver(resolver(func(host string) []netip.Addr {
			if host == "private.example.com" {
				return []netip.Addr{netip.MustParseAddr("10.0.0.1")}
			}
			return lookup(host)
		}))
		for _, step := range test.steps {
			if d, ok := step.(time.Duration); ok {
				c.Advance(d)
				continue
			}
			_, _ = fetch(t, f, p.idAt(step.(string)))
		}
		if got := f.Reachable(); got != test.want {
			t.Errorf("%s: reachable %t, want %t", test.name, got, test.want)
		}
	}
	// An answer of any kind is one.
	p := newPublisher(t, status(http.StatusNotFound))
	f := newFetcher(t, p, clientdoc.Config{})
	f.SetResolver(resolver(lookup))
	_, _ = fetch(t, f, p.idAt("client.example.com"))
	_, _ = fetch(t, f, p.idAt("missing.example.com"))
	if !f.Reachable() {
		t.Error("a host that answers 404 is no network")
	}
}
