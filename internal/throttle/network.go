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
// All memory is bounded. When a table is full, the records whose loss
// matters least are evicted, so that a flood displaces itself.
package throttle

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// network is an IP network: the first bits of its addresses, of which 64 are all
// that matter. The lengths of IPv4 (32, 24) and IPv6 (64, 56, 48) differ, so
// nothing else tells them apart. Zero is whatever is not an address.
type network struct {
	prefix uint64
	bits   int
}

// nat64 is where a server that has only IPv6 sees the clients that have only
// IPv4 (RFC 6052, section 2.1).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// networks returns the networks of an IP address, from the narrowest on, which
// share fairly: /32 and /24, or /64, /56 and /48. An IPv4 address is the same in
// its forms in IPv6. Whatever is not an address, such as a Unix socket's, is one
// network.
func networks(address string) []network {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return []network{{}}
	}
	b := addr.As16()
	if addr = addr.Unmap(); addr.Is4() || nat64.Contains(addr) {
		v4 := uint64(binary.BigEndian.Uint32(b[12:]))
		return []network{{v4, 32}, {v4 >> 8, 24}}
	}
	v6 := binary.BigEndian.Uint64(b[:])
	return []network{{v6, 64}, {v6 >> 8, 56}, {v6 >> 16, 48}}
}

// Network returns a name of the widest network of an address, for [Claim.For]: a
// network may hold only so many slots, then, also while nobody else wants them.
func Network(address string) string {
	list := networks(address)
	widest := list[len(list)-1]
	return fmt.Sprintf("%x/%d", widest.prefix, widest.bits)
}

// share returns how many single addresses a network counts as.
func (n network) share() int {
	switch n.bits {
	case 56:
		return 2
	case 48, 24:
		return 4
	}
	return 1
}
