package integration_test

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// startEverything starts the Go SDK's example server that has everything, and returns
// its URL.
func startEverything(t *testing.T, c *caddyServer) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "everything")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/modelcontextprotocol/go-sdk/examples/server/everything").CombinedOutput(); err != nil {
		t.Fatalf("building it: %v\n%s", err, out)
	}
	address := fmt.Sprintf("127.0.0.1:%d", testkit.FreePort(t))
	cmd := exec.Command(binary, "-http", address)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	c.waitFor("the server to listen", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return "http://" + address + "/mcp"
}

// `caddy mcp-auth tools` shows what a caller is shown by a front door with rules, and
// what it hides; the rules that it drafts are ones that Caddy takes.
func TestToolsCommand(t *testing.T) {
	t.Parallel()
	f := startFakeIssuer(t)
	c := startCaddy(t, "respond 503")
	behind := startEverything(t, c)
	c.reload(f.fill(`
	mcp_auth SITE/mcp {
		issuer ISSUER
		tools greet ` + "`greet (structured)`" + `
		tools log nobody
		tools ping need claim groups admins
	}
	reverse_proxy ` + strings.TrimSuffix(strings.TrimPrefix(behind, "http://"), "/mcp") + ` {
		header_up Host {upstream_hostport}
	}
`))
	code, out, _ := c.command(f.token(c, map[string]any{"groups": []string{"admins"}}), "tools", c.URL+"/mcp", "--ca", c.CA, "--token", "-", "--server", behind)
	for _, want := range []string{
		"shows 3 tools to this caller", "has 10 tools",
		`shown               "greet"  "say hi"`, `shown               "ping"`, `hidden              "log"`, `hidden              "sample"`,
	} {
		if code != 0 || !strings.Contains(out, want+"\n") {
			t.Errorf("an administrator: got %d, without %q", code, want)
		}
	}
	if _, out, _ := c.command(f.token(c, nil), "tools", c.URL+"/mcp", "--ca", c.CA, "--token", "-"); !strings.Contains(out, "shows 2 tools") || strings.Contains(out, `"ping"`) {
		t.Error("another user isn't shown less")
	}
	if code, _, stderr := c.command("", "tools", c.URL+"/mcp", "--ca", c.CA); code != 1 || !strings.Contains(stderr, "--token -") {
		t.Errorf("without a token: got %d", code)
	}
	if code, _, stderr := c.command("", "tools", c.URL+"/mcp"); code != 1 || !strings.Contains(stderr, "--ca") {
		t.Errorf("without trust: got %d", code)
	}
	if code, _, stderr := c.command("x", "tools", c.URL+"/mcp", "--ca", c.CA, "--token", "-"); code != 1 || !strings.Contains(stderr, "explain") {
		t.Errorf("a bad token: got %d", code)
	}

	code, out, _ = c.command(f.token(c, nil), "tools", c.URL+"/mcp", "--ca", c.CA, "--token", "-", "--server", behind, "--policy")
	if code != 0 || !strings.Contains(out, "\t\ttools `elicit (url)` nobody\n") {
		t.Fatalf("a draft: got %d", code)
	}
	if err := validate(t, c.write(out)); err != nil {
		t.Errorf("the draft: %v", err)
	}
}
