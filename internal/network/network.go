// Package network tells whose requests are counted together.
package network

import "net/netip"

// Of returns what an IP address counts as: itself, or, in IPv6, its /64, for
// whoever has one address there has 2^64. An IPv4 address counts as the same in
// its IPv6 form. What is no address is returned as it is.
func Of(address string) string {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	prefix, _ := addr.Prefix(64) // every IPv6 address has one
	return prefix.String()
}
