package facade

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyserver/caddy/v2"
)

// requests belongs to the process, so that it survives a reload. Its labels come
// from the configuration or from a closed set.
var requests = prometheus.NewCounterVec(prometheus.CounterOpts{
	Namespace: "caddy",
	Subsystem: "mcp_auth_facade",
	Name:      "requests_total",
	Help:      "Requests that the façade answered or looked at, by endpoint and outcome: ok, repaired, asked, allowed, denied, too_many, or the OAuth error.",
}, []string{"issuer", "endpoint", "outcome"})

// The endpoints in the metrics.
const (
	atMetadata      = "metadata"
	atRegistration  = "register"
	atAuthorization = "authorize"
	atConsent       = "consent"
	atToken         = "token"
)

func (h *Handler) count(endpoint, outcome string) {
	requests.WithLabelValues(h.Issuer, endpoint, outcome).Inc()
}

// registerMetrics makes the counter part of the configuration's registry.
func registerMetrics(ctx caddy.Context) error {
	err := ctx.GetMetricsRegistry().Register(requests)
	if already := (prometheus.AlreadyRegisteredError{}); errors.As(err, &already) {
		return nil
	}
	return err
}
