package caddymcpauth_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// rules are the rules of the tests.
const rules = `
	scopes mcp:read
	require   claim groups acme or key ci
	tools     debug_*     nobody
	tools     get_*
	tools     delete_*    need scope mcp:delete or claim groups admins
	tools     transfer    need scope mcp:pay when ` + "`arguments.amount <= 1000`" + `
	tools     *           need scope mcp:write and not key ci
	prompts   hello
	resources file:///public/*
	methods   acme/export need claim groups admins`

// rpc returns a request in JSON-RPC with the id 7.
func rpc(method, params string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":7,"method":%q,"params":%s}`, method, params)
}

func toolCall(name, arguments string) string {
	return rpc("tools/call", fmt.Sprintf(`{"name":%q,"arguments":%s}`, name, arguments))
}

// post sends a message.
func (s *site) post(t testing.TB, token, body string, headers ...string) answer {
	t.Helper()
	headers = append(headers, "Content-Type", "application/json", "Accept", "application/json, text/event-stream")
	return s.send(t, "POST", "/mcp", strings.NewReader(body), append(headers, bearer(token)...)...)
}

// rpcAnswer is what a client reads of an answer in JSON-RPC.
type rpcAnswer struct {
	ID     json.RawMessage
	Result json.RawMessage
	Error  *struct {
		Code    int
		Message string
	}
}

func TestPolicyAnswers(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	key := token.NewAPIKey()
	door := frontDoor(issuer.Issuer()+" {\njwt\nstatic {\nkey ci "+hashOf(key)+" mcp:read\n}\n}", rules)
	var seen string
	s := serve(t, door, func(w http.ResponseWriter, r *http.Request) error {
		body, err := io.ReadAll(r.Body)
		seen = string(body)
		_, _ = io.WriteString(w, "served")
		return err
	})
	mint := func(scope string, groups ...string) string {
		return issuer.Mint(map[string]any{"scope": scope, "groups": groups})
	}
	member, writer, admin := mint("mcp:read", "acme"), mint("mcp:read mcp:write", "acme"), mint("mcp:read", "acme", "admins")
	for _, tc := range []struct {
		name, token, body string
		status            int
		want              string // in the body
		scope             string // of the challenge; empty if there is none
	}{
		{"allowed", member, toolCall("get_x", `{}`), 200, "served", ""},
		{"the base protocol", member, rpc("initialize", `{}`), 200, "served", ""},
		{"a notification", member, `{"jsonrpc":"2.0","method":"notifications/initialized"}`, 200, "served", ""},
		{"a response", member, `{"jsonrpc":"2.0","id":1,"result":{}}`, 200, "served", ""},
		{
			"lacks a scope", member, toolCall("delete_x", `{}`), 403,
			`{"jsonrpc":"2.0","id":7,"error":{"code":403,"message":"To use the tool \"delete_x\", the access token needs the scope mcp:delete."}}`,
			"mcp:read mcp:delete",
		},
		{"lacks a scope, and has others", writer, toolCall("delete_x", `{}`), 403, `"code":403`, "mcp:read mcp:write mcp:delete"},
		{"a group instead", admin, toolCall("delete_x", `{}`), 200, "served", ""},
		{"nobody", member, toolCall("debug_x", `{}`), 200, `{"jsonrpc":"2.0","id":7,"error":{"code":403,"message":"You may not use the tool \"debug_x\"."}}`, ""},
		{"an expression", member, toolCall("transfer", `{"amount":5000}`), 200, `or not like this`, ""},
		{"an expression that is true", member, toolCall("transfer", `{"amount":5}`), 403, `needs the scope mcp:pay`, "mcp:read mcp:pay"},
		{"a prompt", member, rpc("prompts/get", `{"name":"bye"}`), 200, `You may not use the prompt \"bye\".`, ""},
		{"a resource", member, rpc("resources/read", `{"uri":"file:///public/x"}`), 200, "served", ""},
		{"a resource in another spelling", member, rpc("resources/read", `{"uri":"file:///public/../x"}`), 200, `write the URI in normal form`, ""},
		{"a name in another case", member, toolCall("Debug_x", `{}`), 200, `write the name exactly as the server does`, ""},
		{"a method", member, rpc("acme/export", `{}`), 200, `You may not use the method \"acme/export\".`, ""},
		{"a method, allowed", admin, rpc("acme/export", `{}`), 200, "served", ""},
		{"an unknown method", admin, rpc("acme/import", `{}`), 200, `You may not use the method`, ""},
		{"subscriptions name nothing", member, rpc("subscriptions/listen", `{"notifications":{"resourceSubscriptions":["file:///public/x","file:///secret"]}}`), 200, `You may not use one of these resources.`, ""},
		{
			"a completion", member, rpc("completion/complete", `{"ref":{"type":"ref/prompt","name":"bye"},"argument":{"name":"a","value":""}}`), 200,
			`{"jsonrpc":"2.0","id":7,"result":{"completion":{"values":[],"total":0,"hasMore":false}}}`, "",
		},
		{"a completion, allowed", member, rpc("completion/complete", `{"ref":{"type":"ref/prompt","name":"hello"},"argument":{"name":"a","value":""}}`), 200, "served", ""},
		{"require isn't met", mint("mcp:read", "others"), toolCall("get_x", `{}`), 200, `{"jsonrpc":"2.0","id":7,"error":{"code":403,"message":"You may not use this server."}}`, ""},
		{"require isn't met, a notification", mint("mcp:read"), `{"jsonrpc":"2.0","method":"notifications/initialized"}`, 403, `{"jsonrpc":"2.0","error":{"code":403,`, ""},
		{"the base scope is missing", mint("mcp:write", "acme"), toolCall("delete_x", `{}`), 403, `insufficient_scope`, "mcp:read"},
		{"a key", key, toolCall("get_x", `{}`), 200, "served", ""},
		{"a key can't step up", key, toolCall("delete_x", `{}`), 200, `You may not use the tool`, ""},
		{"a large id stays as it is", member, `{"jsonrpc":"2.0","id":9007199254740993,"method":"tools/call","params":{"name":"debug_x"}}`, 200, `"id":9007199254740993,`, ""},
		{"an id with escapes stays as it is", member, `{"jsonrpc":"2.0","id":"\u0061<","method":"tools/call","params":{"name":"debug_x"}}`, 200, `"id":"\u0061<",`, ""},
		{"not JSON", member, `{`, 400, `"code":-32700`, ""},
		{"a batch", member, `[` + rpc("ping", `{}`) + `]`, 400, `"error"`, ""},
	} {
		seen = ""
		got := s.post(t, tc.token, tc.body)
		if got.StatusCode != tc.status || !strings.Contains(got.body, tc.want) {
			t.Errorf("%s: got %d %s, want %d %s", tc.name, got.StatusCode, got.body, tc.status, tc.want)
		}
		if served := got.body == "served"; served && seen != tc.body || !served && seen != "" {
			t.Errorf("%s: the server got %q of %q", tc.name, seen, tc.body)
		}
		challenge := challengeParams(t, got.Header)
		if challenge["scope"] != tc.scope {
			t.Errorf("%s: challenged for %q, want %q", tc.name, challenge["scope"], tc.scope)
		}
		if tc.scope != "" && (challenge["error"] != "insufficient_scope" || challenge["resource_metadata"] != testMetadataURL) {
			t.Errorf("%s: got challenge %v", tc.name, challenge)
		}
	}
}

