package caddymcpauth_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// The bytes on which ChatGPT asks its user to sign in (OpenAI, Apps SDK).
func TestRefuseResult(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	s := serve(t, frontDoor(issuer.Issuer(), "scopes mcp:read\noffer mcp:extra\nanonymous\ntools x need scope mcp:x\nprompts p need scope mcp:p\nrefuse result for openai-mcp*\nrefuse error for shows*\nrefuse challenge for claude*"), nil)
	token := issuer.Mint(map[string]any{"scope": "mcp:read mcp:more"})
	const (
		chatGPT = "openai-mcp/1.0.0"
		meta    = `resource_metadata=\"https://mcp.example.com/.well-known/oauth-protected-resource/mcp\", scope=\"`
		lacking = `{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"To use the tool \"x\", the access token needs the scope mcp:x."}],"isError":true,` +
			`"_meta":{"mcp/www_authenticate":["Bearer error=\"insufficient_scope\", error_description=\"The access token lacks a scope that this request needs.\", ` + meta + `mcp:read mcp:more mcp:x\""]}}}`
		signIn = `{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"To use the tool \"x\", sign in first."}],"isError":true,` +
			`"_meta":{"mcp/www_authenticate":["Bearer error=\"insufficient_scope\", error_description=\"Sign in to use this tool.\", ` + meta + `mcp:read mcp:x mcp:extra\""]}}}`
	)
	modern := rpc("tools/call", `{"name":"x","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}`)
	for _, tc := range []struct {
		name, agent, token, body string
		status                   int
		want                     string
		challenge                bool
	}{
		{"ChatGPT lacks a scope", chatGPT, token, toolCall("x", "{}"), 200, lacking, false},
		{"ChatGPT has to sign in", chatGPT, "", toolCall("x", "{}"), 200, signIn, false},
		{"ChatGPT of 2026-07-28", chatGPT, token, modern, 200, strings.Replace(lacking, `"result":{`, `"result":{"resultType":"complete",`, 1), false},
		{"a large id", chatGPT, token, strings.Replace(toolCall("x", "{}"), `"id":7`, `"id":"\u003c7"`, 1), 200, strings.Replace(lacking, `"id":7`, `"id":"\u003c7"`, 1), false},
		{"ChatGPT and a prompt", chatGPT, token, rpc("prompts/get", `{"name":"p"}`), 403, `"code":403`, true},
		{"ChatGPT and a prompt, without a token", chatGPT, "", rpc("prompts/get", `{"name":"p"}`), 401, `"code":401`, true},
		{"ChatGPT and a bad token", chatGPT, "bad", toolCall("x", "{}"), 401, "invalid_token", true},
		{"another client", "node", token, toolCall("x", "{}"), 403, `"code":403`, true},
		{"a client that has it in its name", "my openai-mcp", token, toolCall("x", "{}"), 403, `"code":403`, true},
		{"a client without a name", "", token, toolCall("x", "{}"), 403, `"code":403`, true},
		{"a client for which a challenge is", "claude-code/2", token, toolCall("x", "{}"), 403, `"code":403`, true},
		{"a client that shows errors", "shows/1", token, toolCall("x", "{}"), 200, `"error":{"code":403`, false},
		{"a client that shows errors has to sign in", "shows/1", "", toolCall("x", "{}"), 401, `"code":401`, true},
	} {
		headers := []string{"User-Agent", tc.agent}
		if tc.token != "" {
			headers = append(headers, bearer(tc.token)...)
		}
		got := s.anonymously(t, tc.body, headers...)
		if got.StatusCode != tc.status || !strings.Contains(got.body, tc.want) {
			t.Errorf("%s: got %d\n%s, want %d\n%s", tc.name, got.StatusCode, got.body, tc.status, tc.want)
		}
		if has := got.Header.Get("Www-Authenticate") != ""; has != tc.challenge {
			t.Errorf("%s: a challenge in the header: %t", tc.name, has)
		}
	}
}

// The name of a client decides how it is told, never what.
func TestRefuseDecidesNothing(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	s := serve(t, frontDoor(issuer.Issuer(), "tools x need scope mcp:x\ntools y nobody\ntools *\nrefuse result for a*\nrefuse error for b*"), nil)
	token := issuer.Mint(nil)
	for _, agent := range []string{"a", "b", "c", ""} {
		for tool, served := range map[string]bool{"x": false, "y": false, "z": true} {
			if got := s.post(t, token, toolCall(tool, "{}"), "User-Agent", agent); (got.body == "served") != served {
				t.Errorf("%q and %s: got %d %s", agent, tool, got.StatusCode, got.body)
			}
		}
	}
}

