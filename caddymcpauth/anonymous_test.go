package caddymcpauth_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// lazy are rules with callers who haven't signed in.
const lazy = `
	scopes  mcp:read
	offer   mcp:extra
	require claim groups acme
	tools   docs_*      anonymous
	tools   debug_*     nobody
	tools   delete_*    need scope mcp:delete or claim groups admins and scope a b
	tools   transfer    when ` + "`arguments.amount <= 1000`" + `
	tools   get_*
	prompts hello       anonymous
	methods acme/public anonymous
	methods logging/setLevel
	anonymous`

// behindLazy answers with what it got of the request.
func behindLazy(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		_, err = fmt.Fprintf(w, "served %s", body)
	}
	return err
}

// anonymously sends a message without a token.
func (s *site) anonymously(t testing.TB, body string, headers ...string) answer {
	t.Helper()
	return s.send(t, "POST", "/mcp", strings.NewReader(body), append(headers, "Content-Type", "application/json", "Accept", "application/json, text/event-stream")...)
}

func TestAnonymous(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	s := serve(t, frontDoor(issuer.Issuer(), lazy), behindLazy)
	const first = "mcp:read mcp:extra"
	for _, tc := range []struct {
		name, body string
		headers    []string
		status     int
		want       string // in the body
		scope      string // of the challenge; empty if there is none
	}{
		{"initialize", rpc("initialize", `{}`), nil, 200, "served", ""},
		{"discovery", rpc("server/discover", `{}`), nil, 200, "served", ""},
		{"ping", rpc("ping", `{}`), nil, 200, "served", ""},
		{"a list", rpc("prompts/list", `{}`), nil, 502, "could not be checked", ""}, // the server behind has none
		{"listening", rpc("subscriptions/listen", `{"notifications":{"toolsListChanged":true}}`), nil, 200, "served", ""},
		{"a notification", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, nil, 200, "served", ""},
		{"a response", `{"jsonrpc":"2.0","id":1,"result":{}}`, nil, 200, "served", ""},
		{"an anonymous tool", toolCall("docs_x", `{}`), nil, 200, "served", ""},
		{"an anonymous prompt", rpc("prompts/get", `{"name":"hello"}`), nil, 200, "served", ""},
		{"an anonymous method", rpc("acme/public", `{}`), nil, 200, "served", ""},

		{
			"a tool of users", toolCall("get_x", `{}`), nil, 401,
			`{"jsonrpc":"2.0","id":7,"error":{"code":401,"message":"To use the tool \"get_x\", sign in first."}}`, first,
		},
		{"a tool that needs a scope", toolCall("delete_x", `{}`), nil, 401, "sign in first", "mcp:read mcp:delete mcp:extra"},
		{"a tool with an expression", toolCall("transfer", `{"amount":5}`), nil, 401, "sign in first", first},
		{"a tool of nobody", toolCall("debug_x", `{}`), nil, 200, `You may not use the tool \"debug_x\".`, ""},
		{"a tool that no line names", toolCall("x", `{}`), nil, 200, `You may not use the tool`, ""},
		{"a tool in another spelling", toolCall("DOCS_x", `{}`), nil, 200, `write the name exactly as the server does`, ""},
		{"a resource, without lines", rpc("resources/read", `{"uri":"file:///x"}`), nil, 401, `To use the resource \"file:///x\", sign in first.`, first},
		{"listening to a resource", rpc("subscriptions/listen", `{"notifications":{"resourceSubscriptions":["file:///x"]}}`), nil, 401, "sign in first", first},
		{"a base method that a line names", rpc("logging/setLevel", `{}`), nil, 401, "sign in first", first},
		{"a task", rpc("tasks/get", `{"taskId":"1"}`), nil, 401, `To use the method \"tasks/get\", sign in first.`, first},
		{"a method that isn't known", rpc("acme/private", `{}`), nil, 200, `You may not use the method`, ""},
		{"a completion", rpc("completion/complete", `{"ref":{"type":"ref/prompt","name":"bye"},"argument":{"name":"a","value":""}}`), nil, 200, `"values":[]`, ""},

		{"a bad token", rpc("initialize", `{}`), bearer("bad"), 401, "invalid_token", first},
		{"a malformed token", rpc("initialize", `{}`), bearer("a b"), 400, "invalid_request", first},
		{"two tokens", rpc("initialize", `{}`), append(bearer("a"), bearer("b")...), 400, "invalid_request", first},
		{"an empty header", rpc("initialize", `{}`), []string{"Authorization", ""}, 401, "Sign in first", first},
		{"another scheme", rpc("initialize", `{}`), []string{"Authorization", "Basic YTpi"}, 401, "Sign in first", first},
		{"a token that expired", rpc("initialize", `{}`), bearer(issuer.Mint(map[string]any{"exp": 1})), 401, "has expired", first},

		{"not JSON", "{", nil, 401, "Sign in first", first},
		{"a batch", "[" + rpc("ping", `{}`) + "]", nil, 401, "Sign in first", first},
		{"another type", rpc("ping", `{}`), []string{"Content-Type", "text/plain"}, 401, "Sign in first", first},
		{"a header that doesn't agree", rpc("tools/call", `{"name":"docs_x"}`), []string{"Mcp-Name", "docs_y"}, 401, "Sign in first", first},
		{"64 KiB", toolCall("docs_x", `{"a":"`+strings.Repeat("x", 64<<10-len(toolCall("docs_x", `{"a":""}`)))+`"}`), nil, 200, "served", ""},
		{"more than 64 KiB", toolCall("docs_x", `{"a":"`+strings.Repeat("x", 64<<10+1-len(toolCall("docs_x", `{"a":""}`)))+`"}`), nil, 401, "Sign in first", first},
	} {
		got := s.anonymously(t, tc.body, tc.headers...)
		if got.StatusCode != tc.status || !strings.Contains(got.body, tc.want) {
			t.Errorf("%s: got %d %.300s, want %d %s", tc.name, got.StatusCode, got.body, tc.status, tc.want)
		}
		if served, ok := strings.CutPrefix(got.body, "served "); ok && served != tc.body {
			t.Errorf("%s: the server got %.300q of %.300q", tc.name, served, tc.body)
		}
		challenge := challengeParams(t, got.Header)
		if challenge["scope"] != tc.scope || tc.scope != "" && challenge["resource_metadata"] != testMetadataURL {
			t.Errorf("%s: challenged with %v, want the scope %q", tc.name, challenge, tc.scope)
		}
	}
}

