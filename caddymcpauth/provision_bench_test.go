package caddymcpauth_test

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkProvision loads a site with many front doors, as one has who puts every
// server of an organization behind one Caddy.
func BenchmarkProvision(b *testing.B) {
	for _, doors := range []int{10, 100, 300} {
		b.Run(fmt.Sprint(doors), func(b *testing.B) {
			var site strings.Builder
			for i := range doors {
				fmt.Fprintf(&site, "mcp_auth /s%03d* https://mcp.example.com/s%03[1]d {\n issuer https://as.example.com\n}\n", i)
			}
			site.WriteString("reverse_proxy 127.0.0.1:9\n")
			routes, err := adapt(site.String())
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				c, err := provision(b, routes)
				if err != nil {
					b.Fatal(err)
				}
				c.cleanup()
			}
		})
	}
}
