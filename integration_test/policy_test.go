package integration_test

import (
	"context"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// policed is a site whose rules ask for a scope for one tool of the official server,
// hide one, and keep one for a user.
const policed = `
	mcp_auth /mcp* SITE/mcp {
		issuer ISSUER VERIFIER
		scopes mcp:tools
		tools get-env nobody
		tools get-tiny-image need user bob
		tools get-sum need scope mcp:sum when ` + "`arguments.a <= 1000`" + `
		tools *
	}
	reverse_proxy BEHIND
`

// byIntrospection is the verifier of opaque tokens.
const byIntrospection = `{
			introspection {
				client_id front-door
				client_secret secret
			}
		}`

// policyServers starts the official server, a Caddy with rules before it, and its
// authorization server, whose tokens have the given format.
func policyServers(t *testing.T, format string, more map[string]any) *caddyServer {
	t.Helper()
	needNode(t)
	var everything struct {
		URL string `json:"url"`
	}
	serve(t, node(t.Context(), "", "everything.mjs"), &everything)
	c := startCaddy(t, "respond 503")
	config := map[string]any{
		"resources": map[string]any{c.URL + "/mcp": map[string]any{"scopes": []string{"mcp:tools", "mcp:sum"}, "format": format}},
		"clients":   []any{map[string]any{"client_id": "front-door", "client_secret": "secret"}},
	}
	for name, value := range more {
		config[name] = value
	}
	as := startAuthServer(t, c.CA, config)
	verifier := ""
	if format == "opaque" {
		verifier = byIntrospection
	}
	c.reload(withIssuer(strings.NewReplacer("VERIFIER", verifier, "BEHIND", strings.TrimSuffix(everything.URL, "/mcp")).Replace(policed), as))
	return c
}

// A client that knows nothing but the URL calls a tool that needs one more scope than
// the others: it is challenged at that call, asks its user, and succeeds.
func TestPolicyStepUp(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"jwt", "opaque"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			c := policyServers(t, format, nil)
			for _, test := range []struct {
				name string
				args []string
			}{
				{"TypeScript SDK v1", []string{"client-v1.mjs"}},
				{"TypeScript SDK v2 legacy", []string{"client-v2.mjs", "--era", "legacy"}},
				{"TypeScript SDK v2 auto", []string{"client-v2.mjs", "--era", "auto"}},
			} {
				line := callOnce(t, c, test.args, "get-sum", `{"a":2,"b":40}`)
				if line.Error != nil || !strings.Contains(string(line.Result), "42") {
					t.Errorf("%s: got %s, %s; want 42", test.name, line.Result, line.Error)
				}
				if got := strings.Fields(line.Scope); !slices.Contains(got, "mcp:tools") || !slices.Contains(got, "mcp:sum") || line.Authorizations != 2 {
					t.Errorf("%s: the scope is %q after %d sign-ins, want both after two", test.name, line.Scope, line.Authorizations)
				}
				if !slices.Contains(line.Tools, "get-sum") || slices.Contains(line.Tools, "get-env") || slices.Contains(line.Tools, "get-tiny-image") {
					t.Errorf("%s: it is shown the tools %q", test.name, line.Tools)
				}
			}
			g := connectGoClient(t, c, c.URL+"/mcp")
			result, err := g.session.CallTool(t.Context(), &mcp.CallToolParams{Name: "get-sum", Arguments: map[string]any{"a": 2, "b": 40}})
			if err != nil || !strings.Contains(resultText(result), "42") || g.authorizations.Load() != 2 {
				t.Errorf("Go SDK: got %v, %v after %d sign-ins, want 42 after two", resultText(result), err, g.authorizations.Load())
			}
			c.logs(`"mcp_auth_refusal":"insufficient_scope"`)
			c.logs(`"mcp_auth_rule":"tools:3"`)
		})
	}
}

// The same with a server of revision 2026-07-28.
func TestPolicyStepUpModern(t *testing.T) {
	t.Parallel()
	c, _ := signInServers(t, strings.Replace(frontDoor, "scopes mcp:tools", "scopes mcp:tools\ntools whoami need scope mcp:write", 1), "mcp:tools", "mcp:write")
	line := callOnce(t, c, []string{"client-v2.mjs", "--era", "modern"}, "whoami", "{}")
	if got := strings.Fields(line.Scope); line.Error != nil || line.ProtocolVersion != "2026-07-28" || !slices.Contains(got, "mcp:write") || line.Authorizations != 2 {
		t.Errorf("got %q, the scope %q after %d sign-ins, %s; want both after two", line.ProtocolVersion, line.Scope, line.Authorizations, line.Error)
	}
}

