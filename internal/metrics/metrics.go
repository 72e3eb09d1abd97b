// Package metrics makes counters that belong to the process part of a
// configuration's registry: Caddy makes a new registry at every reload, and
// counters made with it would start again at zero.
package metrics

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyserver/caddy/v2"
)

// Register makes the collectors part of the registry of ctx, unless they are.
func Register(ctx caddy.Context, collectors ...prometheus.Collector) error {
	for _, c := range collectors {
		err := ctx.GetMetricsRegistry().Register(c)
		if _, already := errors.AsType[prometheus.AlreadyRegisteredError](err); err != nil && !already {
			return err
		}
	}
	return nil
}
