package caddymcpauth

import (
	"github.com/prometheus/client_golang/prometheus"
)

// The counters belong to the process, so that they survive a reload. Labels come from
// the configuration or from a closed set, never from requests.
var (
	decisions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy",
		Subsystem: "mcp_auth",
		Name:      "decisions_total",
		Help:      "Requests by the front door's decision: accepted, metadata, preflight, or the reason of a refusal.",
	}, []string{"resource", "decision"})

	judged = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy",
		Subsystem: "mcp_auth",
		Name:      "policy_decisions_total",
		Help:      "Messages by what the rules decided: the method, the line that decided or why none did, and the outcome.",
	}, []string{"resource", "method", "rule", "outcome"})

	sessionEvents = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy",
		Subsystem: "mcp_auth",
		Name:      "sessions_total",
		Help:      "Sessions of MCP servers that began (begun, begun_anonymous), and those that a user took over who had begun without signing in (taken_over).",
	}, []string{"resource", "event"})

	fetches = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy",
		Subsystem: "mcp_auth",
		Name:      "fetches_total",
		Help:      "Documents fetched from authorization servers, by kind (metadata, keys) and result (ok, error).",
	}, []string{"issuer", "document", "result"})

	exchanges = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy",
		Subsystem: "mcp_auth",
		Name:      "exchanges_total",
		Help:      "Tokens exchanged for the server behind, by result (ok, refused, interaction, own_client, unavailable). Most requests bring one that is kept.",
	}, []string{"resource", "result"})

	assertions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy",
		Subsystem: "mcp_auth",
		Name:      "assertions_total",
		Help:      "Assertions signed for the server behind, by result (ok, error). Most requests bring one that was signed before.",
	}, []string{"resource", "result"})
)

func countAssertion(resource string, err error) {
	assertions.WithLabelValues(resource, resultOf(err)).Inc()
}

func countFetch(issuer, document string, err error) {
	fetches.WithLabelValues(issuer, document, resultOf(err)).Inc()
}

// resultOf is the label of an attempt that ended with err.
func resultOf(err error) string {
	if err != nil {
		return "error"
	}
	return "ok"
}

func countSession(resource, event string) { sessionEvents.WithLabelValues(resource, event).Inc() }
