package metrics_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/metrics"
)

// Counters keep their values over a reload, and the handlers of a configuration
// share them.
func TestRegister(t *testing.T) {
	t.Parallel()
	const name = "mcp_auth_test_requests"
	requests := prometheus.NewCounter(prometheus.CounterOpts{Name: name})
	for reload, want := range []float64{1, 2, 3} {
		ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
		defer cancel()
		for range 2 { // handlers
			if err := metrics.Register(ctx, requests); err != nil {
				t.Fatalf("configuration %d: %v", reload, err)
			}
		}
		requests.Inc()
		if got := value(t, ctx, name); got != want {
			t.Errorf("configuration %d: got %v, want %v", reload, got, want)
		}
	}
}

// Another counter of the same name isn't taken for the first.
func TestRegisterRefuses(t *testing.T) {
	t.Parallel()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	opts := prometheus.CounterOpts{Name: "mcp_auth_test_answers"}
	if err := metrics.Register(ctx, prometheus.NewCounterVec(opts, []string{"status"})); err != nil {
		t.Fatal(err)
	}
	if err := metrics.Register(ctx, prometheus.NewCounterVec(opts, []string{"client"})); err == nil {
		t.Error("a counter with other labels: passes")
	}
}

// value returns what the registry of ctx says of a counter.
func value(t *testing.T, ctx caddy.Context, name string) float64 {
	t.Helper()
	families, err := ctx.GetMetricsRegistry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("the registry has no %s", name)
	return 0
}
