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
// of the draft). It runs on the address being dialed, after resolution: a check
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

// guardian knows the addresses that are not public: those that IANA sets aside,
// and, in IPv6, all that it does not assign hosts from. NAT64, 6to4 and Teredo,
// which lead to any IPv4 address, are among them.
var guardian = ssrf.New(ssrf.WithDeniedV4Prefixes(
	// Public by their numbers, but a cloud's own inside it.
	netip.MustParsePrefix("168.63.129.16/32"), // Azure
	netip.MustParsePrefix("161.26.0.0/16"),    // IBM
	netip.MustParsePrefix("166.8.0.0/14"),     // IBM
))

// public reports whether addr is the address of a host on the Internet. Ports are
// [checkPort]'s.
func public(addr netip.Addr) bool {
	addr = addr.Unmap()
	return addr.IsValid() && addr.Zone() == "" && guardian.SafeAddr(addr) == nil
}
