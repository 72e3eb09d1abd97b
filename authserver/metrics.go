package authserver

import (
	"github.com/prometheus/client_golang/prometheus"
)

// The counters belong to the process, so that they survive a reload. Their labels
// come from the configuration or from a closed set.
var (
	requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy",
		Subsystem: "mcp_auth_server",
		Name:      "requests_total",
		Help:      "Requests to the token, register, revoke and introspect endpoints, by outcome: ok, or the OAuth error.",
	}, []string{"issuer", "endpoint", "outcome"})

	signIns = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy",
		Subsystem: "mcp_auth_server",
		Name:      "sign_ins_total",
		Help:      "Attempts to sign in, by method (password, or the upstream's name) and outcome: ok, wrong, throttled, denied, error.",
	}, []string{"issuer", "method", "outcome"})

	authorizations = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy",
		Subsystem: "mcp_auth_server",
		Name:      "authorizations_total",
		Help:      "Authorization requests by outcome: approved, remembered, or the OAuth error.",
	}, []string{"issuer", "outcome"})

	accessCounts = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "caddy",
		Subsystem: "mcp_auth_server",
		Name:      "access",
		Help:      "Who has access, counted every hour: users, clients, and live grants (what: users, clients, grants).",
	}, []string{"issuer", "what"})
)
