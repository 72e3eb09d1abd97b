package integration_test

import (
	"context"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// frontDoor is the site that the clients sign in at: `whoami` behind the front
// door, and the clients' metadata document beside it.
const frontDoor = `
	mcp_auth /mcp* SITE/mcp {
		issuer ISSUER
		scopes mcp:tools
		metadata resource_name "Integration test"
	}
	handle /mcp* {
		mcp_whoami
	}
` + clientDocument

// clientDocument is the metadata document of the clients.
const clientDocument = `
	handle /client.json {
		header Content-Type application/json
		respond ` + "`" + `{
			"client_id": "SITE/client.json",
			"client_name": "integration test",
			"application_type": "native",
			"redirect_uris": ["http://127.0.0.1/callback", "http://127.0.0.1/oauth/callback"],
			"grant_types": ["authorization_code", "refresh_token"],
			"response_types": ["code"],
			"token_endpoint_auth_method": "none"
		}` + "`" + `
	}
`

// signInServers starts a Caddy with the front door and its authorization
// server.
func signInServers(t *testing.T, site string, scopes ...string) (*caddyServer, *authServer) {
	t.Helper()
	needNode(t)
	// The authorization server trusts Caddy's authority, which Caddy makes at
	// its first start.
	c := startCaddy(t, "respond 503")
	as := startAuthServer(t, c.CA, map[string]any{
		"resources": map[string]any{c.URL + "/mcp": map[string]any{"scopes": scopes}},
		"clients":   []any{map[string]any{"client_id": "machine", "client_secret": "secret"}},
	})
	c.reload(withIssuer(site, as))
	return c, as
}

func withIssuer(site string, as *authServer) string {
	return strings.ReplaceAll(site, "ISSUER", as.Issuer)
}

// signInCase is a client that signs in and calls whoami.
type signInCase struct {
	name string
	cmd  func(context.Context) *exec.Cmd
	// version is the negotiated revision; Inspector doesn't print it.
	version string
}

// inspector returns a command that calls whoami at the MCP server of c by
// Inspector's CLI.
func (c *caddyServer) inspector(ctx context.Context, t *testing.T, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "./inspector.sh", append([]string{c.URL + "/mcp", "--method", "tools/call", "--tool-name", "whoami"}, args...)...)
	cmd.Dir = nodeDir
	cmd.Env = append(node(ctx, c.CA, "").Env, "INSPECTOR_HOME="+t.TempDir())
	return cmd
}

// signInCases are the clients that know nothing but a URL, with the address of a
// metadata document for those that can have one.
func (c *caddyServer) signInCases(t *testing.T, document string) []signInCase {
	inspector := func(args ...string) func(context.Context) *exec.Cmd {
		return func(ctx context.Context) *exec.Cmd { return c.inspector(ctx, t, args...) }
	}
	script := func(name string, args ...string) func(context.Context) *exec.Cmd {
		return func(ctx context.Context) *exec.Cmd {
			return node(ctx, c.CA, name, append([]string{c.URL + "/mcp"}, args...)...)
		}
	}
	return []signInCase{
		{"inspector legacy", inspector("--protocol-era", "legacy"), ""},
		{"inspector auto", inspector("--protocol-era", "auto"), ""},
		{"inspector modern", inspector("--protocol-era", "modern"), ""},
		{"inspector with a metadata document", inspector("--protocol-era", "auto", "--client-metadata-url", document), ""},
		{"TypeScript SDK v1", script("client-v1.mjs"), "2025-11-25"},
		{"TypeScript SDK v1 with a metadata document", script("client-v1.mjs", "--client-metadata-url", document), "2025-11-25"},
		{"TypeScript SDK v2 legacy", script("client-v2.mjs", "--era", "legacy"), "2025-11-25"},
		{"TypeScript SDK v2 auto", script("client-v2.mjs", "--era", "auto"), "2026-07-28"},
		{"TypeScript SDK v2 modern", script("client-v2.mjs", "--era", "modern"), "2026-07-28"},
		{"TypeScript SDK v2 with a metadata document", script("client-v2.mjs", "--client-metadata-url", document), "2026-07-28"},
	}
}

// run runs the client with the user and returns what whoami told it.
func (test signInCase) run(t *testing.T, user string, env ...string) map[string]any {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	cmd := test.cmd(ctx)
	cmd.Env = append(cmd.Env, "BROWSER_USER="+user)
	cmd.Env = append(cmd.Env, env...)
	out := output(t, cmd)
	if test.version == "" {
		return toolText(t, out)
	}
	var line clientLine
	if err := json.Unmarshal(out, &line); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if line.ProtocolVersion != test.version {
		t.Errorf("negotiated %q, want %q", line.ProtocolVersion, test.version)
	}
	if !slices.Equal(line.Tools, []string{"whoami"}) {
		t.Errorf("tools %q, want whoami", line.Tools)
	}
	if line.Authorizations != 1 {
		t.Errorf("the user was asked %d times, want once", line.Authorizations)
	}
	return toolText(t, line.Result)
}

// A client knows nothing but the URL; in the end it has called whoami as the
// user who signed in.
func TestClientsSignIn(t *testing.T) {
	t.Parallel()
	c, _ := signInServers(t, frontDoor, "mcp:tools")
	for _, test := range c.signInCases(t, c.URL+"/client.json") {
		t.Run(test.name, func(t *testing.T) {
			who := test.run(t, "ada")
			if who["sub"] != "ada" || who["aud"] != c.URL+"/mcp" {
				t.Errorf("whoami says %v, want sub ada and aud %s/mcp", who, c.URL)
			}
		})
	}
}
