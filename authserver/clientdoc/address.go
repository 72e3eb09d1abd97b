package clientdoc

import (
	"context"
	"net/netip"
	"syscall"

	"code.dny.dev/ssrf"
)

// refusedError says that an address must not be dialed.
type refusedError struct{ addr netip.Addr }

func (e *refusedError) Error() string {
	if !e.addr.IsValid() {
		return "the host has no IP address"
	}
	return "the host has the address " + e.addr.String() + ", which is not public"
}

// controlDial refuses connections to addresses that are not public (section 8.6
// of the draft). It checks the address being dialed, after name resolution. If
// only the name were checked, or an earlier resolution, the name could resolve
// differently in between.
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

// guardian recognizes addresses that are not public: the special-purpose ranges
// of IANA and, in IPv6, everything outside the ranges that hosts are assigned
// from. These include NAT64, 6to4 and Teredo, which lead to any IPv4 address.
var guardian = ssrf.New(ssrf.WithDeniedV4Prefixes(
	// These are public by number, but internal to a cloud.
	netip.MustParsePrefix("168.63.129.16/32"), // Azure
	netip.MustParsePrefix("161.26.0.0/16"),    // IBM
	netip.MustParsePrefix("166.8.0.0/14"),     // IBM
))

// public reports whether addr is the address of a host on the Internet.
// [checkPort] checks the port.
func public(addr netip.Addr) bool {
	addr = addr.Unmap()
	return addr.IsValid() && addr.Zone() == "" && guardian.SafeAddr(addr) == nil
}
