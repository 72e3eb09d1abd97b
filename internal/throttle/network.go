// Package throttle keeps what strangers ask for within bounds, in fair shares per
// network: token buckets ([Buckets]), slots for work with a bounded queue
// ([Slots]), and the counting of failed sign-ins ([Guesses]). It knows nothing of
// Caddy.
//
// A client is known by its address, and addresses are cheap: a home connection
// has 2^64 to 2^80 of IPv6, a small provider has a /24 of IPv4. So every share
// is held by the address's network at several prefix lengths, and at each of them
// one network gets no more than another.
//
// All memory is bounded. When a table is full, those records go that change the
// least for anybody, so that a flood displaces itself.
package throttle

import "net/netip"

// The prefix lengths that networks share fairly at, from the narrowest on.
var (
	lengths4 = []int{32, 24}
	lengths6 = []int{64, 56, 48}
)

// nat64 is where a server that has only IPv6 sees the clients that have only
// IPv4 (RFC 6052, section 2.1).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// networks returns the networks of an IP address, from the narrowest on: /32 and
// /24, or /64, /56 and /48. An IPv4 address is the same in its forms in IPv6.
// Whatever is not an address, such as a Unix socket's, is one network.
func networks(address string) []netip.Prefix {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return []netip.Prefix{{}}
	}
	addr = addr.Unmap().WithZone("")
	if nat64.Contains(addr) {
		b := addr.As16()
		addr = netip.AddrFrom4([4]byte(b[12:]))
	}
	lengths := lengths6
	if addr.Is4() {
		lengths = lengths4
	}
	list := make([]netip.Prefix, len(lengths))
	for i, bits := range lengths {
		list[i], _ = addr.Prefix(bits) // every address of the family has one
	}
	return list
}
