package integration_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The example runs as it stands, but for the ports, although its issuer is away.
func TestExample(t *testing.T) {
	t.Parallel()
	c := newCaddy(t)
	text := c.example()
	c.start(text)

	if got := c.do("POST", "/mcp", initialize); got.status != 401 || got.challenge(t)["resource_metadata"] != c.URL+"/.well-known/oauth-protected-resource/mcp" {
		t.Errorf("/mcp: got %d %q, want 401 with the metadata's address", got.status, got.header)
	}
	if got := c.do("GET", "/.well-known/oauth-protected-resource/mcp", ""); got.status != 200 || !strings.Contains(got.body, `"http://127.0.0.1:9000"`) {
		t.Errorf("metadata: got %d %q, want 200 with the default issuer", got.status, got.body)
	}
	if resp := c.raw("GET /mcp HTTP/1.1\r\nHost: evil.example\r\n\r\n"); resp.StatusCode != 421 {
		t.Errorf("another host: got %d, want 421", resp.StatusCode)
	}
}

// With an authorization server at $MCP_ISSUER, a client signs in at the example.
func TestExampleSignsIn(t *testing.T) {
	t.Parallel()
	needNode(t)
	c := newCaddy(t)
	as := startAuthServer(t, "", map[string]any{
		"resources": map[string]any{c.URL + "/mcp": map[string]any{"scopes": []string{"mcp:tools"}}},
	})
	c.start(strings.ReplaceAll(c.example(), "{$MCP_ISSUER:http://127.0.0.1:9000}", as.Issuer))
	g := connectGoClient(t, c, c.URL+"/mcp")
	if who, err := g.whoami(); err != nil || who["sub"] != "ada" {
		t.Errorf("whoami says %v, %v, want ada", who, err)
	}
}

// example returns Caddyfile.example with its ports replaced by free ones.
func (c *caddyServer) example() string {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "Caddyfile.example"))
	if err != nil {
		c.t.Fatal(err)
	}
	_, port, _ := strings.Cut(c.Host, ":")
	replaced := strings.ReplaceAll(string(text), "8443", port)
	return strings.Replace(replaced, "\n{\n", "\n{\n\tadmin "+c.admin+"\n", 1)
}
