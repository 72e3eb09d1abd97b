package integration_test

import (
	"context"
	"errors"
	"net"
	"net/http"
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

var scriptBlock = regexp.MustCompile("(?ms)^```js\n(.*?)^```")

// stdioGuide returns what the guide has in the only block of a kind.
func stdioGuide(t *testing.T, block *regexp.Regexp) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "guides", "stdio.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := block.FindAllStringSubmatch(string(text), -1)
	if len(found) != 1 {
		t.Fatalf("the guide has %d blocks, want 1", len(found))
	}
	return found[0][1]
}

// rewritten returns text with each old string, which must be in it, replaced.
func rewritten(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("%q isn't in\n%s", pairs[i], text)
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}

// startBridge runs the guide's ExecStart and returns its port, and its log.
func startBridge(t *testing.T) (port string, log *logBuffer) {
	t.Helper()
	needNode(t)
	script := filepath.Join(t.TempDir(), "loopback.mjs")
	if err := os.WriteFile(script, []byte(stdioGuide(t, scriptBlock)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(stdioGuide(t, unitBlock), "\nExecStart=/usr/bin/node ")
	line, _, _ = strings.Cut(line, "\n")
	port = strconv.Itoa(testkit.FreePort(t))
	line = rewritten(t, line, "./loopback.mjs", script, "--port 8000", "--port "+port,
		// What it passes on is what the test wants to see.
		"--logLevel none", "--logLevel info")
	words, server, ok := strings.Cut(line, ` --stdio "`)
	if !ok {
		t.Fatalf("no server in %q", line)
	}
	args := append(strings.Fields(words), "--stdio", strings.TrimSuffix(server, `"`))
	log = new(logBuffer)
	cmd := exec.Command("node", args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = nodeDir, log, log
	// It ends with its standard input, and its servers with it.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the bridge:\n%s", log.tail(30))
		}
	})
	testkit.Eventually(t, "the bridge to listen", func() bool { return log.contains("Listening on port " + port) })
	return port, log
}

// withKey sends a user's key with every request.
type withKey struct {
	http.RoundTripper
	user string
}

func (k withKey) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer key-of-"+k.user)
	return k.RoundTripper.RoundTrip(r)
}

// The guide's bridge and Caddyfile put a server that only speaks stdio behind the
// front door: each session has a process, and is its user's.
func TestStdioBridge(t *testing.T) {
	t.Parallel()
	port, log := startBridge(t)
	site := stdioGuide(t, caddyfileBlock)
	_, keys, _ := strings.Cut(keyDoor, "issuer ")
	keys, _, _ = strings.Cut(keys, "OPTIONS")
	site = rewritten(t, site, "issuer https://auth.example.com\n", "issuer "+keys,
		"https://mcp.example.com/mcp", "SITE/mcp", "127.0.0.1:8000", "127.0.0.1:"+port,
		"mcp.example.com {\n", "")
	c := startCaddy(t, strings.TrimSuffix(strings.TrimSpace(site), "}"))

	// All of 127.0.0.0/8 reaches a server that listens on every interface.
	if conn, err := net.Dial("tcp", "127.0.0.2:"+port); err == nil {
		conn.Close()
		t.Error("the bridge listens on more than 127.0.0.1")
	}
	if got := c.as("", "POST", "/mcp", initializeOld); got.status != 401 {
		t.Errorf("without a token: got %d, want 401", got.status)
	}

	t.Run("sessions", func(t *testing.T) {
		t.Parallel()
		const toggle = `{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"toggle-simulated-logging","arguments":{}}}`
		hers, his := c.begin("alice"), c.begin("bob")
		for user, id := range map[string]string{"alice": hers, "bob": his} {
			if got := c.as(user, "POST", "/mcp", initializedOld, "Mcp-Session-Id", id); got.status != 202 {
				t.Errorf("%s: got %d %s", user, got.status, got.body)
			}
			// A server that both share would stop at the second call.
			if got := c.as(user, "POST", "/mcp", toggle, "Mcp-Session-Id", id); got.status != 200 || !strings.Contains(got.body, "Started simulated") {
				t.Errorf("%s: got %d %s", user, got.status, got.body)
			}
		}
		if got := c.as("bob", "POST", "/mcp", echoOld, "Mcp-Session-Id", hers); got.status != 404 {
			t.Errorf("her session: got %d, want 404", got.status)
		}
		if got := c.as("alice", "DELETE", "/mcp", "", "Mcp-Session-Id", hers); got.status != 200 {
			t.Errorf("she ends it: got %d %s", got.status, got.body)
		}
		if got := c.as("bob", "POST", "/mcp", echoOld, "Mcp-Session-Id", his); got.status != 200 || !strings.Contains(got.body, "Echo: hello") {
			t.Errorf("his, after that: got %d %s", got.status, got.body)
		}
	})

	t.Run("a client", func(t *testing.T) {
		t.Parallel()
		progress := make(chan struct{}, 100)
		client := mcp.NewClient(&mcp.Implementation{Name: "go client", Version: "1"}, &mcp.ClientOptions{
			ProgressNotificationHandler: func(context.Context, *mcp.ProgressNotificationClientRequest) { progress <- struct{}{} },
		})
		https := c.client()
		https.Transport = withKey{https.Transport, "alice"}
		session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: c.URL + "/mcp", HTTPClient: https}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		tools, err := session.ListTools(t.Context(), nil)
		if err != nil || len(tools.Tools) < 5 {
			t.Fatalf("got %v, %v", tools, err)
		}

		// The operation would take longer than the test waits for anything.
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		params := &mcp.CallToolParams{
			Name:      "trigger-long-running-operation",
			Arguments: map[string]any{"duration": 1000, "steps": 10_000},
		}
		params.SetProgressToken("p")
		done := make(chan error, 1)
		go func() {
			_, err := session.CallTool(ctx, params)
			done <- err
		}()
		testkit.Receive(t, "progress", progress)
		cancel()
		if err := testkit.Receive(t, "the call to end", done); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want that it was canceled", err)
		}
		testkit.Eventually(t, "the server to be told", func() bool {
			return log.contains(`Child: {"jsonrpc":"2.0","method":"notifications/cancelled"`)
		})
		got, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "echo", Arguments: map[string]any{"message": "hello"}})
		if err != nil || len(got.Content) != 1 || got.Content[0].(*mcp.TextContent).Text != "Echo: hello" {
			t.Errorf("got %v, %v", got, err)
		}
	})
}
