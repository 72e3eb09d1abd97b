package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// recorder is what a server behind has seen.
type recorder struct {
	mu   sync.Mutex
	seen []seenMessage
}

// seenMessage is a message that got there: from whom, and in which session.
type seenMessage struct{ method, tool, user, session string }

func (r *recorder) messages(method string) (list []seenMessage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.seen {
		if m.method == method {
			list = append(list, m)
		}
	}
	return list
}

// record hands requests on to the server at address.
func record(t *testing.T, address string) (*recorder, string) {
	t.Helper()
	target, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	r := new(recorder)
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(p *httputil.ProxyRequest) { p.SetURL(&url.URL{Scheme: target.Scheme, Host: target.Host}) },
		FlushInterval: -1,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return // the client is gone
		}
		var message struct {
			Method string
			Params struct{ Name string }
		}
		_ = json.Unmarshal(body, &message) // a GET has none
		if message.Method == "" {
			message.Method = req.Method
		}
		r.mu.Lock()
		r.seen = append(r.seen, seenMessage{message.Method, message.Params.Name, req.Header.Get("X-User"), req.Header.Get("Mcp-Session-Id")})
		r.mu.Unlock()
		if req.Header.Get("Authorization") != "" || len(req.Header["X_user"]) > 0 {
			t.Errorf("the server got %v", req.Header)
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	return r, server.Listener.Addr().String()
}

// twice is one server that is offered twice, as in docs/guides/policy.md: at /mcp for
// clients that sign in first, at /open for those that sign in when they have to.
const twice = `
	mcp_auth /mcp* SITE/mcp {
		issuer ISSUER
		scopes mcp:tools
		header X-User {http.auth.user.id}
	}
	mcp_auth /open* SITE/open {
		issuer ISSUER
		scopes mcp:tools
		header X-User {http.auth.user.id}
		anonymous
		tools get-sum anonymous
		tools get-tiny-image need scope mcp:images
		tools *
	}
	@open path /open /open/*
	reverse_proxy @open BEHIND {
		rewrite /mcp
	}
	reverse_proxy BEHIND
` + clientDocument

// startTwice starts it with its authorization server.
func startTwice(t *testing.T, behind string) *caddyServer {
	t.Helper()
	needNode(t)
	c := startCaddy(t, "respond 503")
	scopes := map[string]any{"scopes": []string{"mcp:tools", "mcp:images"}}
	as := startAuthServer(t, c.CA, map[string]any{"resources": map[string]any{c.URL + "/mcp": scopes, c.URL + "/open": scopes}})
	c.reload(withIssuer(strings.ReplaceAll(twice, "BEHIND", behind), as))
	return c
}

// Clients see the tools of a stateful server without a token, sign in at the call
// that needs one, and go on in the same session.
func TestLazyStateful(t *testing.T) {
	t.Parallel()
	needNode(t)
	var everything struct {
		URL string `json:"url"`
	}
	cmd := node(t.Context(), "", "everything.mjs")
	cmd.Env = append(cmd.Env, "PORT=0")
	serve(t, cmd, &everything)

	check := func(t *testing.T, r *recorder) {
		t.Helper()
		first, lists, calls := r.messages("initialize"), r.messages("tools/list"), r.messages("tools/call")
		if len(first) == 0 || len(lists) == 0 || len(calls) == 0 {
			t.Fatalf("the server saw %v", r.seen)
		}
		call := calls[len(calls)-1]
		if first[0].user != "" || lists[0].user != "" || call.user != "ada" {
			t.Errorf("the server saw %v, want no user at first, and then ada", r.seen)
		}
		if call.session == "" || call.session != lists[0].session {
			t.Errorf("listed in session %q and called in %q, want the same one", lists[0].session, call.session)
		}
	}
	for _, test := range []struct {
		name string
		args []string
	}{
		{"TypeScript SDK v1", []string{"client-v1.mjs"}},
		{"TypeScript SDK v2", []string{"client-v2.mjs", "--era", "legacy"}},
		{"TypeScript SDK v2 auto", []string{"client-v2.mjs", "--era", "auto"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r, behind := record(t, everything.URL)
			c := startTwice(t, behind)
			ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
			defer cancel()
			out := output(t, node(ctx, c.CA, test.args[0], append(test.args[1:], c.URL+"/open", "--tool", "get-tiny-image")...))
			var line clientLine
			if err := json.Unmarshal(out, &line); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if !slices.Contains(line.Tools, "get-tiny-image") || line.Result == nil {
				t.Errorf("the tools are %q and the result is %.200s", line.Tools, line.Result)
			}
			if line.BeforeCall != 0 || line.Authorizations != 1 {
				t.Errorf("the user was asked %d times before the call, and %d times in all, want 0 and 1", line.BeforeCall, line.Authorizations)
			}
			if got := strings.Fields(line.Scope); !slices.Contains(got, "mcp:tools") || !slices.Contains(got, "mcp:images") {
				t.Errorf("the scope is %q, want mcp:tools and mcp:images", line.Scope)
			}
			check(t, r)
		})
	}
	t.Run("Go SDK", func(t *testing.T) {
		t.Parallel()
		r, behind := record(t, everything.URL)
		c := startTwice(t, behind)
		g := connectGoClient(t, c, c.URL+"/open")
		if _, err := g.session.ListTools(t.Context(), nil); err != nil {
			t.Fatalf("listing: %v", err)
		}
		sum, err := g.session.CallTool(t.Context(), &mcp.CallToolParams{Name: "get-sum", Arguments: map[string]any{"a": 1, "b": 2}})
		if err != nil || sum.IsError || g.authorizations.Load() != 0 {
			t.Errorf("a tool that is anonymous: got %v, %v, and asked the user %d times", sum, err, g.authorizations.Load())
		}
		image, err := g.session.CallTool(t.Context(), &mcp.CallToolParams{Name: "get-tiny-image"})
		if err != nil || image.IsError || g.authorizations.Load() != 1 {
			t.Errorf("a tool that needs a scope: got %v, %v, and asked the user %d times", image, err, g.authorizations.Load())
		}
		check(t, r)
		if calls := r.messages("tools/call"); len(calls) != 2 || calls[0].user != "" {
			t.Errorf("the server saw the calls %v, want the first one without a user", calls)
		}
	})
}

