package integration_test

import (
	"bufio"
	"context"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

var summaryLine = regexp.MustCompile(`Total: (\d+) passed, 0 failed`)

// The scenarios for authorization servers of MCP's conformance suite pass.
func TestEmbeddedServerConformance(t *testing.T) {
	t.Parallel()
	needNode(t)
	c := startEmbedded(t, embedded)
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "./conformance.sh", "--url", c.URL, "--client-id", "desk",
		"--resource", c.URL+"/mcp", "--port", strconv.Itoa(testkit.FreePort(t)))
	cmd.Dir = nodeDir
	cmd.Env = node(ctx, c.CA, "").Env
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		line := lines.Text()
		out.WriteString(line + "\n")
		if strings.HasPrefix(line, c.URL+"/oauth/authorize?") {
			if _, err := authorize(ctx, c.CA, line); err != nil {
				t.Error(err)
				cancel()
			}
		}
	}
	err = cmd.Wait()
	match := summaryLine.FindStringSubmatch(out.String())
	if err != nil || match == nil || match[1] != "3" || strings.Contains(out.String(), "SKIPPED") {
		t.Errorf("%v\n%s\nwant three checks passed, none failed or skipped", err, out.String())
	}
}