func TestPolicyWithoutMessage(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	s := serve(t, frontDoor(issuer.Issuer(), "require claim groups acme\nrequire scope base\ntools x"), nil)
	for _, tc := range []struct {
		name, method, scope string
		groups              []string
		status              int
		challenge           string
	}{
		{"GET", "GET", "base", []string{"acme"}, 200, ""},
		{"DELETE", "DELETE", "base", []string{"acme"}, 200, ""},
		{"GET, require isn't met", "GET", "base", nil, 403, ""},
		{"DELETE, require isn't met", "DELETE", "base", nil, 403, ""},
		{"GET lacks a scope", "GET", "other", []string{"acme"}, 403, "other base"},
		{"PUT", "PUT", "base", []string{"acme"}, 405, ""},
	} {
		got := s.do(t, tc.method, "/mcp", bearer(issuer.Mint(map[string]any{"scope": tc.scope, "groups": tc.groups}))...)
		if got.StatusCode != tc.status {
			t.Errorf("%s: got %d %s, want %d", tc.name, got.StatusCode, got.body, tc.status)
		}
		if c := challengeParams(t, got.Header)["scope"]; c != tc.challenge {
			t.Errorf("%s: challenged for %q, want %q", tc.name, c, tc.challenge)
		}
	}
}

func TestRefuseError(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	s := serve(t, frontDoor(issuer.Issuer(), "tools x need scope s\nrefuse error"), nil)
	got := s.post(t, issuer.Mint(nil), toolCall("x", "{}"))
	var said rpcAnswer
	if err := json.Unmarshal([]byte(got.body), &said); err != nil || said.Error == nil {
		t.Fatalf("got %s, %v", got.body, err)
	}
	if got.StatusCode != 200 || said.Error.Code != 403 || string(said.ID) != "7" || got.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("got %d %s, %v", got.StatusCode, got.body, got.Header)
	}
}

