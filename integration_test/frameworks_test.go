package integration_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// framework is a server that the guide to frameworks shows.
type framework struct {
	// language and name say which block of the page it is.
	language, name string
	// check is what makes the server check that Host is localhost, and public what the
	// page has in its place for a server that is called by its public name.
	check, public string
	// command returns the program, with the lines that check assertions.
	command func(t *testing.T, c *caddyServer, program, sender string) *exec.Cmd
}

var frameworks = []framework{
	{
		language: "js", name: "typescript-v1",
		check: "createMcpExpressApp()", public: `createMcpExpressApp({ allowedHosts: ["mcp.example.com"] })`,
		command: frameworkInNode,
	},
	{
		language: "js", name: "typescript-v2",
		check: "const hosts = localhostAllowedHostnames();", public: `const hosts = ["mcp.example.com"];`,
		command: frameworkInNode,
	},
	{
		language: "go", name: "go",
		check:   "&mcp.StreamableHTTPOptions{Stateless: true}",
		public:  "&mcp.StreamableHTTPOptions{Stateless: true, DisableLocalhostProtection: true}",
		command: frameworkInGo,
	},
}

// frameworkInNode ends with its standard input, as all servers of the Node side.
func frameworkInNode(t *testing.T, c *caddyServer, program, sender string) *exec.Cmd {
	t.Helper()
	needNode(t)
	return inNode(t, c, sender+program+"\nprocess.stdin.on(\"end\", () => process.exit()).resume();\n")
}

func frameworkInGo(t *testing.T, c *caddyServer, program, sender string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	files := []string{
		file(t, dir, "main.go", program),
		file(t, dir, "end.go", "package main\n\nimport (\n\t\"io\"\n\t\"os\"\n)\n\nfunc init() {\n\tgo func() {\n\t\t_, _ = io.Copy(io.Discard, os.Stdin)\n\t\tos.Exit(0)\n\t}()\n}\n"),
	}
	if sender != "" {
		files = append(files, file(t, dir, "sender.go", "package main\n\nimport (\n\t\"context\"\n\n\t\"github.com/coreos/go-oidc/v3/oidc\"\n)\n\n"+sender))
	}
	binary := filepath.Join(dir, "server")
	if out, err := exec.Command("go", append([]string{"build", "-o", binary}, files...)...).CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	cmd := exec.Command(binary)
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+c.CA)
	return cmd
}

