package integration_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// toolServer starts an MCP server without sessions that answers every call with its
// own name.
func toolServer(t *testing.T, name string, tools ...string) *httptest.Server {
	t.Helper()
	server := mcp.NewServer(&mcp.Implementation{Name: name, Version: "1"}, nil)
	for _, tool := range tools {
		mcp.AddTool(server, &mcp.Tool{Name: tool}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: name}}}, nil, nil
		})
	}
	server.AddResource(&mcp.Resource{Name: "a", URI: "file:///a"}, func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: "file:///a", Text: name}}}, nil
	})
	behind := httptest.NewServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server },
		&mcp.StreamableHTTPOptions{Stateless: true}))
	t.Cleanup(behind.Close)
	return behind
}

// directives returns what stands in the one site of a Caddyfile of the manual, for
// the site of a test: with its URL, the fake issuer, and servers of the test's for
// the ports from 3000.
func directives(t *testing.T, text string, servers ...*httptest.Server) string {
	t.Helper()
	_, site, ok := strings.Cut("\n"+text, "\nmcp.example.com {\n")
	site, _, ended := strings.Cut(site, "\n}\n")
	if !ok || !ended {
		t.Fatalf("not one site:\n%s", text)
	}
	site = strings.NewReplacer("https://mcp.example.com", "SITE", "https://auth.example.com", "ISSUER").Replace("\n" + site + "\n")
	for i, server := range servers {
		site = strings.ReplaceAll(site, fmt.Sprintf("127.0.0.1:%d", 3000+i), server.Listener.Addr().String())
	}
	return strings.Replace(site, "\n\tlog\n", "\n", 1) // sites of tests have it
}

// signedIn returns a session of the Go SDK's client, with a token.
func signedIn(t *testing.T, c *caddyServer, token string) *mcp.ClientSession {
	t.Helper()
	hc := c.client()
	hc.Transport = bearer{token, hc.Transport}
	session, err := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, nil).
		Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: c.URL + "/mcp", HTTPClient: hc, DisableStandaloneSSE: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

// The example: a log of its own, another server for a tool, and one for resources.
func TestDirectivesByTool(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "examples", "by-tool.caddyfile"))
	if err != nil {
		t.Fatal(err)
	}
	main := toolServer(t, "main", "get_user", "delete_user", "render_map")
	f := startFakeIssuer(t)
	c := startCaddy(t, f.fill(directives(t, string(text), main, toolServer(t, "renderer", "render_map"), toolServer(t, "files"))))
	session := signedIn(t, c, f.token(c, map[string]any{"sub": "alice"}))

	for tool, want := range map[string]string{"get_user": "main", "delete_user": "main", "render_map": "renderer"} {
		got, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: map[string]any{}})
		if err != nil || saidBy(got) != want {
			t.Errorf("%s: got %v, %v, want the answer of %s", tool, got, err, want)
		}
	}
	got, err := session.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: "file:///a"})
	if err != nil || len(got.Contents) != 1 || got.Contents[0].Text != "files" {
		t.Errorf("the resource: got %+v, %v, want it from the third server", got, err)
	}

	c.logs(`"mcp_name":"\"file:///a\""`)
	for line := range strings.Lines(c.log.String()) {
		if !strings.Contains(line, `"msg":"handled request"`) || !strings.Contains(line, `"mcp_method":"\"tools/call\""`) {
			continue
		}
		deletion := strings.Contains(line, `"mcp_name":"\"delete_user\""`)
		if own := strings.Contains(line, `"logger":"http.log.access.deletions"`); own != deletion {
			t.Errorf("in the log of deletions: %t, want %t: %s", own, deletion, line)
		}
		if marked := strings.Contains(line, `"deleted_by":"alice"`); marked != deletion {
			t.Errorf("marked as a deletion: %t, want %t: %s", marked, deletion, line)
		}
		if strings.Count(line, `"mcp_name"`) != 1 {
			t.Errorf("not one name: %s", line)
		}
	}
	if !c.log.contains(`"logger":"http.log.access.deletions"`) {
		t.Error("nothing is in the log of deletions")
	}

	// Without a token, no matcher is reached.
	if got := c.do("POST", "/mcp", "{", "Content-Type", "application/json"); got.status != 401 {
		t.Errorf("no token, no message: got %d, want 401", got.status)
	}
	token := "Bearer " + f.token(c, nil)
	for _, test := range []struct {
		name, contentType, body string
		want                    int
	}{
		{"no JSON", "application/json", "{", 400},
		{"another media type", "text/plain", toolCall("get_user"), 415},
		{"too large", "application/json", toolCall(strings.Repeat("x", 4<<20)), 413},
	} {
		if got := c.do("POST", "/mcp", test.body, "Content-Type", test.contentType, "Authorization", token); got.status != test.want {
			t.Errorf("%s: got %d, want %d", test.name, got.status, test.want)
		}
	}
}

// saidBy returns the text of a tool's result.
func saidBy(result *mcp.CallToolResult) string {
	if result == nil || len(result.Content) != 1 {
		return ""
	}
	text, _ := result.Content[0].(*mcp.TextContent)
	return text.Text
}

// toolCall returns the call of a tool.
func toolCall(tool string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `","arguments":{}}}`
}