// Without rules about messages, bodies pass unread.
func TestPolicyReadsNoBody(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	for _, options := range []string{"", "require claim groups acme"} {
		s := serve(t, frontDoor(issuer.Issuer(), options), nil)
		got := s.send(t, "POST", "/mcp", strings.NewReader("not JSON"), bearer(issuer.Mint(map[string]any{"groups": []string{"acme"}}))...)
		if got.StatusCode != 200 || got.body != "served" {
			t.Errorf("%q: got %d %s", options, got.StatusCode, got.body)
		}
	}
}

// A scope that includes another does so in rules, too, and in their expressions.
func TestPolicyScopeHierarchy(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	s := serve(t, frontDoor(issuer.Issuer(), "scope_implies mcp:admin mcp:write\ntools x need scope mcp:write\ntools y when `'mcp:write' in scopes`"), nil)
	for scope, want := range map[string]int{"mcp:admin": 200, "mcp:write": 200, "mcp:read": 403} {
		raw := issuer.Mint(map[string]any{"scope": scope})
		if got := s.post(t, raw, toolCall("x", "{}")); got.StatusCode != want {
			t.Errorf("%s: got %d, want %d", scope, got.StatusCode, want)
		}
		if got := s.post(t, raw, toolCall("y", "{}")); (got.body == "served") != (want == 200) {
			t.Errorf("%s, by an expression: got %d %s", scope, got.StatusCode, got.body)
		}
	}
}

// A header for an argument that a rule reads agrees with it. Others are the server's to
// check, and get there as they came: they may stand for an argument of another name.
func TestPolicyParams(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	s := serve(t, frontDoor(issuer.Issuer(), "tools pay when `!has(arguments.amount) || arguments.amount <= 1000`\ntools *"), func(w http.ResponseWriter, r *http.Request) error {
		_, err := fmt.Fprint(w, "served ", r.Header["Mcp-Param-Amount"], r.Header["Mcp-Param-Customer"])
		return err
	})
	raw := issuer.Mint(nil)
	for _, tc := range []struct {
		name, body string
		header     []string
		status     int
		want       string
	}{
		{"it agrees", toolCall("pay", `{"amount":5}`), []string{"Mcp-Param-Amount", "5"}, 200, "served [5] []"},
		{"it doesn't", toolCall("pay", `{"amount":5}`), []string{"Mcp-Param-Amount", "5000"}, 400, `"code":-32020`},
		{"the argument isn't there", toolCall("pay", `{}`), []string{"Mcp-Param-Amount", "5000"}, 400, `"code":-32020`},
		{"no rule reads it", toolCall("pay", `{"tenant":"x"}`), []string{"Mcp-Param-Customer", "x"}, 200, "served [] [x]"},
		{"no rule reads any", toolCall("other", `{"amount":5}`), []string{"Mcp-Param-Amount", "6"}, 200, "served [6] []"},
	} {
		got := s.send(t, "POST", "/mcp", strings.NewReader(tc.body), append(append(bearer(raw), "Content-Type", "application/json"), tc.header...)...)
		if got.StatusCode != tc.status || !strings.Contains(got.body, tc.want) {
			t.Errorf("%s: got %d %s, want %d %s", tc.name, got.StatusCode, got.body, tc.status, tc.want)
		}
	}
}

// Every verifier's tokens are judged by their claims.
func TestPolicyVerifiers(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	for _, verifier := range []string{"jwt", introspection(""), "userinfo"} {
		s := serve(t, frontDoor(issuer.Issuer()+" {\n"+verifier+"\n}", "tools x need claim groups admins\ntools y need scope s"), nil)
		mint := func(claims map[string]any) string {
			if verifier == "jwt" {
				return issuer.Mint(claims)
			}
			return issuer.Opaque(claims)
		}
		for _, tc := range []struct {
			name, tool string
			claims     map[string]any
			status     int
			want       string
		}{
			{"the group", "x", map[string]any{"groups": []string{"staff", "admins"}}, 200, "served"},
			{"not the group", "x", map[string]any{"groups": []string{"staff"}}, 200, "You may not use the tool"},
			{"no groups", "x", nil, 200, "You may not use the tool"},
			{"the scope", "y", map[string]any{"scope": "s"}, 200, "served"},
			{"not the scope", "y", map[string]any{"scope": "t"}, 403, "needs the scope s"},
		} {
			if verifier == "userinfo" && tc.tool == "y" {
				continue // userinfo has no scopes
			}
			if got := s.post(t, mint(tc.claims), toolCall(tc.tool, "{}")); got.StatusCode != tc.status || !strings.Contains(got.body, tc.want) {
				t.Errorf("%.13s: %s: got %d %s", verifier, tc.name, got.StatusCode, got.body)
			}
		}
	}
}