// Each server of the guide, behind the guide's Caddyfile, knows who calls: by the
// header and by the assertion. Its check of Host is on, as the guide says, and off or
// content with the public name by the guide's cure.
func TestGuideOfFrameworks(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "docs", "guides", "frameworks.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := func(t *testing.T, info string) string {
		t.Helper()
		found := regexp.MustCompile("(?ms)^```" + info + "\n(.*?)^```").FindSubmatch(text)
		if found == nil {
			t.Fatalf("the guide has no block %q", info)
		}
		return string(found[1])
	}
	site := block(t, "caddyfile")
	const named = " {\n\t\theader_up Host {upstream_hostport}\n\t}"
	// What the server sees of a site with a public name, unless Caddy names the server:
	// the test's own site is at localhost.
	const public = " {\n\t\theader_up Host mcp.example.com\n\t}"
	if strings.Count(site, named) != 1 {
		t.Fatalf("the guide's Caddyfile doesn't name the server:\n%s", site)
	}
	userLine := regexp.MustCompile(`(?m)^.*\buser :?= .*\n`)
	for _, fw := range frameworks {
		t.Run(fw.name, func(t *testing.T) {
			t.Parallel()
			byHeader := block(t, fw.language+" "+fw.name)
			if n := len(userLine.FindAllString(byHeader, -1)); n != 1 {
				t.Fatalf("%d lines of the server read the user, want 1", n)
			}
			byAssertion := userLine.ReplaceAllLiteralString(byHeader, block(t, fw.language+" "+fw.name+"-assertion"))
			if strings.Count(byHeader, fw.check) != 1 || !bytes.Contains(text, []byte("`"+fw.public+"`")) {
				t.Fatalf("the guide doesn't have %q, and %q for it", fw.check, fw.public)
			}
			byName := strings.Replace(byHeader, fw.check, fw.public, 1)

			f := startFakeIssuer(t)
			behind := func(server string, name string) string {
				return f.fill(strings.NewReplacer("127.0.0.1:3000", server, named, name).Replace(directives(t, site)))
			}
			c := startCaddy(t, behind("127.0.0.1:1", named))
			sender := guideLines(t, c, fw.language, "header")
			run := func(program, sender string) (address string) {
				t.Helper()
				n := testkit.FreePort(t)
				address = "127.0.0.1:" + strconv.Itoa(n)
				if strings.Count(program, "3000") != 1 {
					t.Fatalf("the server doesn't have one port:\n%s", program)
				}
				startFramework(t, c, fw.command(t, c, strings.Replace(program, "3000", strconv.Itoa(n), 1), sender), address)
				return address
			}
			whoami := func() string {
				t.Helper()
				session := signedIn(t, c, f.token(c, map[string]any{"sub": "ada"}))
				got, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "whoami", Arguments: map[string]any{}})
				if err != nil {
					t.Fatal(err)
				}
				return saidBy(got)
			}
			status := func() int {
				t.Helper()
				return c.do("POST", "/mcp", initialize, "Content-Type", "application/json", "Accept", "application/json, text/event-stream",
					"Authorization", "Bearer "+f.token(c, nil)).status
			}

			server := run(byHeader, "")
			c.reload(behind(server, named))
			if got := whoami(); got != "ada" {
				t.Errorf("by the header: got %q, want ada", got)
			}
			if got := c.do("POST", "/mcp", initialize, "X-User", "eve").status; got != 401 {
				t.Errorf("without a token: got %d, want 401", got)
			}
			c.reload(behind(server, public))
			if got := status(); got != 403 {
				t.Errorf("with the public name: got %d, want 403 from the server", got)
			}

			c.reload(behind(run(byName, ""), public))
			if got := whoami(); got != "ada" {
				t.Errorf("with the public name, and the cure: got %q, want ada", got)
			}

			server = run(byAssertion, sender)
			c.reload(behind(server, named))
			if got := whoami(); got != "ada" {
				t.Errorf("by the assertion: got %q, want ada", got)
			}
			// Past Caddy, neither a name nor the user's own token is an assertion.
			for _, assertion := range []string{"", "ada", f.token(c, map[string]any{"sub": "ada"})} {
				req := httptest.NewRequest("POST", "http://"+server+"/mcp", strings.NewReader(toolCall("whoami")))
				req.RequestURI = ""
				req.Header.Set("Content-Type", "application/json")
				req.Header.Set("Accept", "application/json, text/event-stream")
				req.Header.Set("X-User", "ada")
				req.Header.Set("X-Mcp-Auth-Assertion", assertion)
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				var body bytes.Buffer
				_, err = body.ReadFrom(resp.Body)
				resp.Body.Close()
				if err != nil {
					t.Fatal(err)
				}
				if resp.StatusCode != 200 || !strings.Contains(body.String(), `"isError":true`) || strings.Contains(body.String(), `"text":"ada"`) {
					t.Errorf("past Caddy, with %.10q: got %d %s, want an error of the tool", assertion, resp.StatusCode, body.String())
				}
			}
		})
	}
}

// startFramework runs a server until the test ends, and waits until it listens.
func startFramework(t *testing.T, c *caddyServer, cmd *exec.Cmd, address string) {
	t.Helper()
	var log logBuffer
	cmd.Stdout, cmd.Stderr = &log, &log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the server:\n%s", log.tail(30))
		}
	})
	c.waitFor(fmt.Sprintf("the server at %s", address), func() bool {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
}