// Matchers need no front door. Before one, they read what a stranger may send, and
// the front door and the server still get every byte.
func TestMatchersAlone(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var bodies []string
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		bodies = append(bodies, fmt.Sprint(r.ContentLength, " ", string(body)))
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	}))
	t.Cleanup(behind.Close)
	f := startFakeIssuer(t)
	c := startCaddy(t, f.fill(strings.ReplaceAll(`
	@delete mcp_tool delete_*
	header @delete X-Deletes yes
	handle /open {
		@both expression mcp_tool('get_*') || mcp_method('ping')
		respond @both "{http.mcp.method} {http.mcp.name}"
		reverse_proxy BEHIND
	}
	mcp_auth /mcp* SITE/mcp {
		issuer ISSUER
		tools get_* delete_*
	}
	handle {
		@get mcp_tool get_*
		header @get X-Gets yes
		reverse_proxy BEHIND
	}
`, "BEHIND", behind.Listener.Addr().String())))
	do := func(path, body string) answer {
		return c.do("POST", path, body, "Content-Type", "application/json", "Accept", "application/json, text/event-stream",
			"Authorization", "Bearer "+f.token(c, nil))
	}
	for _, test := range []struct {
		path, body string
		status     int
		answer     string
	}{
		{"/open", toolCall("get_x"), 200, "tools/call get_x"},
		{"/open", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, 200, "ping "},
		{"/open", "{", 400, ""},
		{"/open", toolCall(strings.Repeat("x", 64<<10)), 413, ""},
		{"/mcp", toolCall(strings.Repeat("x", 64<<10)), 413, ""},
	} {
		if got := do(test.path, test.body); got.status != test.status || got.body != test.answer {
			t.Errorf("%s %.60s: got %d %q, want %d %q", test.path, test.body, got.status, got.body, test.status, test.answer)
		}
	}
	// With blanks, and an id that only a copy of the bytes keeps.
	body := " { \"jsonrpc\" : \"2.0\", \"id\":9007199254740993, \"method\":\"tools/call\",\n\"params\":{\"name\":\"delete_x\",\"arguments\":{\"n\":1.0e2}}}\n"
	for _, path := range []string{"/open", "/mcp"} {
		mu.Lock()
		bodies = nil
		mu.Unlock()
		got := do(path, body)
		mu.Lock()
		if want := []string{fmt.Sprint(len(body), " ", body)}; got.status != 200 || got.header.Get("X-Deletes") != "yes" || !slices.Equal(bodies, want) {
			t.Errorf("%s: got %d with %q, and the server %q, want %q", path, got.status, got.header, bodies, want)
		}
		mu.Unlock()
	}
	if got := do("/mcp", toolCall("get_x")); got.status != 200 || got.header.Get("X-Gets") != "yes" || got.header.Get("X-Deletes") != "" {
		t.Errorf("another tool: got %d with %q", got.status, got.header)
	}
	// Nothing is logged twice, by the door or a matcher.
	c.logs(`"mcp_name":"\"get_x\""`)
	for line := range strings.Lines(c.log.String()) {
		if strings.Count(line, `"mcp_method"`) > 1 || strings.Count(line, `"mcp_name"`) > 1 {
			t.Errorf("a field twice: %s", line)
		}
	}
}

// A limit per user for one tool, with a rate limiter of other people's.
func TestRateLimitOfTool(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "docs", "matchers.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?ms)^```\n(mcp.example.com .*?rate_limit.*?)^```").FindSubmatch(page)
	if block == nil {
		t.Fatal("the manual has no example with rate_limit")
	}
	c := newCaddy(t)
	c.binary = withModule(t, "github.com/mholt/caddy-ratelimit", "v0.1.0")
	f := startFakeIssuer(t)
	c.start(c.caddyfile(f.fill(directives(t, string(block[1]), toolServer(t, "main", "render_map", "get_user")))))

	call := func(user, tool string) error {
		_, err := signedIn(t, c, f.token(c, map[string]any{"sub": user})).CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: map[string]any{}})
		return err
	}
	for i := range 5 {
		if err := call("alice", "render_map"); err != nil {
			t.Fatalf("call %d: %v", i+1, err)
		}
	}
	if err := call("alice", "render_map"); err == nil {
		t.Error("the sixth call within a minute was answered")
	}
	if err := call("alice", "get_user"); err != nil {
		t.Errorf("another tool: %v", err)
	}
	if err := call("bob", "render_map"); err != nil {
		t.Errorf("another user: %v", err)
	}
	c.logs(`"status":429`)
}

// withModule returns a Caddy with our modules and another one, built as xcaddy does.
// If the module can't be had, the test is skipped.
func withModule(t *testing.T, path, version string) string {
	t.Helper()
	checkout, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	main := fmt.Sprintf("package main\n\nimport (\n\tcaddycmd \"github.com/caddyserver/caddy/v2/cmd\"\n\t_ \"github.com/caddyserver/caddy/v2/modules/standard\"\n\n\t_ %q\n\t_ %q\n)\n\nfunc main() { caddycmd.Main() }\n", module, path)
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(main), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) ([]byte, error) {
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
		return cmd.CombinedOutput()
	}
	for _, args := range [][]string{
		{"mod", "init", "caddy"},
		{"mod", "edit", "-replace", module + "=" + checkout, "-require", module + "@v0.0.0"},
	} {
		if out, err := run(args...); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	if out, err := run("mod", "download", path+"@"+version); err != nil {
		skip(t, fmt.Sprintf("%s can't be downloaded: %s", path, lastLine(string(out))))
	}
	binary := filepath.Join(dir, "caddy")
	for _, args := range [][]string{
		{"get", path + "@" + version},
		{"mod", "tidy"},
		{"build", "-o", binary, "."},
	} {
		if out, err := run(args...); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	return binary
}
