package integration_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// Behind this façade is a server that knows the MCP server, and its scope, by
// other names, and whose registration a browser could not use.
const repairingFacade = `
	mcp_auth_facade SITE {
		upstream BEHIND
		register forward
		strip resource
		add resource https://api.internal.example/tools
		scope map mcp:tools internal.tools
		remove claims_supported
	}
	mcp_auth /mcp* SITE/mcp {
		issuer SITE {
			audience https://api.internal.example/tools
			metadata jwks_uri BEHIND/jwks
		}
		scopes mcp:tools
		scope_implies internal.tools mcp:tools
	}
	mcp_whoami /mcp*
	reverse_proxy BEHIND
`

func TestFacadeRepairs(t *testing.T) {
	t.Parallel()
	needNode(t)
	c := startCaddy(t, "respond 503")
	port := testkit.FreePort(t)
	behind := fmt.Sprintf("http://127.0.0.1:%d", port)
	as := startAuthServer(t, "", map[string]any{
		"port":      port,
		"issuer":    c.URL,
		"cimd":      false,
		"resources": map[string]any{"https://api.internal.example/tools": map[string]any{"scopes": []string{"internal.tools"}}},
	})
	c.reload(strings.ReplaceAll(repairingFacade, "BEHIND", behind))
	for _, test := range c.signInCases(t, "") {
		if test.name != "inspector auto" && test.name != "TypeScript SDK v1" && test.name != "TypeScript SDK v2 modern" {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			who := test.run(t, "ada")
			if who["sub"] != "ada" || who["aud"] != "https://api.internal.example/tools" || who["scope"] != "internal.tools" {
				t.Errorf("whoami says %v", who)
			}
		})
	}
	c.logs("mapped scope")
	c.logs("removed resource")
	as.Issuer = behind // where the tests ask it
	if n := as.requests()["POST /reg"]; n < 3 {
		t.Errorf("the server behind registered %d clients, want three or more", n)
	}

	metadata := func() map[string]any {
		t.Helper()
		got := c.do("GET", "/.well-known/oauth-authorization-server", "")
		var m map[string]any
		if err := json.Unmarshal([]byte(got.body), &m); err != nil || got.status != 200 {
			t.Fatalf("metadata: got %d %s", got.status, got.body)
		}
		return m
	}
	m := metadata()
	if m["registration_endpoint"] != c.URL+"/oauth/register" || m["token_endpoint"] != c.URL+"/token" || m["claims_supported"] != nil {
		t.Errorf("metadata is %v", m)
	}
	if scopes := mustJSON(t, m["scopes_supported"]); !strings.Contains(scopes, `"mcp:tools"`) || strings.Contains(scopes, "internal.tools") {
		t.Errorf("scopes_supported is %s", scopes)
	}
	// The server behind goes away: clients still learn what it looks like.
	c.reload(strings.NewReplacer("BEHIND", behind, "reverse_proxy BEHIND", "respond 502").Replace(repairingFacade))
	as.stop()
	if got := metadata(); got["issuer"] != c.URL {
		t.Errorf("metadata while the server is away: %v", got)
	}
	got := c.do("POST", "/oauth/register", `{"redirect_uris":["http://127.0.0.1/cb"]}`, "Content-Type", "application/json")
	if got.status != 503 || got.header.Get("Retry-After") == "" || !strings.HasPrefix(got.body, "{") {
		t.Errorf("registering while the server is away: got %d %s, want 503 in JSON", got.status, got.body)
	}
}

// A refusal of the façade's own is an answer as the server's: with iss, if that
// promises it, or clients would not believe it (RFC 9207, section 2.4).
func TestFacadeRefusalHasIssuer(t *testing.T) {
	t.Parallel()
	needNode(t)
	c := startCaddy(t, "respond 503")
	port := testkit.FreePort(t)
	startAuthServer(t, "", map[string]any{"port": port, "issuer": c.URL, "cimd": false})
	c.reload(strings.ReplaceAll(`
		mcp_auth_facade SITE {
			upstream BEHIND
			register static shared {
				redirect_uris http://127.0.0.1:1/callback
			}
		}
		reverse_proxy BEHIND
	`, "BEHIND", fmt.Sprintf("http://127.0.0.1:%d", port)))
	p := c.person(t)
	query := url.Values{
		"response_type": {"code"}, "client_id": {"shared"}, "redirect_uri": {callback}, "state": {"s"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
	}
	to := p.submit(p.get(c.URL+"/auth?"+query.Encode()), "deny").location(t)
	if got := to.Query(); got.Get("error") != "access_denied" || got.Get("state") != "s" || got.Get("iss") != c.URL {
		t.Errorf("the client was told %s, want access_denied with state and iss", to)
	}
}
