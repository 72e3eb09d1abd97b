//go:build clients && unix

package integration_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// inspectorProgram returns the program, which is one of those for other tests.
func (s *seat) inspectorProgram() string {
	s.t.Helper()
	name, err := filepath.Abs(filepath.Join(nodeDir, "node_modules", ".bin", "mcp-inspector"))
	if err != nil {
		s.t.Fatal(err)
	}
	return name
}

// inspectorCLI is MCP Inspector's command line, which starts again for each call
// and keeps its tokens in a file.
type inspectorCLI struct {
	*seat
	era  string
	port int // of its redirect URI
}

func sitInspector(era string) func(*seat) driver {
	return func(s *seat) driver { return inspectorCLI{s, era, testkit.FreePort(s.t)} }
}

// cli runs a method.
func (c inspectorCLI) cli(args ...string) string {
	return c.run([]string{"MCP_AUTO_OPEN_ENABLED=true", "MCP_INSPECTOR_SECRET_STORE=file"}, c.inspectorProgram(), append([]string{
		"--cli", c.URL + "/mcp", "--transport", "http", "--callback-url", fmt.Sprintf("http://127.0.0.1:%d/oauth/callback", c.port),
		"--protocol-era", c.era, "--method",
	}, args...)...)
}

func (c inspectorCLI) signIn(...string) { c.cli("tools/list", "--relogin") }

func (c inspectorCLI) session(p *play) {
	p.each(func(tool string) string { return c.cli("tools/call", "--tool-name", tool) })
}

// inspectorWeb is MCP Inspector's page, in a browser.
type inspectorWeb struct{ *seat }

func sitInspectorWeb(s *seat) driver {
	needChromium(s.t)
	return inspectorWeb{s}
}

// signIn does nothing: connecting does it.
func (c inspectorWeb) signIn(...string) {}

func (c inspectorWeb) session(p *play) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), clientTime)
	defer cancel()
	port := testkit.FreePort(c.t)
	server := c.command(ctx, []string{
		fmt.Sprintf("CLIENT_PORT=%d", port), fmt.Sprintf("MCP_SANDBOX_PORT=%d", testkit.FreePort(c.t)), fmt.Sprintf("MCP_APP_ORIGIN_PORT=%d", testkit.FreePort(c.t)),
		"MCP_AUTO_OPEN_ENABLED=false", "MCP_INSPECTOR_SECRET_STORE=file", "DANGEROUSLY_OMIT_AUTH=true",
	}, c.inspectorProgram(), "--web", "--transport", "http", "--server-url", c.URL+"/mcp", "--protocol-era", "auto")
	server.Stdout, server.Stderr = c.printed, c.printed
	if err := server.Start(); err != nil {
		c.t.Fatal(err)
	}
	defer func() {
		_ = syscall.Kill(-server.Process.Pid, syscall.SIGTERM)
		cancel()
		_ = server.Wait()
	}()
	address := fmt.Sprintf("http://127.0.0.1:%d/", port)
	testkit.Eventually(c.t, "the Inspector to be up", func() bool {
		resp, err := http.Get(address)
		if err != nil {
			return false
		}
		resp.Body.Close()
		return true
	})
	script, err := filepath.Abs(filepath.Join(nodeDir, "inspector-web.mjs"))
	if err != nil {
		c.t.Fatal(err)
	}
	user := c.command(ctx, []string{"SIGNIN_USER=demo"}, "node", script, address)
	user.Stderr = c.printed
	stdin, err := user.StdinPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	stdout, err := user.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := user.Start(); err != nil {
		c.t.Fatal(err)
	}
	defer func() {
		// It ends its Chromium, which has a process group of its own: killed, it
		// would leave that behind.
		stdin.Close()
		late := time.AfterFunc(10*time.Second, func() { _ = syscall.Kill(-user.Process.Pid, syscall.SIGTERM) })
		defer late.Stop()
		_ = user.Wait()
	}()
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 1<<20)
	lines.Scan()
	fmt.Fprintln(c.printed, lines.Text())
	p.each(func(tool string) string {
		before := len(c.tools.called())
		fmt.Fprintln(stdin, tool)
		lines.Scan()
		fmt.Fprintln(c.printed, lines.Text())
		// The page may still show an earlier result, the server knows.
		if calls := c.tools.called()[before:]; len(calls) > 0 {
			return calls[len(calls)-1]
		}
		return lines.Text()
	})
}

// called returns the calls that the server has answered.
func (s *tableServer) called() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}
