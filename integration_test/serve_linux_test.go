package integration_test

import (
	"context"
	"os/exec"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// From an empty folder to whoami with one command and a client.
func TestServeCommand(t *testing.T) {
	t.Parallel()
	needChromium(t)
	c := newCaddy(t)
	term := openTerminal(t)
	cmd := exec.Command(c.binary, "mcp-auth", "serve", "--from", c.Host)
	cmd.Dir, cmd.Stdout = t.TempDir(), term.end
	c.run(cmd)

	if got, want := term.read(t, "MCP server"), c.URL+"/mcp"; got != want {
		t.Errorf("the terminal says %q, want %q", got, want)
	}
	user, password := term.read(t, "User"), term.read(t, "Password")
	if got := term.read(t, "Certificate"); got != c.CA {
		t.Errorf("the terminal says %q, want %q", got, c.CA)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	inspector := c.inspector(ctx, t)
	inspector.Env = append(inspector.Env, "SIGNIN_BROWSER=chromium.mjs", "SIGNIN_USER="+user, "SIGNIN_PASSWORD="+password)
	if who := toolText(t, output(t, inspector)); who["sub"] != user || who["iss"] != c.URL {
		t.Errorf("whoami says %v, want %s", who, user)
	}
	if len(password) < 20 || c.log.contains(password) {
		t.Errorf("the password has %d characters, or is in the log", len(password))
	}
	// Without one, nobody gets in.
	if got := c.do("POST", "/mcp", initialize); got.status != 401 {
		t.Errorf("without a token: got %d, want 401", got.status)
	}
}
