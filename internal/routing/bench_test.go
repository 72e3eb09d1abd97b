package routing_test

import (
	"strings"
	"testing"
)

func BenchmarkMisread(b *testing.B) {
	for name, target := range map[string]string{
		"plain":      "/other/page",
		"resource":   "/mcp",
		"capitals":   "/Other/Page",
		"parameters": "/a;b/../c",
		"worst":      "/" + strings.Repeat("x/..;/%255c%252e%252e/A.b;c%20/", 200),
	} {
		b.Run(name, func(b *testing.B) {
			tree := treeOf(b, "mcp_auth /mcp* "+door+proxy)
			r := request(b, target)
			b.ReportAllocs()
			for b.Loop() {
				misread(tree, r)
			}
		})
	}
}
