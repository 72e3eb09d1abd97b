package integration_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The example runs as it stands, but for the ports.
func TestExample(t *testing.T) {
	t.Parallel()
	c := newCaddy(t)
	c.start(c.example())

	if got := c.do("POST", "/mcp", initialize); got.status != 401 || got.challenge(t)["resource_metadata"] != c.URL+"/.well-known/oauth-protected-resource/mcp" {
		t.Errorf("/mcp: got %d %q, want 401 with the metadata's address", got.status, got.header)
	}
	if got := c.do("GET", "/.well-known/oauth-protected-resource/mcp", ""); got.status != 200 || !strings.Contains(got.body, `["`+c.URL+`"]`) {
		t.Errorf("metadata: got %d %q, want 200 with the example's own issuer", got.status, got.body)
	}
	for target, want := range map[string]int{"GET /": 302, "POST /": 404, "GET /sse": 404, "GET /foo": 404, "POST /foo": 404} {
		method, path, _ := strings.Cut(target, " ")
		if resp := c.raw(method + " " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"); resp.StatusCode != want {
			t.Errorf("%s: got %d, want %d", target, resp.StatusCode, want)
		}
	}
	if resp := c.raw("GET /mcp HTTP/1.1\r\nHost: evil.example\r\n\r\n"); resp.StatusCode != 421 {
		t.Errorf("another host: got %d, want 421", resp.StatusCode)
	}
}

// Without an account anywhere, anyone who has read the README signs in at the
// example.
func TestExampleSignsIn(t *testing.T) {
	t.Parallel()
	c := newCaddy(t)
	c.start(c.example())
	a := c.register(t, callback)
	p := c.person(t)
	tokens := a.signIn(p, "demo")
	if _, who := c.whoami(tokens.Access); who["sub"] != "demo" || who["name"] != "Demo User" {
		t.Errorf("whoami says %v, want demo", who)
	}
	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "**`demo`** with the password **`demo-password`**") {
		t.Error("the README doesn't tell the demo user's password")
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
