//go:build clients && unix

package integration_test

import (
	"fmt"
	"path/filepath"
	"strings"
)

// native returns the program of a client that npm has per platform. The script
// that would put it where the others are isn't run.
func (s *seat) native(pattern string) string {
	s.t.Helper()
	found, err := filepath.Glob(filepath.Join(clientsDir, "node_modules", filepath.FromSlash(pattern)))
	if err != nil || len(found) == 0 {
		s.t.Fatalf("%s is not installed: use `make test-clients`", pattern)
	}
	name, err := filepath.Abs(found[0])
	if err != nil {
		s.t.Fatal(err)
	}
	return name
}

// claude is Claude Code, which is asked once and answers.
type claude struct {
	*seat
	program string
	env     []string
}

func sitClaude(s *seat) driver {
	c := claude{s, s.native("@anthropic-ai/claude-code-*/claude"), []string{
		"ANTHROPIC_BASE_URL=" + s.model.URL, "ANTHROPIC_API_KEY=mock",
		"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_AUTOUPDATER=1", "DISABLE_TELEMETRY=1", "ENABLE_TOOL_SEARCH=false",
	}}
	c.run(c.env, c.program, "mcp", "add", "--transport", "http", "table", s.URL+"/mcp")
	return c
}

func (c claude) signIn(...string) { c.terminal(c.env, nil, nil, c.program, "mcp", "login", "table") }

func (c claude) forget() { c.run(c.env, c.program, "mcp", "logout", "table") }

func (c claude) session(*play) {
	c.run(c.env, c.program, "--allowedTools", "mcp__table", "-p", "go on")
}

// claudeTerminal is Claude Code in a terminal, where it can ask its user.
type claudeTerminal struct{ claude }

func sitClaudeTerminal(s *seat) driver {
	s.write(".claude.json", object{
		"hasCompletedOnboarding": true, "theme": "dark",
		"customApiKeyResponses": object{"approved": []string{"mock"}, "rejected": []string{}},
		"projects":              object{filepath.Join(s.home, "work"): object{"hasTrustDialogAccepted": true}},
	})
	return claudeTerminal{sitClaude(s).(claude)}
}

func (c claudeTerminal) session(p *play) {
	c.terminal(c.env, p, []reply{{"authenticatenow", "\r"}}, c.program, "--allowedTools", "mcp__table", "--", "go on")
}

// codex is OpenAI's.
type codex struct{ *seat }

func sitCodex(s *seat) driver {
	s.write(".codex/config.toml", fmt.Sprintf(`
model = "mock"
model_provider = "mock"
mcp_oauth_credentials_store = "file"
check_for_update_on_startup = false

[analytics]
enabled = false

[model_providers.mock]
name = "mock"
base_url = "%s/v1"
wire_api = "responses"

[mcp_servers.table]
url = "%s/mcp"
`, s.model.URL, s.URL))
	return codex{s}
}

func (c codex) signIn(scopes ...string) {
	args := []string{"mcp", "login", "table"}
	if len(scopes) > 0 {
		args = append(args, "--scopes", strings.Join(scopes, ","))
	}
	c.run(nil, "codex", args...)
}

func (c codex) session(*play) {
	c.run(nil, "codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "go on")
}

// opencode is another agent for terminals.
type opencode struct {
	*seat
	program string
	env     []string
}

func sitOpencode(s *seat) driver {
	s.write(".config/opencode/opencode.json", object{
		"model": "mock/mock", "small_model": "mock/mock", "autoupdate": false, "share": "disabled",
		"mcp": object{"table": object{"type": "remote", "url": s.URL + "/mcp", "enabled": true}},
		"provider": object{"mock": object{
			"npm": "@ai-sdk/openai-compatible", "options": object{"baseURL": s.model.URL + "/v1", "apiKey": "mock"},
			"models": object{"mock": object{"name": "mock", "tool_call": true}},
		}},
	})
	return opencode{s, s.native("opencode-linux-x64/bin/opencode"), []string{
		"OPENCODE_DISABLE_AUTOUPDATE=1", "OPENCODE_DISABLE_MODELS_FETCH=1", "OPENCODE_DISABLE_LSP_DOWNLOAD=1",
	}}
}

func (o opencode) signIn(...string) { o.run(o.env, o.program, "mcp", "auth", "table") }

func (o opencode) session(*play) { o.run(o.env, o.program, "run", "--auto", "go on") }

// copilot is GitHub's, with a model that isn't.
type copilot struct {
	*seat
	env []string
}

func sitCopilot(s *seat) driver {
	s.write(".copilot/mcp-config.json", object{"mcpServers": object{"table": object{"type": "http", "url": s.URL + "/mcp", "tools": []string{"*"}}}})
	return copilot{s, []string{
		"COPILOT_OFFLINE=true", "COPILOT_PROVIDER_BASE_URL=" + s.model.URL + "/v1", "COPILOT_MODEL=gpt-4.1", "COPILOT_AUTO_UPDATE=false", "COPILOT_ALLOW_ALL=true",
	}}
}

// signIn does nothing: a session does it.
func (c copilot) signIn(...string) {}

func (c copilot) session(p *play) {
	c.terminal(c.env, p, nil, "copilot", "--no-auto-update", "-i", "go on")
}

// gemini is Google's.
type gemini struct {
	*seat
	env []string
}

func sitGemini(s *seat) driver {
	s.write(".gemini/settings.json", object{
		"mcpServers": object{"table": object{"httpUrl": s.URL + "/mcp", "trust": true}},
		"security":   object{"auth": object{"selectedType": "gemini-api-key"}},
		"general":    object{"disableAutoUpdate": true, "enableAutoUpdate": false},
		"privacy":    object{"usageStatisticsEnabled": false},
		"telemetry":  object{"enabled": false},
	})
	return gemini{s, []string{"GEMINI_API_KEY=mock", "GOOGLE_GEMINI_BASE_URL=" + s.model.URL}}
}

func (g gemini) signIn(...string) {
	g.terminal(g.env, nil, []reply{{"[Y/n]", "y\r"}}, "gemini", "--skip-trust", "-p", "/mcp auth table")
}

func (g gemini) session(*play) {
	g.run(g.env, "gemini", "--skip-trust", "--yolo", "-m", "gemini-2.5-pro", "-p", "go on")
}
