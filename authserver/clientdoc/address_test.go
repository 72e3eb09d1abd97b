package clientdoc_test

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/clientdoc"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// notPublic are addresses that must not be dialed.
var notPublic = []string{
	"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255",
	"127.0.0.1", "127.255.255.254", "161.26.0.10", "166.8.0.1", "166.11.255.255", "168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255",
	"192.0.0.192", "192.0.2.1", "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.168.0.1", "192.175.48.1",
	"198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
	"255.255.255.255",
	"::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1",
	"64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::a00:1", "100::1", "2001::1", "2001:0:7f00:1::", "2001:2::1",
	"2001:10::1", "2001:20::1", "2001:1ff:ffff::1", "2001:db8::1", "2002:7f00:1::1", "2002:a00:1::1", "2620:4f:8000::1",
	"3fff::1", "3fff:fff::1", "5f00::1", "4000::1", "fc00::1", "fd00:ec2::254", "fdff::1", "fe80::1", "fe80::1%eth0", "2606:4700::1%eth0",
	"febf::1", "fec0::1", "feff::1", "ff02::1", "ff0e::1",
}

func TestPublic(t *testing.T) {
	t.Parallel()
	for _, addr := range notPublic {
		if clientdoc.Public(netip.MustParseAddr(addr)) {
			t.Errorf("%s: got public, want not", addr)
		}
	}
	if clientdoc.Public(netip.Addr{}) {
		t.Error("no address: got public, want not")
	}
	for _, addr := range []string{
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "93.184.216.34", "100.63.255.255", "100.128.0.0", "126.255.255.255",
		"128.0.0.1", "161.25.255.255", "161.27.0.0", "166.7.255.255", "166.12.0.0", "168.63.129.15", "168.63.129.17", "169.253.255.255", "172.15.255.255", "172.32.0.0", "192.0.1.1", "192.167.255.255",
		"198.17.255.255", "198.20.0.0", "223.255.255.255", "::ffff:8.8.8.8",
		"2001:200::1", "2001:4860:4860::8888", "2606:4700::1111", "2a00:1450::1", "2003::1", "3ffe::1",
	} {
		if !clientdoc.Public(netip.MustParseAddr(addr)) {
			t.Errorf("%s: got not public, want public", addr)
		}
	}
}

// Whatever a name resolves to, what is not public is not dialed.
func TestFetchRefusesAddresses(t *testing.T) {
	t.Parallel()
	for _, text := range notPublic {
		addr := netip.MustParseAddr(text)
		if addr.Zone() != "" {
			continue // no DNS answer has one
		}
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			f := clientdoc.New(clientdoc.Config{})
			f.Unpadded()
			t.Cleanup(f.Close)
			f.SetResolver(resolver(func(string) []netip.Addr { return []netip.Addr{addr} }))
			body, err := fetch(t, f, "https://client.example.com/c")
			wantUnavailable(t, body, err, "not public")
		})
	}
}

// An allowance is for what it names.
func TestFetchRefusesAddressesNotAllowed(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, nil)
	f := newFetcher(t, p, clientdoc.Config{AllowPrivate: func(addr netip.Addr) bool { return addr == netip.MustParseAddr("127.0.0.2") }})
	f.SetResolver(resolver(func(string) []netip.Addr { return []netip.Addr{netip.MustParseAddr("127.0.0.1")} }))
	body, err := fetch(t, f, p.idAt("client.example.com"))
	wantUnavailable(t, body, err, "127.0.0.1, which is not public")
	body, err = fetch(t, f, p.id("client.json"))
	wantInvalid(t, body, err, "the host is an IP address")
	p.wantHits(t, "addresses not allowed", 0)
}

// A name that was harmless when it was first looked up, and is not now.
func TestFetchRefusesRebinding(t *testing.T) {
	t.Parallel()
	p, c := newPublisher(t, respond("Cache-Control", "max-age=60")), testkit.NewClock()
	// 127.0.0.1, which is allowed, stands for a public address.
	var addr atomic.Value
	addr.Store("127.0.0.1")
	f := newFetcher(t, p, clientdoc.Config{Now: c.Now})
	f.SetResolver(resolver(func(string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(addr.Load().(string))} }))
	id := p.idAt("client.example.com")
	mustFetch(t, f, id)

	addr.Store("169.254.169.254")
	c.Advance(time.Minute)
	mustFetch(t, f, id) // what it was, as of any host that can't be reached
	p.wantHits(t, "rebinding", 1)
	c.Advance(24 * time.Hour)
	body, err := fetch(t, f, id)
	wantUnavailable(t, body, err, "169.254.169.254, which is not public")
}

// Of several addresses, those that are not public are not fallen back to.
func TestFetchRefusesSecondAddress(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, nil)
	f := newFetcher(t, p, clientdoc.Config{AllowPrivate: func(addr netip.Addr) bool { return addr == netip.MustParseAddr("::1") }})
	f.SetResolver(resolver(func(string) []netip.Addr {
		// Nothing of ours listens on the first, which is allowed.
		return []netip.Addr{netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.1")}
	}))
	if body, err := fetch(t, f, p.idAt("client.example.com")); err == nil {
		t.Errorf("got %q, want an error", body)
	}
	p.wantHits(t, "second address", 0)
}

// A proxy would resolve names by itself.
func TestFetchUsesNoProxy(t *testing.T) {
	// Not parallel: the environment is shared. net/http reads it once
	// only, so a fetcher that asked it at all would do so here or nowhere.
	p, proxy := newPublisher(t, nil), newPublisher(t, nil)
	t.Setenv("HTTPS_PROXY", proxy.URL)
	f := newFetcher(t, p, clientdoc.Config{})
	f.SetResolver(resolver(func(string) []netip.Addr { return []netip.Addr{netip.MustParseAddr("127.0.0.1")} }))
	mustFetch(t, f, p.idAt("client.example.com"))
	proxy.wantHits(t, "proxy", 0)
}