// What isn't a message at the resource itself needs a token, but for the streams and
// the end of sessions of older revisions.
func TestAnonymousElsewhere(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	s := serve(t, frontDoor(issuer.Issuer(), lazy), behindLazy)
	stream := []string{"Accept", "text/event-stream"}
	message := []string{"Content-Type", "application/json"}
	for _, tc := range []struct {
		name, method, path string
		headers            []string
		body               string
		status             int
	}{
		{"a stream", "GET", "/mcp", stream, "", 200},
		{"a stream with a slash", "GET", "/mcp/", stream, "", 200},
		{"the end of a session", "DELETE", "/mcp", nil, "", 200},
		{"a message with a slash", "POST", "/mcp/", message, rpc("ping", `{}`), 200},
		{"a page", "GET", "/mcp", []string{"Accept", "text/html"}, "", 401},
		{"without Accept", "GET", "/mcp", nil, "", 401},
		{"HEAD", "HEAD", "/mcp", stream, "", 401},
		{"PUT", "PUT", "/mcp", message, rpc("ping", `{}`), 401},
		{"PATCH", "PATCH", "/mcp", message, rpc("ping", `{}`), 401},
		{"a stream with a body", "GET", "/mcp", stream, "x", 401},
		{"the end of a session with a body", "DELETE", "/mcp", nil, "x", 401},
		{"below", "POST", "/mcp/admin", message, rpc("ping", `{}`), 401},
		{"a stream below", "GET", "/mcp/x", stream, "", 401},
		{"above", "POST", "/", message, rpc("ping", `{}`), 401},
		{"beside", "POST", "/mcpx", message, rpc("ping", `{}`), 401},
		{"another spelling", "POST", "/%6dcp", message, rpc("ping", `{}`), 401},
		{"two slashes", "POST", "/mcp//", message, rpc("ping", `{}`), 401},
		{"a token in the query", "POST", "/mcp?access_token=x", message, rpc("ping", `{}`), 401},
	} {
		var body io.Reader
		if tc.body != "" {
			body = strings.NewReader(tc.body)
		}
		if got := s.send(t, tc.method, tc.path, body, tc.headers...); got.StatusCode != tc.status {
			t.Errorf("%s: got %d %s, want %d", tc.name, got.StatusCode, got.body, tc.status)
		}
	}
}

// Behind a prefix that is stripped, the resource is what the client asked for.
func TestAnonymousStripped(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	s := serve(t, "mcp_auth_guard\nhandle_path /api/* {\n"+strings.Replace(frontDoor(issuer.Issuer(), "anonymous"), testResource, "https://mcp.example.com/api/mcp", 1)+"\n}", behindLazy)
	for path, want := range map[string]int{"/api/mcp": 200, "/api/other": 401, "/api/api/mcp": 200} {
		if got := s.send(t, "POST", path, strings.NewReader(rpc("ping", "{}")), "Content-Type", "application/json"); got.StatusCode != want {
			t.Errorf("%s: got %d %s, want %d", path, got.StatusCode, got.body, want)
		}
	}
}

