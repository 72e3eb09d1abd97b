package pages

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"strings"
)

// Landing is the page for a person who opens the address of an MCP server in a
// browser: what it is, and how to connect to it. It is the one page with a script,
// which copies a text if a button is pressed. Without it, nothing is missing but
// these buttons.
type Landing struct {
	// Site is the host of the server, shown in the title and on top.
	Site string
	// Server is the MCP server. The texts to copy are made from its URL.
	Server Server
	// Documentation is the address of a page about the server; may be empty. It is
	// shown only if it begins with https://.
	Documentation string
	// Account is the address of the page on which users see which applications have
	// access in their name; may be empty. It is shown only if it is http or https.
	Account string
}

//go:embed html/copy.js
var copyScript string

// copyPolicy is the Content-Security-Policy of a page that runs the script, which is
// allowed by its hash as the style is.
var copyPolicy = func() string {
	hash := sha256.Sum256([]byte(copyScript))
	return basePolicy + "; script-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'; form-action 'none'"
}()

var landing = parse("landing.html")

// Write renders the page with the given status.
func (p Landing) Write(w http.ResponseWriter, status int) {
	if !strings.HasPrefix(p.Documentation, "https://") {
		p.Documentation = ""
	}
	if !strings.HasPrefix(p.Account, "https://") && !strings.HasPrefix(p.Account, "http://") {
		p.Account = ""
	}
	write(w, status, copyPolicy, landing, struct {
		Landing
		Script  template.JS
		Clients []way
	}{p, template.JS(copyScript), p.ways()}) //nolint:gosec // the script is ours
}

// way is how to connect with a client.
type way struct {
	ID, Client string
	// Install is a link that the client opens; may be empty.
	Install template.URL
	// Where says where the text goes.
	Where string
	Text  string
}

// ways returns how to connect with the clients that people use most.
func (p Landing) ways() []way {
	name, address := p.Server.shortName(), shellWord(p.Server.URL)
	type entry struct {
		Name string `json:"name,omitempty"`
		Type string `json:"type,omitempty"`
		URL  string `json:"url"`
	}
	return []way{
		{
			ID: "claude", Client: "Claude Code", Where: "In a terminal:",
			Text: "claude mcp add --transport http " + name + " " + address + "\nclaude mcp login " + name,
		},
		{
			ID: "vscode", Client: "VS Code", Where: "Or in .vscode/mcp.json:",
			// As documented for extensions' and servers' web sites.
			Install: template.URL("vscode:mcp/install?" + component(encoded(entry{name, "http", p.Server.URL}, ""))), //nolint:gosec // escaped
			Text:    encoded(map[string]any{"servers": map[string]any{name: entry{Type: "http", URL: p.Server.URL}}}, "  "),
		},
		{
			ID: "cursor", Client: "Cursor", Where: "Or in .cursor/mcp.json:",
			Install: template.URL("cursor://anysphere.cursor-deeplink/mcp/install?name=" + component(name) + //nolint:gosec // escaped
				"&config=" + component(base64.StdEncoding.EncodeToString([]byte(encoded(entry{URL: p.Server.URL}, ""))))),
			Text: encoded(map[string]any{"mcpServers": map[string]any{name: entry{URL: p.Server.URL}}}, "  "),
		},
		{
			ID: "codex", Client: "Codex", Where: "In a terminal:",
			Text: "codex mcp add " + name + " --url " + address + "\ncodex mcp login " + name,
		},
		{
			ID: "inspector", Client: "MCP Inspector", Where: "In a terminal, to look at its tools:",
			Text: "npx @modelcontextprotocol/inspector --cli " + address + " --transport http --method tools/list",
		},
	}
}

// maxShortName bounds what clients are told to call a server.
const maxShortName = 40

// shortName is what clients are told to call the server: its name in lowercase
// letters, digits and hyphens, which no shell and no client reads as anything
// else; or else its host.
func (s Server) shortName() string {
	if short := slug(s.Name); short != "" {
		return short
	}
	if u, err := url.Parse(s.URL); err == nil {
		if short := slug(u.Hostname()); short != "" {
			return short
		}
	}
	return "mcp-server"
}

func slug(s string) string {
	s = strings.NewReplacer("'", "", "’", "").Replace(s)
	words := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	short := strings.Join(words, "-")
	if len(short) > maxShortName {
		short = strings.TrimRight(short[:maxShortName], "-")
	}
	return short
}

// shellWord returns s as one word of a shell.
func shellWord(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._/:@%+,[]", r)
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// component escapes s as encodeURIComponent does, as the clients expect it: with %20
// for a space.
func component(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

func encoded(v any, indent string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetIndent("", indent)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // only strings, which can be encoded
	return strings.TrimSpace(b.String())
}