// What is denied is an error that says so, in every client, and asks nobody to sign
// in again.
func TestPolicyDenied(t *testing.T) {
	t.Parallel()
	c := policyServers(t, "jwt", nil)
	for _, test := range []struct{ name, tool, args string }{
		{"nobody", "get-env", "{}"},
		{"another user", "get-tiny-image", "{}"},
		{"the arguments", "get-sum", `{"a":5000,"b":1}`},
		{"in another case", "Get-Env", "{}"},
	} {
		for _, client := range [][]string{{"client-v1.mjs"}, {"client-v2.mjs", "--era", "auto"}} {
			line := callOnce(t, c, client, test.tool, test.args)
			if !strings.Contains(string(line.Error), "You may not use the tool") || !strings.Contains(string(line.Error), `"code":403`) {
				t.Errorf("%s, %s: got %s, %s", test.name, client[0], line.Result, line.Error)
			}
		}
	}
	g := connectGoClient(t, c, c.URL+"/mcp")
	_, err := g.session.CallTool(t.Context(), &mcp.CallToolParams{Name: "get-env"})
	if err == nil || !strings.Contains(err.Error(), "You may not use the tool") || g.authorizations.Load() != 1 {
		t.Errorf("Go SDK: got %v after %d sign-ins", err, g.authorizations.Load())
	}
	if _, err := g.session.CallTool(t.Context(), &mcp.CallToolParams{Name: "echo", Arguments: map[string]any{"message": "still there"}}); err != nil {
		t.Errorf("the session has ended with the denial: %v", err)
	}
	c.logs(`"mcp_auth_rule":"folded"`)
	c.logs(`"mcp_auth_missing":"user bob"`)
	c.logs(`"logger":"http.mcp_auth.decision"`)
}

// Clients that can't step up, or not with a refresh token, say what they got.
func TestPolicyStepUpUnsupported(t *testing.T) {
	t.Parallel()
	c := policyServers(t, "jwt", map[string]any{"alwaysRefreshToken": true})
	// It refreshes at the old scope, tries again, and gives up.
	if line := callOnce(t, c, []string{"client-v1.mjs"}, "get-sum", `{"a":2,"b":40}`); line.Error == nil {
		t.Errorf("TypeScript SDK v1 with a refresh token: got %s", line.Result)
	}
	// With one it steps up all the same.
	if line := callOnce(t, c, []string{"client-v2.mjs"}, "get-sum", `{"a":2,"b":40}`); line.Error != nil {
		t.Errorf("TypeScript SDK v2 with a refresh token: got %s", line.Error)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	cmd := c.inspector(ctx, t, "--protocol-era", "auto", "--tool-name", "get-sum", "--tool-arg", "a=5000", "--tool-arg", "b=1")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "You may not use the tool") {
		t.Errorf("Inspector: got %v, %s", err, lastLine(string(out)))
	}
}

// Two users see two lists of one server, and each may call what it is shown.
func TestPolicyTwoUsers(t *testing.T) {
	t.Parallel()
	c := policyServers(t, "jwt", nil)
	lists := make(map[string][]string)
	for _, user := range []string{"ada", "bob"} {
		g := connectGoClientAs(t, c, c.URL+"/mcp", registering, func(config *auth.AuthorizationCodeHandlerConfig) {
			config.AuthorizationCodeFetcher = func(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
				return authorize(ctx, c.CA, args.URL, "BROWSER_USER="+user)
			}
		})
		tools, err := g.session.ListTools(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, tool := range tools.Tools {
			lists[user] = append(lists[user], tool.Name)
		}
		_, err = g.session.CallTool(t.Context(), &mcp.CallToolParams{Name: "get-tiny-image"})
		if may := err == nil; may != (user == "bob") {
			t.Errorf("%s calls get-tiny-image: %v", user, err)
		}
	}
	if !slices.Contains(lists["bob"], "get-tiny-image") || slices.Contains(lists["ada"], "get-tiny-image") || !slices.Contains(lists["ada"], "echo") {
		t.Errorf("got the lists %q", lists)
	}
	if more := len(lists["bob"]) - len(lists["ada"]); more != 1 {
		t.Errorf("bob sees %d more tools than ada, want one", more)
	}
}

// A scope that the authorization server in the same Caddy doesn't have is found when
// the configuration is validated.
func TestPolicyScopeUnknownToTheServer(t *testing.T) {
	t.Parallel()
	c := startCaddy(t, "respond 503")
	site := strings.NewReplacer("CAFILE", c.CA, "scopes mcp:tools\n", "scopes mcp:tools\noffer mcp:admin mcp:wirte\ntools a need scope mcp:tools\ntools b need scope mcp:delte\n").Replace(embedded)
	out, _ := exec.Command(caddyBinary, "validate", "--config", c.write(c.caddyfile(site)), "--adapter", "caddyfile").CombinedOutput()
	if !strings.Contains(string(out), "tools line 2 needs the scope mcp:delte, which mcp_auth_server") || strings.Contains(string(out), "tools line 1 needs") ||
		!strings.Contains(string(out), "mcp_auth offers the scope mcp:wirte, which mcp_auth_server") || strings.Contains(string(out), "offers the scope mcp:admin") {
		t.Errorf("got %.3000s", out)
	}
}

// callOnce runs a client that lists the tools and calls one.
func callOnce(t *testing.T, c *caddyServer, client []string, tool, arguments string) (line clientLine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	cmd := node(ctx, c.CA, client[0], append(client[1:], c.URL+"/mcp", "--tool", tool, "--args", arguments)...)
	out, _ := cmd.Output() // it fails with the call
	if err := json.Unmarshal([]byte(lastLine(string(out))), &line); err != nil {
		t.Fatalf("%v: %v: %s", client, err, out)
	}
	return line
}

func resultText(result *mcp.CallToolResult) string {
	if result == nil {
		return ""
	}
	b, _ := json.Marshal(result.Content)
	return string(b)
}
