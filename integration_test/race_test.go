//go:build race

package integration_test

// The Caddy under test has the race detector if the tests have it.
func init() { buildFlags = append(buildFlags, "-race") }