// Without rules, what isn't the base protocol needs a token, and with one nothing is
// read.
func TestAnonymousWithoutRules(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	s := serve(t, frontDoor(issuer.Issuer(), "scopes mcp:read\nanonymous"), nil)
	for body, want := range map[string]int{
		rpc("initialize", "{}"):                 200,
		rpc("tools/list", "{}"):                 200,
		toolCall("x", "{}"):                     401,
		rpc("prompts/get", `{"name":"x"}`):      401,
		rpc("resources/read", `{"uri":"a:b"}`):  401,
		rpc("tasks/list", "{}"):                 401,
		rpc("acme/export", "{}"):                401,
		rpc("completion/complete", "{}"):        401,
		rpc("resources/subscribe", `{"uri":1}`): 401,
	} {
		got := s.anonymously(t, body)
		if got.StatusCode != want || want == 401 && challengeParams(t, got.Header)["scope"] != "mcp:read" {
			t.Errorf("%s: got %d %s %v, want %d", body, got.StatusCode, got.body, got.Header, want)
		}
	}
	if got := s.post(t, issuer.Mint(map[string]any{"scope": "mcp:read"}), "not JSON"); got.StatusCode != 200 || got.body != "served" {
		t.Errorf("with a token: got %d %s", got.StatusCode, got.body)
	}
}

// The option is off by default, and each door has its own.
func TestAnonymousPerDoor(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	s := serve(t, "mcp_auth /mcp* "+testResource+" {\nissuer "+issuer.Issuer()+"\n}\n"+
		"mcp_auth /open* https://mcp.example.com/open {\nissuer "+issuer.Issuer()+"\nanonymous\n}", nil)
	for path, want := range map[string]int{"/mcp": 401, "/open": 200} {
		if got := s.send(t, "POST", path, strings.NewReader(rpc("initialize", "{}")), "Content-Type", "application/json"); got.StatusCode != want {
			t.Errorf("%s: got %d %s, want %d", path, got.StatusCode, got.body, want)
		}
	}
}

// The server behind learns of no identity, whatever the client or another
// authentication says.
func TestAnonymousIdentity(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	s := serve(t, "route {\n"+frontDoor(issuer.Issuer(), "anonymous\nforward_token\nheader X-User {http.auth.user.id}\nheader X-Door lazy")+
		"\nheader >X-Seen \"[{http.auth.user.id}]\"\n}",
		func(w http.ResponseWriter, r *http.Request) error {
			return json.NewEncoder(w).Encode(r.Header)
		})
	got := s.anonymously(t, rpc("ping", "{}"), "X-User", "ada", "X_User", "ada", "X-Door", "mine", "Last-Event-Id", "1")
	var seen http.Header
	if err := json.Unmarshal([]byte(got.body), &seen); err != nil || got.StatusCode != 200 {
		t.Fatalf("got %d %s, %v", got.StatusCode, got.body, err)
	}
	for _, name := range []string{"X-User", "X_user", "X_User", "X-Door", "Authorization"} {
		if values, ok := seen[name]; ok {
			t.Errorf("the server got %s: %q", name, values)
		}
	}
	if got.Header.Get("X-Seen") != "[]" {
		t.Errorf("the placeholder of the user is %q", got.Header.Get("X-Seen"))
	}
}

// What a stream missed isn't sent again to a caller who hasn't signed in, also if
// sessions aren't bound.
func TestAnonymousResumption(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	s := serve(t, frontDoor(issuer.Issuer(), "anonymous\nsessions off"), func(w http.ResponseWriter, r *http.Request) error {
		_, err := io.WriteString(w, r.Header.Get("Last-Event-Id")+strings.Join(r.Header["Last_event_id"], "")+" "+r.Header.Get("Mcp-Session-Id"))
		return err
	})
	headers := []string{"Accept", "text/event-stream", "Last-Event-Id", "7", "Last_event_id", "8", "Mcp-Session-Id", "s"}
	if got := s.do(t, "GET", "/mcp", headers...); got.body != " s" {
		t.Errorf("without a token, the server got %q", got.body)
	}
	if got := s.do(t, "GET", "/mcp", append(headers, bearer(issuer.Mint(nil))...)...); got.body != "78 s" {
		t.Errorf("with a token, the server got %q", got.body)
	}
}

func TestAnonymousLists(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	const tools = `{"jsonrpc":"2.0","id":7,"result":{"tools":[{"name":"docs_x"},{"name":"debug_x"},{"name":"delete_x"},{"name":"admin"},{"name":"mine"},{"name":"get_x"},{"name":"ci"}]}}`
	door := frontDoor(issuer.Issuer(), strings.Replace(lazy, "tools   get_*", "tools admin need claim groups admins\ntools mine when `claims.tenant == name`\ntools ci need key ci or claim groups admins\ntools get_*", 1))
	door = strings.Replace(door, "ci need key ci or", "ci need user bot or", 1)
	s := serve(t, door, func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Content-Type", "application/json")
		_, err := io.WriteString(w, tools)
		return err
	})
	const want = `{"jsonrpc":"2.0","id":7,"result":{"tools":[{"name":"docs_x"},{"name":"delete_x"},{"name":"get_x"}]}}`
	if got := s.anonymously(t, rpc("tools/list", "{}")); got.StatusCode != 200 || got.body != want {
		t.Errorf("got %d %s, want %s", got.StatusCode, got.body, want)
	}
	// Older revisions answer on the stream.
	if got := s.do(t, "GET", "/mcp", "Accept", "text/event-stream"); got.StatusCode != 200 || got.body != want {
		t.Errorf("on a stream: got %d %s, want %s", got.StatusCode, got.body, want)
	}
}
