package caddymcpauth_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

// ownResources counts the resources of [ownResource].
var ownResources atomic.Int64

// ownResource returns a resource that no other test counts requests to.
func ownResource() string {
	return fmt.Sprintf("https://metrics.example.com/%d/mcp", ownResources.Add(1))
}

// counts returns the values of the counter name in a configuration's registry,
// by the values of its labels in order of their names.
func counts(t *testing.T, c *config, name, mustContain string) map[string]float64 {
	t.Helper()
	families, err := c.ctx.GetMetricsRegistry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]float64)
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, label := range metric.GetLabel() {
				labels = append(labels, label.GetName()+"="+label.GetValue())
			}
			if key := strings.Join(labels, " "); strings.Contains(key, mustContain) {
				found[strings.ReplaceAll(key, mustContain, "IT")] = metric.GetCounter().GetValue()
			}
		}
	}
	return found
}

// The counters go on counting over a reload, in both registries the same.
func TestMetricsSurviveReload(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	resource := ownResource()
	site := strings.Replace(frontDoor(issuer.Issuer(), "scopes read"), testResource, resource, 1)
	s := serve(t, site, nil)
	// An issuer of an earlier test may have had the same port.
	before := counts(t, s.config, "caddy_mcp_auth_fetches_total", issuer.Issuer())
	good := bearer(issuer.Mint(map[string]any{"aud": resource}))
	s.do(t, "POST", "/mcp", good...)
	s.do(t, "POST", "/mcp")

	reloaded := serve(t, site, nil)
	s.cleanup()
	reloaded.do(t, "POST", "/mcp", good...)
	reloaded.do(t, "GET", wellKnown)
	reloaded.do(t, "OPTIONS", "/mcp", "Origin", "http://localhost", "Access-Control-Request-Method", "POST")
	reloaded.do(t, "POST", "/mcp", "Origin", "null")
	reloaded.do(t, "POST", "/mcp", "Authorization", "Bearer")
	reloaded.do(t, "POST", "/mcp", bearer(issuer.Mint(map[string]any{"aud": resource, "scope": "x"}))...)
	reloaded.do(t, "POST", "/mcp", bearer(issuer.Mint(map[string]any{"aud": resource, "exp": 1}))...)

	want := map[string]float64{
		"decision=accepted resource=IT":           2,
		"decision=no_credentials resource=IT":     1,
		"decision=metadata resource=IT":           1,
		"decision=preflight resource=IT":          1,
		"decision=origin resource=IT":             1,
		"decision=invalid_request resource=IT":    1,
		"decision=insufficient_scope resource=IT": 1,
		"decision=expired resource=IT":            1,
	}
	for _, c := range []*config{s.config, reloaded.config} {
		if got := counts(t, c, "caddy_mcp_auth_decisions_total", resource); !maps.Equal(got, want) {
			t.Errorf("decisions: got %v, want %v", got, want)
		}
	}
	wantFetches := map[string]float64{
		"document=metadata issuer=IT result=ok": 1,
		"document=keys issuer=IT result=ok":     1,
	}
	for fetch, n := range before {
		wantFetches[fetch] += n
	}
	if got := counts(t, reloaded.config, "caddy_mcp_auth_fetches_total", issuer.Issuer()); !maps.Equal(got, wantFetches) {
		t.Errorf("fetches: got %v, want %v", got, wantFetches)
	}
}

// Nothing that a client sends becomes a label.
func TestMetricsLabelsAreClosed(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	resource := ownResource()
	s := serve(t, strings.Replace(frontDoor(issuer.Issuer(), ""), testResource, resource, 1), nil)
	hostile := func(mark string) []string {
		for _, headers := range [][]string{
			{"Host", mark},
			{"Origin", "https://" + mark},
			bearer(mark),
			bearer(issuer.Mint(map[string]any{"iss": "https://" + mark})),
			bearer(issuer.Mint(map[string]any{"aud": mark, "sub": mark})),
			bearer(issuer.Mint(nil, oauthtest.WithHeader("kid", mark))),
			bearer(issuer.Mint(nil, oauthtest.WithHeader("typ", mark))),
			bearer(issuer.Mint(nil, oauthtest.WithHeader("alg", mark))),
			{"Authorization", mark + " x"},
		} {
			for _, method := range []string{"POST", "X" + mark} {
				s.do(t, method, "/"+mark, headers...)
			}
		}
		var labels []string
		for _, name := range []string{"caddy_mcp_auth_decisions_total", "caddy_mcp_auth_fetches_total"} {
			for _, known := range []string{resource, issuer.Issuer()} {
				labels = slices.AppendSeq(labels, maps.Keys(counts(t, s.config, name, known)))
			}
		}
		slices.Sort(labels)
		return labels
	}
	first := hostile("one-mark")
	if len(first) < 5 {
		t.Fatalf("got labels %q: the test sees too little", first)
	}
	if second := hostile("another-mark"); !slices.Equal(first, second) {
		t.Errorf("clients make labels: got %q, then %q", first, second)
	}
	for _, name := range []string{"caddy_mcp_auth_decisions_total", "caddy_mcp_auth_fetches_total"} {
		if found := counts(t, s.config, name, "-mark"); len(found) > 0 {
			t.Errorf("a client made labels: %v", found)
		}
	}
}
