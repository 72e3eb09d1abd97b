package caddymcpauth

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var issuerSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
	Namespace: "caddy",
	Subsystem: "mcp_auth",
	Name:      "issuer_request_duration_seconds",
	Help:      "How long an authorization server took to answer, by result: ok, or error if there was no answer. For metadata, keys, and questions about tokens.",
	// A client waits for these. Ten seconds is when a question is given up.
	Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
}, []string{"issuer", "result"})

// timed measures how long an issuer takes to answer.
type timed struct {
	issuer string
	next   http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (t timed) RoundTrip(r *http.Request) (*http.Response, error) {
	asked := time.Now()
	resp, err := t.next.RoundTrip(r)
	issuerSeconds.WithLabelValues(t.issuer, resultOf(err)).Observe(time.Since(asked).Seconds())
	return resp, err
}

// CloseIdleConnections lets [http.Client.CloseIdleConnections] through.
func (t timed) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// cacheMetrics are read from the caches when they are asked for, so a request that
// finds its verdict counts nothing twice.
type cacheMetrics struct{ requests, entries *prometheus.Desc }

var caches = cacheMetrics{
	requests: prometheus.NewDesc("caddy_mcp_auth_cache_requests_total",
		"Tokens that were looked up among the remembered verdicts, by result: hit or miss. Starts again if the settings of an issuer change.", []string{"issuer", "result"}, nil),
	entries: prometheus.NewDesc("caddy_mcp_auth_cache_entries",
		"Remembered verdicts.", []string{"issuer"}, nil),
}

// Describe implements [prometheus.Collector].
func (c cacheMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.requests
	ch <- c.entries
}

// Collect implements [prometheus.Collector].
func (c cacheMetrics) Collect(ch chan<- prometheus.Metric) {
	byIssuer := make(map[string]cachesStatus)
	cachePool.Range(func(s cacheState) bool {
		one, all := s.Status(), byIssuer[s.issuer]
		all.Entries += one.Entries
		all.Hits += one.Hits
		all.Misses += one.Misses
		byIssuer[s.issuer] = all
		return true
	})
	for issuer, s := range byIssuer {
		ch <- prometheus.MustNewConstMetric(c.requests, prometheus.CounterValue, float64(s.Hits), issuer, "hit")
		ch <- prometheus.MustNewConstMetric(c.requests, prometheus.CounterValue, float64(s.Misses), issuer, "miss")
		ch <- prometheus.MustNewConstMetric(c.entries, prometheus.GaugeValue, float64(s.Entries), issuer)
	}
}

// Interface guards
var (
	_ http.RoundTripper    = timed{}
	_ prometheus.Collector = cacheMetrics{}
)
