package pages_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pages"
)

// What is to be copied and clicked is what the clients document.
func TestLandingWays(t *testing.T) {
	t.Parallel()
	got := get(t, everyPage()["landing"], http.StatusUnauthorized)
	texts := map[string]string{
		"address": "https://mcp.example/mcp",
		"claude":  "claude mcp add --transport http files-of-acme https://mcp.example/mcp\nclaude mcp login files-of-acme",
		"codex":   "codex mcp add files-of-acme --url https://mcp.example/mcp\ncodex mcp login files-of-acme",
		"vscode": `{
  "servers": {
    "files-of-acme": {
      "type": "http",
      "url": "https://mcp.example/mcp"
    }
  }
}`,
		"cursor": `{
  "mcpServers": {
    "files-of-acme": {
      "url": "https://mcp.example/mcp"
    }
  }
}`,
		"inspector": "npx @modelcontextprotocol/inspector --cli https://mcp.example/mcp --transport http --method tools/list",
	}
	buttons := map[string]bool{}
	for _, n := range got.all("button") {
		id, _ := attr(n, "data-copy")
		buttons[id] = true
		if _, hidden := attr(n, "hidden"); !hidden {
			t.Errorf("the button for %s shows without a script", id)
		}
	}
	for id, want := range texts {
		nodes := got.with("id", id)
		if len(nodes) != 1 || nodes[0].FirstChild == nil || nodes[0].FirstChild.Data != want {
			t.Errorf("%s: got %v, want %s", id, nodes, want)
		}
		if !buttons[id] {
			t.Errorf("%s has no button to copy it", id)
		}
	}
	links := map[string]string{}
	for _, n := range got.all("a") {
		href, _ := attr(n, "href")
		links[text(n)] = href
	}
	if got := links["See which applications have access in your name"]; got != "https://mcp.example/oauth/account" {
		t.Errorf("the account page is at %q", got)
	}
	if got := links["What this server does"]; got != "https://docs.example/files" {
		t.Errorf("the documentation is at %q", got)
	}
	config, err := url.PathUnescape(strings.TrimPrefix(links["Install in VS Code"], "vscode:mcp/install?"))
	if want := `{"name":"files-of-acme","type":"http","url":"https://mcp.example/mcp"}`; err != nil || config != want {
		t.Errorf("VS Code is told %q %v, want %s", config, err, want)
	}
	u, err := url.Parse(links["Install in Cursor"])
	if err != nil || u.Scheme != "cursor" || u.Host != "anysphere.cursor-deeplink" || u.Path != "/mcp/install" || u.Query().Get("name") != "files-of-acme" {
		t.Fatalf("got %v %v for Cursor", u, err)
	}
	if config, err := base64.StdEncoding.DecodeString(u.Query().Get("config")); err != nil || string(config) != `{"url":"https://mcp.example/mcp"}` {
		t.Errorf("Cursor is told %q %v", config, err)
	}
}

func TestLandingNames(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		server pages.Server
		want   string // what it is called in a shell
	}{
		{"its own name", pages.Server{URL: "https://mcp.example/mcp", Name: "Who am I?"}, "who-am-i https://mcp.example/mcp\n"},
		{"an apostrophe", pages.Server{URL: "https://mcp.example/mcp", Name: "Acme’s files"}, "acmes-files https://mcp.example/mcp\n"},
		{"no name", pages.Server{URL: "https://mcp.example.com:8443/mcp"}, "mcp-example-com https://mcp.example.com:8443/mcp\n"},
		{"a name of other letters", pages.Server{URL: "http://127.0.0.1/mcp", Name: "Файлы"}, "127-0-0-1 http://127.0.0.1/mcp\n"},
		{"neither", pages.Server{URL: "http://[::]/", Name: "—"}, "mcp-server http://[::]/\n"},
		{"a long name", pages.Server{URL: "https://x.example/", Name: strings.Repeat("long ", 20)}, "long-long-long-long-long-long-long-long https://x.example/\n"},
		{"a shell's own characters", pages.Server{URL: "https://x.example/$(id)", Name: "$(id)"}, "id 'https://x.example/$(id)'\n"},
		{"quotes", pages.Server{URL: "https://x.example/a'b", Name: "'; id; '"}, `id 'https://x.example/a'\''b'` + "\n"},
	} {
		got := get(t, pages.Landing{Server: test.server}, http.StatusUnauthorized)
		line := got.with("id", "claude")[0].FirstChild.Data
		if !strings.HasPrefix(line, "claude mcp add --transport http "+test.want) {
			t.Errorf("%s: got %q, want %q", test.name, line, test.want)
		}
	}
}

// The script is the one that was reviewed, as it is: nothing of a page gets into it.
func TestLandingScript(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile("html/copy.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"landing", "landing, empty", "landing, hostile"} {
		scripts := get(t, everyPage()[name], http.StatusOK).all("script")
		if len(scripts) != 1 || scripts[0].FirstChild.Data != string(want) {
			t.Errorf("%s: the script isn't html/copy.js", name)
		}
	}
	got := get(t, everyPage()["landing, hostile"], http.StatusOK)
	if strings.Contains(got.body, "javascript:") {
		t.Error("the page links to a script")
	}
}