// Without sessions, in every revision.
func TestLazyClients(t *testing.T) {
	t.Parallel()
	c, _ := signInServers(t, strings.Replace(frontDoor, "scopes mcp:tools", "scopes mcp:tools\nanonymous", 1), "mcp:tools")
	for _, test := range c.signInCases(t, c.URL+"/client.json") {
		if test.version == "" {
			continue // Inspector doesn't sign in at a call
		}
		t.Run(test.name, func(t *testing.T) {
			if who := test.run(t, "ada"); who["sub"] != "ada" {
				t.Errorf("whoami says %v, want sub ada", who)
			}
		})
	}
	if c.log.contains(`"mcp_auth_refusal":"message"`) {
		t.Error("a message could not be judged")
	}
}

// One server, lazy and eager: what claude.ai looks at is 200 at one and 401 at the
// other, and nothing else of the site opens.
func TestOfferedTwice(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	}))
	t.Cleanup(server.Close)
	r, behind := record(t, server.URL)
	f := startFakeIssuer(t)
	c := startCaddy(t, f.fill(strings.ReplaceAll(twice, "BEHIND", behind)))
	const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}`
	call := func(tool string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `"}}`
	}
	token := func(path string) []string {
		return []string{"Authorization", "Bearer " + f.token(c, map[string]any{"sub": "ada", "aud": c.URL + path, "scope": "mcp:tools"})}
	}
	for _, test := range []struct {
		name, path, body string
		headers          []string
		status           int
		scope, user      string
	}{
		{"the eager one", "/mcp", initialize, nil, 401, "mcp:tools", ""},
		{"the lazy one", "/open", initialize, nil, 200, "", ""},
		{"an anonymous call at the eager one", "/mcp", call("get-sum"), nil, 401, "mcp:tools", ""},
		{"an anonymous call", "/open", call("get-sum"), nil, 200, "", ""},
		{"a call", "/open", call("echo"), nil, 401, "mcp:tools", ""},
		{"a call with a scope", "/open", call("get-tiny-image"), nil, 401, "mcp:tools mcp:images", ""},
		{"a token", "/open", call("echo"), token("/open"), 200, "", "ada"},
		{"a token for an anonymous call", "/open", call("get-sum"), token("/open"), 200, "", "ada"},
		{"a token for the other", "/open", initialize, token("/mcp"), 401, "mcp:tools", ""},
		{"a token for the lazy one", "/mcp", initialize, token("/open"), 401, "mcp:tools", ""},
		{"a bad token", "/open", initialize, []string{"Authorization", "Bearer bad"}, 401, "mcp:tools", ""},
		{"below", "/open/x", initialize, nil, 401, "mcp:tools", ""},
		{"the other by way of dots", "/open/../mcp", initialize, nil, 400, "", ""},
		{"a user of the client's choice", "/open", initialize, []string{"X-User", "eve", "X_User", "eve"}, 200, "", ""},
	} {
		before := len(r.messages("initialize")) + len(r.messages("tools/call"))
		got := c.do("POST", test.path, test.body, append(test.headers, "Content-Type", "application/json")...)
		if got.status != test.status {
			t.Errorf("%s: got %d %s, want %d", test.name, got.status, got.body, test.status)
		}
		if test.scope != "" && !strings.Contains(got.header.Get("WWW-Authenticate"), `scope="`+test.scope+`"`) {
			t.Errorf("%s: challenged with %q, want the scope %q", test.name, got.header.Get("WWW-Authenticate"), test.scope)
		}
		seen := append(r.messages("initialize"), r.messages("tools/call")...)
		if reached := len(seen) > before; reached != (test.status == 200) {
			t.Errorf("%s: reached the server: %t", test.name, reached)
		}
		if test.user != "" && !slices.ContainsFunc(seen, func(m seenMessage) bool { return m.user == test.user }) {
			t.Errorf("%s: the server saw %v, want %s", test.name, seen, test.user)
		}
	}
	for _, m := range slices.Concat(r.messages("initialize"), r.messages("tools/call")) {
		if m.user == "eve" {
			t.Errorf("the server saw %v", m)
		}
	}
	if c.log.contains("without a token: ") {
		t.Errorf("Caddy warns of a way around:\n%s", c.log.tail(20))
	}
}
