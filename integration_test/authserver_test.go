package integration_test

import (
	"context"
	"encoding/base64"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
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
	for name, connect := range map[string]func() *goClient{
		"Go SDK": func() *goClient { return connectGoClient(t, c, c.URL+"/mcp") },
		"Go SDK with a metadata document": func() *goClient {
			return connectGoClientAs(t, c, c.URL+"/mcp", func(config *auth.AuthorizationCodeHandlerConfig) {
				config.ClientIDMetadataDocumentConfig = &auth.ClientIDMetadataDocumentConfig{URL: c.URL + "/client.json"}
			})
		},
		"Go SDK as a registered client": func() *goClient {
			return connectGoClientAs(t, c, c.URL+"/mcp", func(config *auth.AuthorizationCodeHandlerConfig) {
				config.PreregisteredClient = &oauthex.ClientCredentials{ClientID: "desk"}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			who, err := connect().whoami()
			if err != nil {
				t.Fatal(err)
			}
			if who["sub"] != "ada" || who["name"] != "Ada Lovelace" {
				t.Errorf("whoami says %v, want sub ada", who)
			}
		})
	}
	if n := c.asked("/oauth/jwks"); n != 0 {
		t.Errorf("the front door asked over the network for the keys, %d times", n)
	}
}

// A machine acts for itself, at what it may.
func TestEmbeddedServerMachine(t *testing.T) {
	t.Parallel()
	c := startEmbedded(t, embedded)
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"mcp:tools"}, "resource": {c.URL + "/mcp"}}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("machine:machine-secret-0123"))
	tokens := c.token(t, form, "Authorization", basic)
	if _, who := c.whoami(tokens.Access); who["sub"] != "machine" || tokens.Refresh != "" {
		t.Errorf("got %+v, whoami says %v; want machine, and no refresh token", tokens, who)
	}
	if c.introspect(t, tokens.Access)["active"] != true {
		t.Error("its token is not active")
	}
	revoke := c.do("POST", "/oauth/revoke", url.Values{"token": {tokens.Access}}.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Authorization", basic)
	if got := c.introspect(t, tokens.Access); revoke.status != 200 || got["active"] != false {
		t.Errorf("revoking it: got %d %s, then %v; want it inactive", revoke.status, revoke.body, got)
	}
	wrong := "Basic " + base64.StdEncoding.EncodeToString([]byte("machine:machine-secret-0124"))
	if got := c.token(t, form, "Authorization", wrong); got.status != 401 || got.Error != "invalid_client" {
		t.Errorf("wrong secret: got %+v, want 401 invalid_client", got)
	}
}

// In another Caddy it is an issuer as any other, which may be asked about
// revocations.
func TestEmbeddedServerOfAnotherCaddy(t *testing.T) {
	t.Parallel()
	c := startCaddy(t, "respond 503")
	tools := newCaddy(t)
	tools.env = []string{"SSL_CERT_FILE=" + c.CA}
	c.reload(strings.NewReplacer("CAFILE", c.CA, "resource SITE/mcp", "resource "+tools.URL+"/mcp "+tools.URL+"/asked").Replace(embedded))
	tools.start(tools.caddyfile(`
		mcp_auth /mcp* SITE/mcp {
			issuer ` + c.URL + `
			scopes mcp:tools
		}
		mcp_auth /asked* SITE/asked {
			issuer ` + c.URL + ` {
				introspection {
					client_id machine
					client_secret machine-secret-0123
					confirm_jwt
				}
				cache off
			}
			scopes mcp:tools
		}
		mcp_whoami
	`))
	a := c.register(t, callback)
	p := c.person(t)
	tokensFor := func(resource string) tokenAnswer {
		answer := p.allow(a.authorizationURL("resource", resource), "demo")
		return a.redeem(answer.Get("code"), "resource", resource)
	}
	signed, asked := tokensFor(tools.URL+"/mcp"), tokensFor(tools.URL+"/asked")
	if _, who := tools.whoami(signed.Access); who["sub"] != "demo" {
		t.Errorf("whoami says %v, want demo", who)
	}
	if got := tools.do("POST", "/asked", initialize, mcpHeaders(signed.Access)...); got.status != 401 {
		t.Errorf("a token for another resource: got %d, want 401", got.status)
	}
	if got := tools.do("POST", "/asked", initialize, mcpHeaders(asked.Access)...); got.status != 200 {
		t.Fatalf("the token at the door that asks: got %d %s", got.status, got.body)
	}
	revoke := url.Values{"client_id": {a.id}, "token": {asked.Refresh}}
	if got := c.do("POST", "/oauth/revoke", revoke.Encode(), "Content-Type", "application/x-www-form-urlencoded"); got.status != 200 {
		t.Fatalf("revoking: got %d %s", got.status, got.body)
	}
	if got := tools.do("POST", "/asked", initialize, mcpHeaders(asked.Access)...); got.status != 401 {
		t.Errorf("revoked: got %d, want 401", got.status)
	}
}
