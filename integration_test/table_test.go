//go:build clients && unix

package integration_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// update writes the table of docs/clients.md rather than comparing it.
var update = flag.Bool("update", false, "write the table of docs/clients.md")

// driver makes a client do what its user would.
type driver interface {
	// signIn signs the user in, by the command that the client has for it; for a
	// client that has none, by starting a session. With scopes, it asks for these,
	// if it can.
	signIn(scopes ...string)
	// session makes the calls of the play, in one session.
	session(p *play)
}

// forgetful is a driver of a client that remembers by what it identified itself,
// until its user tells it to forget that.
type forgetful interface{ forget() }

// tableClient is a row of the table.
type tableClient struct {
	name string // as in the table, without the version
	pkg  string // its package, of npm or Go
	sit  func(s *seat) driver
	// scopes is set if its user can name scopes to sign in with, and memory if what
	// lasts is up to the program that is made with it.
	scopes, memory bool
	// stateless is set if it needs a server of revision 2026-07-28.
	stateless bool
}

// tableClients are the rows.
var tableClients = []tableClient{
	{name: "Inspector CLI", pkg: "@modelcontextprotocol/inspector", sit: sitInspector("auto")},
	{name: "Inspector CLI, legacy era", pkg: "@modelcontextprotocol/inspector", sit: sitInspector("legacy")},
	{name: "Inspector CLI, modern era", pkg: "@modelcontextprotocol/inspector", sit: sitInspector("modern"), stateless: true},
	{name: "Inspector web", pkg: "@modelcontextprotocol/inspector", sit: sitInspectorWeb},
	{name: "TypeScript SDK v1", pkg: "@modelcontextprotocol/sdk", sit: sitScript("client-v1.mjs"), memory: true},
	{name: "TypeScript SDK v2", pkg: "@modelcontextprotocol/client", sit: sitScript("client-v2.mjs"), memory: true},
	{name: "Go SDK", pkg: "github.com/modelcontextprotocol/go-sdk", sit: sitGo, memory: true},
	{name: "Claude Code", pkg: "@anthropic-ai/claude-code", sit: sitClaude},
	{name: "Claude Code in a terminal", pkg: "@anthropic-ai/claude-code", sit: sitClaudeTerminal},
	{name: "codex", pkg: "@openai/codex", sit: sitCodex, scopes: true},
	{name: "opencode", pkg: "opencode-linux-x64", sit: sitOpencode},
	{name: "Copilot CLI", pkg: "@github/copilot", sit: sitCopilot},
	{name: "Gemini CLI", pkg: "@google/gemini-cli", sit: sitGemini},
	{name: "mcp-remote", pkg: "mcp-remote", sit: sitMCPRemote},
	{name: "mcporter", pkg: "mcporter", sit: sitMCPorter},
	{name: "mcpc", pkg: "@apify/mcpc", sit: sitMCPC, scopes: true},
}

// column is a column of the table.
type column struct {
	name string
	// words replace others in the site.
	words []string
	judge func(t *testing.T, c tableClient, s *seat, d driver) string
}

// What the cells say.
const (
	yes       = "yes"
	no        = "no"
	inSession = "in session"   // by itself, in the same session
	signsIn   = "sign in"      // when the user has signed in again
	named     = "named scopes" // when the user has named the scopes to sign in with
	nextTime  = "next session"
	dash      = "–" // up to the program
)

const short = 8 * time.Second

var columns = []column{
	{"identifies itself by", []string{"client_documents off", "client_documents {\nproxy http://127.0.0.1:9\ninsecure_allow_private\n}\n"}, judgeIdentity},
	{"signs in", nil, judgeSignIn},
	{"refreshes", []string{"LIFETIME", short.String()}, judgeRefresh},
	{"new scope for all", nil, judgeStepUp},
	{"scope for a tool", nil, judgeToolStepUp},
	{"with `offer`", []string{"scopes mcp:tools\n", "scopes mcp:tools\noffer mcp:delete\n"}, judgeOffer},
	{"lazy", []string{"scopes mcp:tools\n", "scopes mcp:tools\nanonymous\ntools table_look anonymous\n"}, judgeLazy},
	{"new tool", nil, judgeNewTool},
	{"client restarts", nil, judgeRestart},
	{"server restarts", nil, judgeServerRestart},
	{"revoked", []string{"LIFETIME", short.String()}, judgeRevoked},
}

// TestClientTable runs each client in each column and compares what it sees with
// the table of docs/clients.md, which it writes with -update.
func TestClientTable(t *testing.T) {
	needNode(t)
	file := filepath.Join("..", "docs", "clients.md")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	seen := readTable(t, string(text))
	for name := range seen {
		if !slices.ContainsFunc(tableClients, func(c tableClient) bool { return c.name == name }) {
			t.Errorf("docs/clients.md has a row %q that no test makes", name)
		}
	}
	for _, c := range tableClients {
		if seen[c.name] == nil {
			seen[c.name] = make(map[string]string)
		}
		t.Run(c.name, func(t *testing.T) {
			if _, err := os.Stat(filepath.Join(clientsDir, "node_modules", ".package-lock.json")); err != nil {
				t.Fatal("the clients are not installed: use `make test-clients`")
			}
			for _, column := range columns {
				t.Run(column.name, func(t *testing.T) {
					s := newSeat(t, c.stateless, column.words...)
					cell := column.judge(t, c, s, c.sit(s))
					if want := seen[c.name][column.name]; cell != want && !*update {
						t.Errorf("seen %q, and docs/clients.md says %q", cell, want)
					} else {
						t.Logf("seen: %s", cell)
					}
					seen[c.name][column.name] = cell
					if *update && !t.Failed() {
						replaceTable(t, file, writeTable(t, seen))
					}
				})
			}
		})
	}
	fmt.Print(writeTable(t, seen))
}
