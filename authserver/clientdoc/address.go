package clientdoc

import (
	"context"
	"net/netip"
	"syscall"
)

// refusedError says that an address must not be dialled.
type refusedError struct{ addr netip.Addr }

func (e *refusedError) Error() string {
	if !e.addr.IsValid() {
		return "the host has no IP address"
	}
	return "the host has the address " + e.addr.String() + ", which is not public"
}

// controlDial refuses connections to addresses that are not public (section 8.6
// of the draft). It runs on the address being dialled, after resolution: a check
// of the name, or of an earlier resolution, would leave a name time to change
// what it means.
func (f *Fetcher) controlDial(_ context.Context, _, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return &refusedError{}
	}
	if addr := ap.Addr().Unmap(); !public(addr) && (f.allow == nil || !f.allow(addr)) {
		return &refusedError{addr}
	}
	return nil
}

// globalUnicast is what IANA assigns addresses of hosts from. Loopback, ULA,
// link-local, site-local, multicast, NAT64 (64:ff9b::/96 and 64:ff9b:1::/48,
// which lead to any IPv4 address), discard and SRv6 lie outside, and so will
// whatever comes next.
var globalUnicast = netip.MustParsePrefix("2000::/3")

// special are the networks that are not public although they are in
// globalUnicast, or of IPv4 (RFC 6890, and the IANA registries of special-purpose
// addresses that it began).
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),         // this network: 0.0.0.0 is the machine itself
	netip.MustParsePrefix("10.0.0.0/8"),        // private (RFC 1918)
	netip.MustParsePrefix("100.64.0.0/10"),     // behind a carrier's NAT; metadata at Alibaba's
	netip.MustParsePrefix("127.0.0.0/8"),       // loopback
	netip.MustParsePrefix("168.63.129.16/32"),  // public by its number, but Azure's own in every virtual network
	netip.MustParsePrefix("169.254.0.0/16"),    // link-local; metadata in most clouds
	netip.MustParsePrefix("172.16.0.0/12"),     // private (RFC 1918)
	netip.MustParsePrefix("192.0.0.0/24"),      // protocol assignments; metadata at Oracle's
	netip.MustParsePrefix("192.0.2.0/24"),      // documentation
	netip.MustParsePrefix("192.31.196.0/24"),   // AS112
	netip.MustParsePrefix("192.52.193.0/24"),   // AMT
	netip.MustParsePrefix("192.88.99.0/24"),    // 6to4 relays
	netip.MustParsePrefix("192.168.0.0/16"),    // private (RFC 1918)
	netip.MustParsePrefix("192.175.48.0/24"),   // AS112
	netip.MustParsePrefix("198.18.0.0/15"),     // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"),   // documentation
	netip.MustParsePrefix("203.0.113.0/24"),    // documentation
	netip.MustParsePrefix("224.0.0.0/4"),       // multicast
	netip.MustParsePrefix("240.0.0.0/4"),       // reserved, broadcast
	netip.MustParsePrefix("2001::/23"),         // protocol assignments, among them Teredo, which embeds IPv4 addresses
	netip.MustParsePrefix("2001:db8::/32"),     // documentation
	netip.MustParsePrefix("2002::/16"),         // 6to4, which embeds IPv4 addresses
	netip.MustParsePrefix("2620:4f:8000::/48"), // AS112
	netip.MustParsePrefix("3fff::/20"),         // documentation
}

// public reports whether addr is the address of a host on the Internet.
func public(addr netip.Addr) bool {
	addr = addr.Unmap()
	if !addr.IsValid() || addr.Zone() != "" || addr.Is6() && !globalUnicast.Contains(addr) {
		return false
	}
	for _, network := range special {
		if network.Contains(addr) {
			return false
		}
	}
	return true
}
