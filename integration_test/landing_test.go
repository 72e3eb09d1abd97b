package integration_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// landed is what a person with a browser saw at the address of an MCP server.
type landed struct {
	URL, Title, Text, Vary, Challenge string
	Status                            int
	Copied                            map[string]string
	Wide                              bool
	Problems                          []string
}

// A person who opens the address of the example in a browser learns what it is, and
// how to connect to it.
func TestLandingInChromium(t *testing.T) {
	t.Parallel()
	needChromium(t)
	c := newCaddy(t)
	c.start(c.example())
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	cmd := node(ctx, c.CA, "landing.mjs", c.URL+"/")
	if dir := os.Getenv("SCREENSHOTS"); dir != "" {
		cmd.Env = append(cmd.Env, "SCREENSHOTS="+filepath.Join(dir, "landing"))
	}
	var got landed
	if err := json.Unmarshal(output(t, cmd), &got); err != nil {
		t.Fatal(err)
	}
	if got.URL != c.URL+"/mcp" || got.Status != 401 || got.Vary != "Accept" || !strings.HasPrefix(got.Challenge, "Bearer resource_metadata=") {
		t.Errorf("got %+v, want the resource, 401 and its challenge", got)
	}
	if !strings.HasPrefix(got.Text, "Who am I? ") || !strings.Contains(got.Text, "See which applications have access in your name") {
		t.Errorf("the page says %q", got.Text)
	}
	if got.Wide {
		t.Error("the page is wider than a narrow window")
	}
	for _, problem := range got.Problems {
		t.Errorf("the browser complained: %s", problem)
	}
	for id, want := range map[string]string{
		"address":   c.URL + "/mcp",
		"claude":    "claude mcp add --transport http who-am-i " + c.URL + "/mcp\nclaude mcp login who-am-i",
		"codex":     "codex mcp add who-am-i --url " + c.URL + "/mcp\ncodex mcp login who-am-i",
		"inspector": "npx @modelcontextprotocol/inspector --cli " + c.URL + "/mcp --transport http --method tools/list",
	} {
		if got.Copied[id] != want {
			t.Errorf("%s: %q was copied, want %q", id, got.Copied[id], want)
		}
	}
	if len(got.Copied) != 6 {
		t.Errorf("got %d texts to copy, want 6", len(got.Copied))
	}
}
