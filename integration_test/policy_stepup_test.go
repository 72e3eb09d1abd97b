package integration_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// bearerChallenge is one Bearer challenge with quoted parameters (RFC 9110, section
// 11.6.1).
var bearerChallenge = regexp.MustCompile(`^Bearer [a-z_]+="[^"\\]*"(, [a-z_]+="[^"\\]*")*$`)

// challengeOf returns the parameters of the challenge of an answer.
func challengeOf(t *testing.T, header http.Header) map[string]string {
	t.Helper()
	values := header.Values("WWW-Authenticate")
	if len(values) != 1 || !bearerChallenge.MatchString(values[0]) {
		t.Fatalf("WWW-Authenticate: got %q, want one Bearer challenge", values)
	}
	params := make(map[string]string)
	for _, param := range regexp.MustCompile(`([a-z_]+)="([^"]*)"`).FindAllStringSubmatch(values[0], -1) {
		params[param[1]] = param[2]
	}
	return params
}

// What MCP's conformance suite checks of a server with step-up, which its release
// doesn't have yet: a tool, admin-action, needs one more scope than the others. Its call
// is answered 403 with a challenge that names everything that the client has to ask for,
// and where it learns whom; with a token that has it, it succeeds.
func TestStepUpScenario(t *testing.T) {
	t.Parallel()
	f := startFakeIssuer(t)
	c := startCaddy(t, f.fill(`
	mcp_auth /mcp* SITE/mcp {
		issuer ISSUER
		scopes mcp:basic
		tools admin-action need scope admin
		tools *
	}
	reverse_proxy `+toolServer(t, "server", "test-tool", "admin-action").Listener.Addr().String()+"\n"))
	for version, client := range c.versions(t) {
		for _, era := range []string{"2025-11-25", "2026-07-28"} {
			t.Run(version+" "+era, func(t *testing.T) {
				t.Parallel()
				// The server behind takes the metadata of a request from its body in the
				// newer revision.
				body := func(method, params string) string {
					if era == "2026-07-28" {
						params = strings.TrimSuffix(params, "}") + `,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"x","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}`
						params = strings.Replace(params, "{,", "{", 1)
					}
					return `{"jsonrpc":"2.0","id":"step-1","method":"` + method + `","params":` + params + `}`
				}
				send := func(token, method, name string) answer {
					t.Helper()
					headers := []string{"Accept", "application/json, text/event-stream", "MCP-Protocol-Version", era, "Mcp-Method", method}
					params := "{}"
					if name != "" {
						headers, params = append(headers, "Mcp-Name", name), `{"name":"`+name+`","arguments":{}}`
					}
					return c.tell(t, client, token, "POST", body(method, params), headers...)
				}
				first := f.token(c, map[string]any{"scope": "mcp:basic mcp:other"})
				if got := send(first, "tools/list", ""); got.status != 200 || !strings.Contains(got.body, `"admin-action"`) || !strings.Contains(got.body, `"test-tool"`) {
					t.Errorf("the list: got %d %s, want both tools", got.status, got.body)
				}
				if got := send(first, "tools/call", "test-tool"); got.status != 200 || !strings.Contains(got.body, `"text":"server"`) {
					t.Errorf("another tool: got %d %s", got.status, got.body)
				}

				refused := send(first, "tools/call", "admin-action")
				challenge := challengeOf(t, refused.header)
				if refused.status != 403 || challenge["error"] != "insufficient_scope" || challenge["error_description"] == "" {
					t.Errorf("without the scope: got %d and the challenge %v, want 403 insufficient_scope", refused.status, challenge)
				}
				asked := strings.Fields(challenge["scope"])
				for _, scope := range []string{"mcp:basic", "mcp:other", "admin"} {
					if !slices.Contains(asked, scope) {
						t.Errorf("the challenge names %q, not %s: a client that asks for it loses that, or doesn't get in", asked, scope)
					}
				}
				var said struct {
					ID    string
					Error struct{ Message string }
				}
				if err := json.Unmarshal([]byte(refused.body), &said); err != nil || said.ID != "step-1" || !strings.Contains(said.Error.Message, "admin") {
					t.Errorf("got the body %s, %v, want a JSON-RPC error for this request", refused.body, err)
				}
				metadata, err := client.Get(challenge["resource_metadata"])
				if err != nil {
					t.Fatal(err)
				}
				defer metadata.Body.Close()
				var document struct {
					Resource string
					Servers  []string `json:"authorization_servers"`
				}
				if err := json.NewDecoder(metadata.Body).Decode(&document); err != nil || metadata.StatusCode != 200 || document.Resource != c.URL+"/mcp" || !slices.Equal(document.Servers, []string{f.Issuer()}) {
					t.Errorf("the metadata: got %d %+v, %v", metadata.StatusCode, document, err)
				}

				// What the authorization server grants is what the client asked for.
				second := f.token(c, map[string]any{"scope": challenge["scope"]})
				if got := send(second, "tools/call", "admin-action"); got.status != 200 || !strings.Contains(got.body, `"text":"server"`) {
					t.Errorf("with the scope: got %d %s", got.status, got.body)
				}
				if got := send(second, "tools/call", "test-tool"); got.status != 200 {
					t.Errorf("the other tool then: got %d %s", got.status, got.body)
				}
				if got := send(first, "tools/call", "admin-action"); got.status != 403 {
					t.Errorf("with the first token again: got %d %s", got.status, got.body)
				}
			})
		}
	}
}

