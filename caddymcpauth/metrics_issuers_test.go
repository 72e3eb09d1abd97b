package caddymcpauth_test

import (
	"strings"
	"testing"
)

// What the caches remember, and how long an issuer took, is counted by issuer, and
// goes on being counted over a reload.
func TestIssuerMetrics(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	resource := ownResource()
	site := strings.Replace(frontDoor(issuer.Issuer(), ""), testResource, resource, 1)
	s := serve(t, site, nil)
	good := bearer(issuer.Mint(map[string]any{"aud": resource}))
	for range 3 {
		s.do(t, "POST", "/mcp", good...)
	}
	for _, c := range []*config{s.config, serve(t, site, nil).config} {
		got := counts(t, c, "caddy_mcp_auth_cache_requests_total", issuer.Issuer())
		if got["issuer=IT result=hit"] != 2 || got["issuer=IT result=miss"] != 1 {
			t.Errorf("requests: got %v, want 2 hits and 1 miss", got)
		}
		families, err := c.ctx.GetMetricsRegistry().Gather()
		if err != nil {
			t.Fatal(err)
		}
		var entries float64
		var answered uint64
		for _, family := range families {
			for _, metric := range family.GetMetric() {
				if labels := metric.GetLabel(); len(labels) == 0 || labels[0].GetValue() != issuer.Issuer() {
					continue
				}
				switch family.GetName() {
				case "caddy_mcp_auth_cache_entries":
					entries = metric.GetGauge().GetValue()
				case "caddy_mcp_auth_issuer_request_duration_seconds":
					answered += metric.GetHistogram().GetSampleCount()
				}
			}
		}
		// Metadata and keys.
		if entries != 1 || answered < 2 {
			t.Errorf("got %v entries and %d questions, want 1 and at least 2", entries, answered)
		}
	}
}
