package facade

import (
	"github.com/prometheus/client_golang/prometheus"
)

// requests belongs to the process, so that it survives a reload. Its labels come
// from the configuration or from a closed set.
var requests = prometheus.NewCounterVec(prometheus.CounterOpts{
	Namespace: "caddy",
	Subsystem: "mcp_auth_facade",
	Name:      "requests_total",
	Help:      "Requests that the facade answered or inspected, by endpoint and outcome: ok, repaired, asked, allowed, denied, too_many, or the OAuth error.",
}, []string{"issuer", "endpoint", "outcome"})

// The endpoints in the metrics.
const (
	atMetadata      = "metadata"
	atRegistration  = "register"
	atAuthorization = "authorize"
	atConsent       = "consent"
	atToken         = "token"
	atRevocation    = "revoke"
	atIntrospection = "introspect"
	atPushed        = "par"
)

func (h *Handler) count(endpoint, outcome string) {
	requests.WithLabelValues(h.Issuer, endpoint, outcome).Inc()
}
