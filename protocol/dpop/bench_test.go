package dpop_test

import (
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/dpop"
)

// BenchmarkCheck is a proof of a key that was seen before, as nearly all are.
func BenchmarkCheck(b *testing.B) {
	_, prover, c := newProver(b, "ES256")
	raw, r := prover.Prove(method, resource, token, nil), request(prover)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := dpop.Check(raw, r, c.Now()); err != nil {
			b.Fatal(err)
		}
	}
}
