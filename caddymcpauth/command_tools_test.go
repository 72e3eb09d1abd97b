package caddymcpauth_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/adapttest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
)

// listingServer is an MCP server that answers tools/list with the results of list,
// for a cursor, and keeps the Authorization headers that it gets.
func listingServer(t *testing.T, list func(cursor string) string) (url string, tokens func() []string) {
	t.Helper()
	var mu sync.Mutex
	var got []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		got = append(got, r.Header.Get("Authorization"))
		mu.Unlock()
		var m struct {
			ID     json.RawMessage
			Method string
			Params struct{ Cursor, ProtocolVersion string }
		}
		body, _ := io.ReadAll(r.Body)
		if r.Method != "POST" || json.Unmarshal(body, &m) != nil {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		var result string
		switch {
		case m.ID == nil:
			w.WriteHeader(http.StatusAccepted)
			return
		case m.Method == "initialize":
			result = `{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"x","version":"1"}}`
		case m.Method == "tools/list":
			result = list(m.Params.Cursor)
		default:
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"unknown"}}`, m.ID)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, result)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/mcp", func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(got)
	}
}

// aTool is a tool in a list.
func aTool(name string, readOnly bool) string {
	text, _ := json.Marshal(name)
	return fmt.Sprintf(`{"name":%s,"inputSchema":{"type":"object"},"annotations":{"readOnlyHint":%t}}`, text, readOnly)
}

func listOf(tools ...string) func(string) string {
	return func(string) string { return `{"tools":[` + strings.Join(tools, ",") + `]}` }
}

// What the caller is shown stands beside what the server has, page by page, in a form
// that no text of a server can leave.
func TestToolsCommand(t *testing.T) {
	t.Parallel()
	shown, tokens := listingServer(t, func(cursor string) string {
		if cursor == "" {
			return `{"tools":[` + aTool("get_x", true) + `],"nextCursor":"2"}`
		}
		return `{"tools":[{"name":"own","description":"a\u001b[31m red\nline","inputSchema":{"type":"object"}}]}`
	})
	behind, tokensBehind := listingServer(t, listOf(aTool("delete_x", false), aTool("get_x", true), aTool("get\x1b]0;x\a", true)))
	code, out, errs := command(t, "Bearer secret\n", "tools", shown, "--token", "-", "--server", behind)
	want := fmt.Sprintf("%q shows 2 tools to this caller\n%q has 3 tools\n\n", shown, behind) +
		"shown   only reads  \"get_x\"\n" +
		"extra               \"own\"  \"a\\x1b[31m red\\nline\"\n" +
		"hidden              \"delete_x\"\n" +
		"hidden  only reads  \"get\\x1b]0;x\\a\"\n"
	if code != 0 || out != want || errs != "" {
		t.Errorf("got %d\n%s%s\nwant\n%s", code, out, errs, want)
	}
	for _, token := range tokens() {
		if token != "Bearer secret" {
			t.Errorf("the resource got the token %q", token)
		}
	}
	for _, token := range tokensBehind() {
		if token != "" {
			t.Errorf("the server behind got the token %q", token)
		}
	}

	code, out, _ = command(t, "", "tools", shown, "--server", behind, "--json")
	var list []struct {
		Name             string
		Shown, Behind    bool
		ReadOnly         bool `json:"read_only"`
		DescriptionIsNot any  `json:"Description"`
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 || len(list) != 4 || !list[0].Shown || !list[0].Behind || !list[0].ReadOnly || list[1].Behind || list[2].Shown {
		t.Errorf("JSON: got %d, %v\n%s", code, err, out)
	}
	code, out, _ = command(t, "", "tools", shown)
	if code != 0 || !strings.Contains(out, "2 tools to a caller without a token") || strings.Contains(out, "hidden") {
		t.Errorf("without more: got %d\n%s", code, out)
	}
}

// What goes wrong is said with its cure, and without escapes of a server's.
func TestToolsCommandErrors(t *testing.T) {
	t.Parallel()
	answers := func(status int, body string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}))
		t.Cleanup(s.Close)
		return s.URL + "/mcp"
	}
	good, _ := listingServer(t, listOf(aTool("x", true)))
	endless, _ := listingServer(t, func(string) string { return `{"tools":[],"nextCursor":"again"}` })
	many, _ := listingServer(t, listOf(slices.Repeat([]string{aTool("x", true)}, 2001)...))
	large, _ := listingServer(t, listOf(aTool(strings.Repeat("x", 9<<20), true)))
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, test := range []struct {
		name, stdin string
		args        []string
		code        int
		want        string
	}{
		{"no token", "", []string{answers(401, "")}, 1, "--token -"},
		{"a token that isn't taken", "x", []string{answers(401, ""), "--token", "-"}, 1, "caddy mcp-auth explain"},
		{"a token that isn't enough", "x", []string{answers(403, ""), "--token", "-"}, 1, "says what is missing"},
		{"no MCP server", "", []string{answers(404, "\x1b[31mno\n")}, 1, "with its path"},
		{"a web page", "", []string{answers(200, "<html>")}, 1, "not with a list"},
		{"a redirect", "x", []string{answers(302, ""), "--token", "-"}, 1, "with its path"},
		{"a broken server", "", []string{answers(502, "")}, 1, "see its log"},
		{"nothing there", "", []string{gone.URL + "/mcp"}, 1, "start the server"},
		{"nothing behind", "", []string{good, "--server", gone.URL}, 1, "start the server"},
		{"endless pages", "", []string{endless}, 1, "pages of them"},
		{"too many", "", []string{many}, 1, "more than 2000 tools"},
		{"too large", "", []string{large}, 1, "not with a list"},
		{"no URL", "", nil, 2, "accepts 1 arg"},
		{"http", "", []string{"http://mcp.example.com/mcp"}, 2, "not https"},
		{"a token on the command line", "", []string{good, "--token", "secret"}, 2, "takes only -"},
		{"an empty token", "", []string{good, "--token", ""}, 2, "takes only -"},
		{"no token on stdin", "", []string{good, "--token", "-"}, 2, "no token on stdin"},
		{"a server without scheme", "", []string{good, "--server", "127.0.0.1:3000"}, 2, "write it with its path"},
		{"a server of nothing", "", []string{good, "--server", ""}, 2, "write it with its path"},
		{"no time", "", []string{good, "--timeout", "0s"}, 2, "not positive"},
		{"no such file", "", []string{good, "--ca", "/nonexistent"}, 2, "--ca"},
		{"both forms", "", []string{good, "--policy", "--json"}, 1, "none of the others"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := command(t, test.stdin, append([]string{"tools"}, test.args...)...)
			if code != test.code || !strings.Contains(errs, test.want) || strings.Contains(errs, "secret") || strings.Contains(errs+out, "\x1b") {
				t.Errorf("got %d %q, want %d and %q", code, errs, test.code, test.want)
			}
		})
	}
}

// The printed rules are valid as they stand, whatever a server calls its tools: they
// open what only reads and close the rest.
func TestToolsSkeleton(t *testing.T) {
	t.Setenv("SECRET", "\n}\n")
	readOnly := map[string]bool{
		"get_user": true, "get_team": true, "list-all": true, "search": true,
		"delete_user": false, "delete_team": false, "drop": false,
		"db_read": true, "db_drop": false, "db.x": true, "getUser": true, "a/b": false, "_": true, "_x": true,
		"greet (structured)": true, "need": true, "nobody": false, "import": true, "#x": true, `say "hi"`: false, `back\slash`: true,
		"größe": true, "<<EOF": false, "and": true,
		// These can't be named.
		"a*b": true, "{$SECRET}": true, "{env.SECRET}": true, "a,b": true, "tick`": true, "": true, "line\nbreak": true, "\x1b[31m": true,
		"get_{user}": true, "list-a,b": true,
		strings.Repeat("x", 201): true,
	}
	var list []string
	for name, hint := range readOnly {
		list = append(list, aTool(name, hint))
	}
	server, _ := listingServer(t, listOf(append(list, aTool("drop", true))...))
	for _, args := range [][]string{{server}, {server, "--server", server}} {
		code, out, errs := command(t, "", append([]string{"tools", "--policy"}, args...)...)
		if code != 0 || errs != "" {
			t.Fatalf("got %d %s", code, errs)
		}
		for name, hint := range readOnly {
			say := "may change things"
			if hint {
				say = "only reads"
			}
			if name == "get_user" || name == "delete_user" {
				if !strings.Contains(out, fmt.Sprintf("\t\t# %q %s\n", name, say)) {
					t.Errorf("it doesn't say that %s %s", name, say)
				}
			}
		}
		// One address can't be both protected and behind.
		raw, warnings, err := adapttest.Adapt(strings.Replace(out, "http://127.0.0.1:", "http://localhost:", 2))
		if err != nil || len(warnings) > 0 {
			t.Fatalf("%v, %v\n%s", err, warnings, out)
		}
		if err := adapttest.Validate(t, raw); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		_, text, _ := strings.Cut(string(raw), `"handler":"mcp_auth"`)
		_, text, found := strings.Cut(text, `"tools":`)
		var lines []policy.Line
		if err := json.NewDecoder(strings.NewReader(text)).Decode(&lines); err != nil || !found {
			t.Fatalf("%v in %s", err, raw)
		}
		rules, _, err := policy.Compile(policy.Rules{Tools: lines})
		if err != nil {
			t.Fatal(err)
		}
		unnamable := []string{"a*b", "{$SECRET}", "{env.SECRET}", "a,b", "tick`", "", "line\nbreak", "\x1b[31m", "get_{user}", "list-a,b", strings.Repeat("x", 201)}
		for name, hint := range readOnly {
			want := hint && !slices.Contains(unnamable, name)
			got := rules.Decide(&policy.Caller{Subject: "alice"}, &mcp.Message{Method: "tools/call", Kind: mcp.Tool, Name: name}).Outcome == policy.Allowed
			if got != want {
				t.Errorf("%q is open: %t, want %t", name, got, want)
			}
		}
	}

	// A server without tools has rules too.
	none, _ := listingServer(t, listOf())
	_, out, _ := command(t, "", "tools", none, "--policy")
	if raw, _, err := adapttest.Adapt(strings.Replace(out, "http://127.0.0.1:", "http://localhost:", 2)); err != nil || !strings.Contains(string(raw), `"nobody":true`) {
		t.Errorf("without tools: %v\n%s", err, out)
	}
}
