package integration_test

import (
	"context"
	"os/exec"
	"strings"
	"testing"
)

// The users of the embedded server. Their passwords cost little to check.
const embeddedUsers = `
		users {
			demo $2a$04$VxJ1bKKHAzTj/lJL.LkBdOc2tKJ.1HLJ0SLQsnv8xXTwCt9DPZpVu "Demo User" demo@example.com
			ada $2a$04$VxJ1bKKHAzTj/lJL.LkBdOc2tKJ.1HLJ0SLQsnv8xXTwCt9DPZpVu "Ada Lovelace"
		}
`

// embedded is a site with its own authorization server. CA stands for the file
// of Caddy's own certificate authority.
const embedded = `
	mcp_auth_server SITE {
		resource SITE/mcp
		scopes {
			mcp:tools "Use the tools of this server"
			mcp:admin "Change how this server works"
		}
` + embeddedUsers + `
		clients {
			desk {
				name "The desk"
				redirect_uris http://127.0.0.1/callback http://127.0.0.1/oauth/callback
			}
			machine {
				secret machine-secret-0123
				client_credentials
				introspection
			}
		}
		client_documents {
			trusted_roots "CAFILE"
			insecure_allow_private
		}
	}
	mcp_auth /mcp* SITE/mcp {
		issuer SITE
		scopes mcp:tools
	}
	mcp_whoami /mcp*
`

// startEmbedded runs a Caddy with the site and an authorization server in it.
func startEmbedded(t *testing.T, site string) *caddyServer {
	t.Helper()
	// Caddy makes its certificate authority at its first start.
	c := startCaddy(t, "respond 503")
	c.reload(strings.ReplaceAll(site, "CAFILE", c.CA))
	return c
}

// Every client signs in at the authorization server in the same Caddy, whose
// keys the front door has without a network.
func TestEmbeddedServer(t *testing.T) {
	t.Parallel()
	needNode(t)
	c := startEmbedded(t, embedded+clientDocument)
	cases := append(c.signInCases(t, c.URL+"/client.json"),
		signInCase{"inspector as a registered client", func(ctx context.Context) *exec.Cmd {
			return c.inspector(ctx, t, "--protocol-era", "auto", "--client-id", "desk")
		}, ""},
		signInCase{"TypeScript SDK v1 as a registered client", func(ctx context.Context) *exec.Cmd {
			return node(ctx, c.CA, "client-v1.mjs", c.URL+"/mcp", "--client-id", "desk")
		}, "2025-11-25"},
		signInCase{"TypeScript SDK v2 as a registered client", func(ctx context.Context) *exec.Cmd {
			return node(ctx, c.CA, "client-v2.mjs", c.URL+"/mcp", "--client-id", "desk")
		}, "2026-07-28"},
	)
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			who := test.run(t, "demo")
			if who["sub"] != "demo" || who["aud"] != c.URL+"/mcp" || who["email"] != "demo@example.com" {
				t.Errorf("whoami says %v, want sub demo, their address, and aud %s/mcp", who, c.URL)
			}
		})
	}
	t.Run("Go SDK", func(t *testing.T) {
		g := connectGoClient(t, c, c.URL+"/mcp")
		who, err := g.whoami()
		if err != nil {
			t.Fatal(err)
		}
		if who["sub"] != "ada" || who["name"] != "Ada Lovelace" {
			t.Errorf("whoami says %v, want sub ada", who)
		}
	})
	if n := c.asked("/oauth/jwks"); n != 0 {
		t.Errorf("the front door asked over the network for the keys, %d times", n)
	}
}
