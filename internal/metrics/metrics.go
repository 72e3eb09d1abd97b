// Package metrics registers counters that belong to the process. Caddy makes a
// new registry at every reload, so counters made with it would start at zero
// again.
package metrics

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyserver/caddy/v2"
)

// Register adds the collectors to the registry of ctx, unless they are already in
// it.
func Register(ctx caddy.Context, collectors ...prometheus.Collector) error {
	for _, c := range collectors {
		err := ctx.GetMetricsRegistry().Register(c)
		if _, already := errors.AsType[prometheus.AlreadyRegisteredError](err); err != nil && !already {
			return err
		}
	}
	return nil
}
