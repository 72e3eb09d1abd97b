// Package throttle bounds what unauthenticated requests may use, in fair shares
// per network: token buckets ([Buckets]), slots for work with a bounded queue
// ([Slots]), and the counting of failed sign-ins ([Guesses]). It knows nothing of
// Caddy.
//
// A client is identified by its address, and addresses are cheap: a home
// connection has 2^64 to 2^80 IPv6 addresses, a small provider has an IPv4 /24.
// So every share belongs to the address's networks at several prefix lengths, and
// at each of them all networks get the same.
//
// All memory is bounded. When a table is full, the records whose loss matters
// least are evicted, so that a flood displaces itself.
package throttle

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// network is an IP network: the first bits of its addresses. The first 64 are
// enough. The prefix lengths of IPv4 (32, 24) and IPv6 (64, 56, 48) differ, so
// the length tells them apart. The zero value stands for everything that is not
// an IP address.
type network struct {
	prefix uint64
	bits   int
}

// nat64 is the network in which a server with IPv6 only sees clients with IPv4
// only (RFC 6052, section 2.1).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// networks returns the networks of an IP address that share fairly, the narrowest
// first: /32 and /24, or /64, /56 and /48. All forms of an IPv4 address in IPv6
// are the same. Anything else, such as the address of a Unix socket, is one
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

// Network returns a name of the widest network of an address, for [Claim.For]. A
// network may then hold only so many slots, even while no other network wants
// them.
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
