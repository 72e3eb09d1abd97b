package integration_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// Opaque tokens of oidc-provider, by introspection: a client signs in as it does
// with JWTs, and notices nothing.
func TestOpaqueTokensByIntrospection(t *testing.T) {
	t.Parallel()
	needNode(t)
	c := startCaddy(t, "respond 503")
	resource := c.URL + "/mcp"
	as := startAuthServer(t, c.CA, map[string]any{
		"resources": map[string]any{resource: map[string]any{"scopes": []string{"mcp:tools"}, "format": "opaque"}},
		"clients":   []any{map[string]any{"client_id": "front-door", "client_secret": "s3cr3t & more: 100%"}},

		"alwaysRefreshToken": true,
	})
	c.reload(withIssuer(`
		mcp_auth /mcp* SITE/mcp {
			issuer ISSUER {
				introspection {
					client_id front-door
					client_secret "s3cr3t & more: 100%"
				}
			}
			scopes mcp:tools
		}
		handle /mcp* {
			mcp_whoami
		}
	`, as))
	g := connectGoClient(t, c, resource)
	who, err := g.whoami()
	if err != nil || who["sub"] != "ada" || who["active"] != nil {
		t.Fatalf("whoami says %v, %v, want ada", who, err)
	}
	if n := as.requests()["POST /token/introspection"]; n != 1 {
		t.Errorf("%d introspection requests for one token, want one", n)
	}
	if got, _ := c.whoami("no-such-token"); got.status != 401 || got.challenge(t)["error"] != "invalid_token" {
		t.Errorf("with a made up token: got %d, want 401 invalid_token", got.status)
	}
	// It may be active, but it is for the token endpoint.
	if got, _ := c.whoami(g.refreshToken()); got.status != 401 || got.challenge(t)["error"] != "invalid_token" {
		t.Errorf("with the refresh token: got %d, want 401 invalid_token", got.status)
	}
	// A token for nobody in particular is no token for us.
	if got, _ := c.whoami(as.clientToken("front-door", "s3cr3t & more: 100%", nil)); got.status != 401 {
		t.Errorf("with a token that has no audience: got %d, want 401", got.status)
	}
}

// Where tokens are only introspected a signed JWT doesn't pass. Nor if it is to be
// confirmed: oidc-provider refuses to introspect its own JWTs, and what nobody
// vouches for is no good; but who knows.
func TestJWTWhereTokensAreIntrospected(t *testing.T) {
	t.Parallel()
	for option, want := range map[string]int{"": 401, "confirm_jwt": 503} {
		c, as := signInServers(t, `
			mcp_auth /mcp* SITE/mcp {
				issuer ISSUER {
					introspection {
						client_id machine
						client_secret secret
						`+option+`
					}
				}
			}
			handle /mcp* {
				mcp_whoami
			}
		`, "mcp:tools")
		if got, _ := c.whoami(as.machineToken("machine", "secret", c.URL+"/mcp", "mcp:tools")); got.status != want {
			t.Errorf("%q: got %d, want %d", option, got.status, want)
		}
		if n := as.requests()["POST /token/introspection"]; (n > 0) != (option != "") {
			t.Errorf("%q: %d introspection requests", option, n)
		}
	}
}

// Opaque tokens of oidc-provider, by userinfo: what clients get that don't send
// resource.
func TestOpaqueTokensByUserinfo(t *testing.T) {
	t.Parallel()
	needNode(t)
	c := startCaddy(t, "respond 503")
	as := startAuthServer(t, c.CA, map[string]any{"resourceIndicators": false})
	c.reload(withIssuer(`
		mcp_auth /mcp* SITE/mcp {
			issuer ISSUER {
				jwt
				userinfo {
					require email_verified true
				}
			}
			scopes_supported openid email
		}
		handle /mcp* {
			mcp_whoami
		}
	`, as))
	g := connectGoClient(t, c, c.URL+"/mcp")
	who, err := g.whoami()
	if err != nil || who["sub"] != "ada" || who["email"] != "ada@example.test" {
		t.Fatalf("whoami says %v, %v, want ada with her address", who, err)
	}
	if got, _ := c.whoami("no-such-token"); got.status != 401 {
		t.Errorf("with a made up token: got %d, want 401", got.status)
	}
	c.logs("userinfo") // it knows no audience
}

// Whom userinfo refuses for want of a scope has to sign in again; that it can't be
// asked is in the log.
func TestUserinfoRefusesAndFails(t *testing.T) {
	t.Parallel()
	status := make(chan int, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://auth.example.com/oidc", error="insufficient_scope", scope="openid"`)
		w.WriteHeader(<-status)
	}))
	t.Cleanup(server.Close)
	c := startCaddy(t, `
		mcp_auth SITE/mcp {
			issuer `+server.URL+` {
				discovery off
				userinfo {
					endpoint `+server.URL+`/userinfo
				}
			}
		}
	`)
	status <- http.StatusForbidden
	if got := c.do("POST", "/mcp", "{}", mcpHeaders("without-openid")...); got.status != 401 || got.challenge(t)["error"] != "invalid_token" {
		t.Errorf("without openid: got %d", got.status)
	}
	if c.log.contains("the userinfo endpoint can't be asked") {
		t.Error("what is about one token is a warning")
	}
	status <- http.StatusInternalServerError
	if got := c.do("POST", "/mcp", "{}", mcpHeaders("another")...); got.status != 503 {
		t.Errorf("while userinfo is broken: got %d", got.status)
	}
	c.logs("the userinfo endpoint can't be asked")
}
