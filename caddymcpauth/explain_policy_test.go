package caddymcpauth_test

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestExplainPolicy(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	site := "http://mcp.example.com {\n" + frontDoor(issuer.Issuer()+" {\njwt\nstatic {\nkey ci "+hashOf("test")+" mcp:read\n}\n}", rules) + "\n}\n"
	member := issuer.Mint(map[string]any{"scope": "mcp:read", "groups": []string{"acme"}})
	for _, tc := range []struct {
		name, token string
		args        []string
		code        int
		want        string
	}{
		{"the first request", member, nil, 0, "no rule is about it, so every caller that gets in may"},
		{"allowed", member, []string{"--tool", "get_x"}, 0, "ok    rules               tools line 2 (tools get_*): allowed"},
		{"a scope", member, []string{"--tool", "delete_x"}, 1, "FAIL  rules               tools line 3 (tools delete_* need scope mcp:delete or claim groups admins): a scope is missing; missing scope mcp:delete"},
		{"what the client gets", member, []string{"--tool", "delete_x"}, 1, `refused: the client gets 403 insufficient_scope: To use the tool "delete_x", the access token needs the scope mcp:delete.`},
		{"nobody", member, []string{"--tool", "debug_x"}, 1, `refused: the client gets 200 with the JSON-RPC error 403: You may not use the tool "debug_x".`},
		{"arguments", member, []string{"--tool", "transfer", "--args", `{"amount":5000}`}, 1, "the expression of when isn't true"},
		{"no arguments", member, []string{"--tool", "transfer"}, 1, "no such key: amount"},
		{"folded", member, []string{"--tool", "Debug_x"}, 1, "but for letter case, width or blanks"},
		{"a prompt", member, []string{"--prompt", "bye"}, 1, "there are lines of this kind, and none names it"},
		{"a resource", member, []string{"--uri", "file:///public/../x"}, 1, "not in normal form"},
		{"a method", member, []string{"--method", "acme/export"}, 1, "missing claim groups admins"},
		{"an unknown method", member, []string{"--method", "acme/x"}, 1, "-> write a line that names it"},
		{"require", issuer.Mint(map[string]any{"scope": "mcp:read"}), []string{"--tool", "get_x"}, 1, "require line 1 (require claim groups acme or key ci): a condition of require doesn't hold; missing claim groups acme or key ci"},
		{"a key", "test", []string{"--tool", "delete_x"}, 1, "-> add the scope to the line of the API key"},
		{"a message that can't be read", member, []string{"--method", "notifications/x"}, 1, "FAIL  message"},
		{"arguments that can't be read", member, []string{"--tool", "x", "--args", "{"}, 2, ""},
		{"arguments of nothing", member, []string{"--uri", "x:y", "--args", "{}"}, 2, ""},
		{"two things", member, []string{"--tool", "x", "--prompt", "y"}, 2, ""},
	} {
		code, out, stderr := explain(t, site, tc.token, tc.args...)
		if code != tc.code || !strings.Contains(out, tc.want) {
			t.Errorf("%s: got %d and\n%s%s\nwant %d and in it %q", tc.name, code, out, stderr, tc.code, tc.want)
		}
	}
	_, out, _ := explain(t, site, member, "--tool", "debug_x", "--json")
	var said []struct {
		Status   int  `json:"status"`
		Denied   bool `json:"denied"`
		RPCError int  `json:"rpc_error"`
	}
	if err := json.Unmarshal([]byte(out), &said); err != nil || len(said) != 1 || !said[0].Denied || said[0].RPCError != 403 || said[0].Status != 200 {
		t.Errorf("got %+v, %v of %s", said, err, out)
	}
}

func TestExplainRules(t *testing.T) {
	t.Parallel()
	code, out, _ := explain(t, "http://mcp.example.com {\n"+frontDoor("https://as.example.com", "require claim groups acme\ntools debug_*   nobody\ntools * need scope `mcp:write` and not claim groups \"not\"\nmethods acme/x")+"\n}\n", "", "--rules")
	want := `MCP server https://mcp.example.com/mcp

require:1    require claim groups acme
tools:1      tools debug_* nobody
tools:2      tools * need scope mcp:write and not claim groups ` + "`not`" + `
tools        what no line names is denied
prompts      no lines: every prompt is open to every caller that gets in
resources    no lines: every resource is open to every caller that gets in
methods:1    methods acme/x
methods      the base protocol, the lists and tasks are open unless a line names them; others are denied
`
	if code != 0 || out != want {
		t.Errorf("got %d and\n%s\nwant\n%s", code, out, want)
	}
	// What is open without a token, and what clients ask for when they sign in.
	code, out, _ = explain(t, "http://mcp.example.com {\n"+frontDoor("https://as.example.com", "scopes mcp:read\noffer mcp:extra\nrequire scope a b or scope mcp:use\nanonymous\ntools docs_* anonymous\ntools get_*")+"\n}\n", "", "--rules")
	want = `MCP server https://mcp.example.com/mcp

anonymous    the base protocol and the lists are open without a token
sign-in      clients that sign in are asked for: mcp:read mcp:use mcp:extra
require:1    require scope a b or scope mcp:use
tools:1      tools docs_* anonymous
tools:2      tools get_*
tools        what no line names is denied
prompts      no lines: every prompt is open to every caller that gets in
resources    no lines: every resource is open to every caller that gets in
methods      the base protocol, the lists and tasks are open unless a line names them; others are denied
`
	if code != 0 || out != want {
		t.Errorf("with anonymous: got %d and\n%s\nwant\n%s", code, out, want)
	}
	if code, out, _ := explain(t, "http://mcp.example.com {\n"+frontDoor("https://as.example.com", "")+"\n}\n", "", "--rules"); code != 0 || !strings.Contains(out, "no rules") {
		t.Errorf("without rules: got %d and %s", code, out)
	}
}

// The command says of a call what the front door does with it.
func TestExplainPolicyAgrees(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	door := frontDoor(issuer.Issuer()+" {\njwt\nstatic {\nkey ci "+hashOf("test")+" mcp:read\n}\n}", rules)
	s := serve(t, door, nil)
	for _, claims := range []map[string]any{
		{"scope": "mcp:read", "groups": []string{"acme"}},
		{"scope": "mcp:read mcp:write", "groups": []string{"acme", "admins"}},
		{"scope": "mcp:read"},
	} {
		raw := issuer.Mint(claims)
		for _, tool := range []string{"debug_x", "get_x", "delete_x", "transfer", "Other", "x"} {
			got := s.post(t, raw, toolCall(tool, `{"amount":3}`))
			_, out, stderr := explain(t, "http://mcp.example.com {\n"+door+"\n}\n", raw, "--tool", tool, "--args", `{"amount":3}`, "--json")
			var said []struct {
				Status   int
				Denied   bool
				Sentence string `json:"error_description"`
			}
			if err := json.Unmarshal([]byte(out), &said); err != nil || len(said) != 1 {
				t.Fatalf("%s: got %v, %s%s", tool, err, out, stderr)
			}
			if said[0].Denied == (got.body == "served") || said[0].Status != got.StatusCode {
				t.Errorf("%v %s: explained as %+v, answered with %d %s", claims, tool, said[0], got.StatusCode, got.body)
			}
		}
	}
}
