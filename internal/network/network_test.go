package network_test

import (
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/network"
)

func TestOf(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.1":           "192.0.2.1",
		"::ffff:192.0.2.1":    "192.0.2.1",
		"2001:db8::1":         "2001:db8::/64",
		"2001:db8:0:0:ffff::": "2001:db8::/64",
		"2001:db8:0:1::1":     "2001:db8:0:1::/64",
		"fe80::1%eth0":        "fe80::/64",
		"":                    "",
		"192.0.2.1:80":        "192.0.2.1:80",
	} {
		if got := network.Of(address); got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
}
