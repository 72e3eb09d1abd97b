package facade_test

import (
	"testing"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-mcp-auth/caddy-mcp-auth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/adapttest"
)

// What the directive makes of a Caddyfile, and that Caddy takes it.
func TestAdapt(t *testing.T) {
	adapttest.Fixtures(t, "")
}
