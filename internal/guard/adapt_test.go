package guard_test

import (
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/adapttest"
)

// Where the directive puts the guard, and that Caddy takes it.
func TestAdapt(t *testing.T) { adapttest.Fixtures(t, "") }