// Step-up at the server that the Go SDK's own conformance is measured with.
func TestPolicyStepUpGoServer(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"jwt", "opaque"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			needNode(t)
			c := startCaddy(t, "respond 503")
			behind := startConformanceServer(t, c, buildConformanceServer(t), "-stateless=true")
			as := startAuthServer(t, c.CA, map[string]any{
				"resources": map[string]any{c.URL + "/mcp": map[string]any{"scopes": []string{"mcp:tools", "mcp:images"}, "format": format}},
				"clients":   []any{map[string]any{"client_id": "front-door", "client_secret": "secret"}},
			})
			verifier := ""
			if format == "opaque" {
				verifier = byIntrospection
			}
			c.reload(withIssuer(strings.NewReplacer("VERIFIER", verifier, "BEHIND", behind).Replace(`
	mcp_auth /mcp* SITE/mcp {
		issuer ISSUER VERIFIER
		scopes mcp:tools
		tools test_image_content need scope mcp:images
		tools test_error_handling nobody
		tools *
	}
	reverse_proxy BEHIND {
		header_up Host {upstream_hostport}
	}
`), as))
			for _, era := range []string{"legacy", "modern"} {
				line := callOnce(t, c, []string{"client-v2.mjs", "--era", era}, "test_image_content", "{}")
				if line.Error != nil || !strings.Contains(string(line.Result), `"image/png"`) {
					t.Errorf("TypeScript SDK v2 %s: got %.300s, %s; want an image", era, line.Result, line.Error)
				}
				if got := strings.Fields(line.Scope); !slices.Contains(got, "mcp:tools") || !slices.Contains(got, "mcp:images") || line.Authorizations != 2 {
					t.Errorf("TypeScript SDK v2 %s: the scope is %q after %d sign-ins, want both after two", era, line.Scope, line.Authorizations)
				}
				if !slices.Contains(line.Tools, "test_image_content") || slices.Contains(line.Tools, "test_error_handling") {
					t.Errorf("TypeScript SDK v2 %s: it is shown the tools %q", era, line.Tools)
				}
			}
			g := connectGoClient(t, c, c.URL+"/mcp")
			result, err := g.session.CallTool(t.Context(), &mcp.CallToolParams{Name: "test_image_content", Arguments: map[string]any{}})
			if err != nil || !strings.Contains(resultText(result), "image/png") || g.authorizations.Load() != 2 {
				t.Errorf("Go SDK: got %.300s, %v after %d sign-ins, want an image after two", resultText(result), err, g.authorizations.Load())
			}
		})
	}
}

// buildConformanceServer builds the server that the Go SDK's own conformance is
// measured with.
func buildConformanceServer(t *testing.T) (binary string) {
	t.Helper()
	binary = filepath.Join(t.TempDir(), "everything")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/modelcontextprotocol/go-sdk/conformance/everything-server").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return binary
}

// Inspector's command line can't ask for a scope at a call: it refreshes its token, which
// brings no scope, and ends with an error. It asks its user for nothing more, and tools
// that need no other scope still work.
func TestInspectorLacksScope(t *testing.T) {
	t.Parallel()
	c := policyServers(t, "jwt", nil)
	for _, era := range []string{"legacy", "auto"} {
		run := func(args ...string) (string, error) {
			ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
			defer cancel()
			out, err := c.inspector(ctx, t, append([]string{"--protocol-era", era}, args...)...).CombinedOutput()
			return string(out), err
		}
		out, err := run("--tool-name", "get-sum", "--tool-arg", "a=2", "--tool-arg", "b=40")
		if err == nil || !strings.Contains(lastLine(out), `{"error":`) || strings.Count(out, "Please navigate to") != 1 {
			t.Errorf("%s: a tool that needs one more scope: got %v, %s; want an error after one sign-in", era, err, out)
		}
		if out, err := run("--tool-name", "echo", "--tool-arg", "message=here"); err != nil || !strings.Contains(out, "here") {
			t.Errorf("%s: another tool: got %v, %s", era, err, out)
		}
	}
	c.logs(`"mcp_auth_refusal":"insufficient_scope"`)
}
