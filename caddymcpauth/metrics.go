package caddymcpauth

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyserver/caddy/v2"
)

// The counters belong to the process, not to a configuration: Caddy makes a new
// registry at every reload, and counters made with it would start again at zero.
// Labels come from the configuration or from a closed set, never from requests.
var (
	decisions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy",
		Subsystem: "mcp_auth",
		Name:      "decisions_total",
		Help:      "Requests by what the front door decided: accepted, metadata, preflight, or the reason of a refusal.",
	}, []string{"resource", "decision"})

	fetches = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy",
		Subsystem: "mcp_auth",
		Name:      "fetches_total",
		Help:      "Documents fetched from authorization servers, by kind (metadata, keys) and result (ok, error).",
	}, []string{"issuer", "document", "result"})
)

// registerMetrics makes the counters part of the configuration's registry.
func registerMetrics(ctx caddy.Context) error {
	for _, c := range []prometheus.Collector{decisions, fetches} {
		err := ctx.GetMetricsRegistry().Register(c)
		if already := (prometheus.AlreadyRegisteredError{}); err != nil && !errors.As(err, &already) {
			return err
		}
	}
	return nil
}

func countFetch(issuer, document string, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	fetches.WithLabelValues(issuer, document, result).Inc()
}