// What is offered is in every challenge to sign in, and in the metadata, and needed
// nowhere.
func TestOffer(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	for _, tc := range []struct{ options, first, supported string }{
		{"scopes a", "a", "a"},
		{"scopes a\noffer b c a", "a b c", "a b c"},
		{"offer b", "b", "b"},
		{"scopes a\nscopes_supported a d\noffer b", "a b", "a d b"},
		{"scopes a\nscopes_supported d", "a", "d"},
	} {
		s := serve(t, frontDoor(issuer.Issuer(), tc.options), nil)
		for name, headers := range map[string][]string{"no token": nil, "a bad token": bearer("bad"), "an old token": bearer(issuer.Mint(map[string]any{"exp": 1}))} {
			got := s.do(t, "GET", "/mcp", headers...)
			if scope := challengeParams(t, got.Header)["scope"]; got.StatusCode != 401 || scope != tc.first {
				t.Errorf("%q: %s: got %d and the scope %q, want %q", tc.options, name, got.StatusCode, scope, tc.first)
			}
		}
		var metadata struct {
			Scopes []string `json:"scopes_supported"`
		}
		got := s.do(t, "GET", "/.well-known/oauth-protected-resource/mcp")
		if err := json.Unmarshal([]byte(got.body), &metadata); err != nil || strings.Join(metadata.Scopes, " ") != tc.supported {
			t.Errorf("%q: the metadata lists %q, %v, want %q", tc.options, metadata.Scopes, err, tc.supported)
		}
		if got := s.do(t, "GET", "/mcp", bearer(issuer.Mint(map[string]any{"scope": "a"}))...); got.StatusCode != 200 {
			t.Errorf("%q: with what is needed: got %d %s", tc.options, got.StatusCode, got.body)
		}
	}
}

func TestSecuritySchemes(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	const (
		open  = `[{"type":"noauth"},{"type":"oauth2","scopes":["mcp:read"]}]`
		read  = `[{"type":"oauth2","scopes":["mcp:read"]}]`
		write = `[{"type":"oauth2","scopes":["mcp:read","mcp:write"]}]`
	)
	both := func(schemes string) string {
		return `,"securitySchemes":` + schemes + `,"_meta":{"securitySchemes":` + schemes + `}`
	}
	list := func(tools string) string {
		return `{"jsonrpc":"2.0","id":7,"result":{"tools":[` + tools + `],"x":1}}`
	}
	for _, tc := range []struct{ name, options, tools, want string }{
		{
			"by the rules", "anonymous\ntools docs anonymous\ntools set need scope mcp:write\ntools no nobody\ntools get",
			`{"name":"docs"},{"name":"no"},{"name":"get"},{"name":"other"},{"name":"set"}`,
			`{"name":"docs"` + both(open) + `},{"name":"get"` + both(read) + `},{"name":"set"` + both(write) + `}`,
		},
		{"without lines", "anonymous", `{"name":"a"}`, `{"name":"a"` + both(read) + `}`},
		{
			"what the server says is replaced", "tools a", `{"securitySchemes":[{"type":"noauth"}],"name":"a","_meta":{"x":1,"securitySchemes":null}}`,
			`{"securitySchemes":` + read + `,"name":"a","_meta":{"x":1,"securitySchemes":` + read + `}}`,
		},
		{
			"_meta keeps the rest", "tools a", `{"_meta": {"x": {"securitySchemes": 1}},"name":"a"}`,
			`{"_meta": {"securitySchemes":` + read + `,"x": {"securitySchemes": 1}},"name":"a","securitySchemes":` + read + `}`,
		},
		{"_meta is empty", "tools a", `{"_meta":{ },"name":"a"}`, `{"_meta":{"securitySchemes":` + read + ` },"name":"a","securitySchemes":` + read + `}`},
		{"_meta is null", "tools a", `{"_meta":null,"name":"a"}`, `{"_meta":{"securitySchemes":` + read + `},"name":"a","securitySchemes":` + read + `}`},
	} {
		for _, stream := range []bool{false, true} {
			s := serve(t, frontDoor(issuer.Issuer(), "scopes mcp:read\nsessions off\nsecurity_schemes\n"+tc.options), func(w http.ResponseWriter, r *http.Request) error {
				if stream {
					w.Header().Set("Content-Type", "text/event-stream")
					_, err := io.WriteString(w, "id: 1\ndata: "+list(tc.tools)+"\n\n")
					return err
				}
				w.Header().Set("Content-Type", "application/json")
				_, err := io.WriteString(w, list(tc.tools))
				return err
			})
			got := s.post(t, issuer.Mint(map[string]any{"scope": "mcp:read"}), rpc("tools/list", "{}"))
			want := list(tc.want)
			if stream {
				want = "id: 1\ndata: " + want + "\n\n"
			}
			if got.StatusCode != 200 || got.body != want {
				t.Errorf("%s (stream: %t): got %d\n%s, want\n%s", tc.name, stream, got.StatusCode, got.body, want)
			}
		}
	}
}
