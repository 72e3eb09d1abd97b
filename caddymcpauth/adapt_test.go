package caddymcpauth_test

import (
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/adapttest"
)

// What the directive makes of a Caddyfile, and that Caddy takes it.
func TestAdapt(t *testing.T) {
	t.Setenv("ISSUER", "https://as.example.org")
	t.Setenv("JWKS_URI", "https://other.example.com/jwks")
	adapttest.Fixtures(t, "basicauth") // one fixture has the old name on purpose
}
