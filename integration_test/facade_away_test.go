package integration_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// A server that isn't there yet, or any longer, makes for answers that clients
// understand; what is known of it goes on serving, also after a reload.
func TestFacadeWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	needNode(t)
	c := startCaddy(t, "respond 503")
	port := testkit.FreePort(t)
	site := strings.ReplaceAll(`
		mcp_auth_facade SITE {
			upstream BEHIND
			register forward
		}
		reverse_proxy BEHIND
	`, "BEHIND", fmt.Sprintf("http://127.0.0.1:%d", port))
	c.reload(site)

	const registration = `{"redirect_uris":["http://127.0.0.1/cb"],"token_endpoint_auth_method":"none"}`
	unavailable := func(name string, got answer) {
		t.Helper()
		var body map[string]any
		if err := json.Unmarshal([]byte(got.body), &body); err != nil || got.status != 503 || body["error"] != "temporarily_unavailable" || got.header.Get("Retry-After") == "" {
			t.Errorf("%s: got %d %s, want 503 in JSON with Retry-After", name, got.status, got.body)
		}
	}
	const metadata = "/.well-known/oauth-authorization-server"
	got := c.do("GET", metadata, "", "Origin", "https://inspector.example")
	unavailable("metadata", got)
	if got.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Error("a web page can't read that the server is away")
	}
	unavailable("registration", c.do("POST", "/oauth/register", registration, "Content-Type", "application/json"))
	// Nobody knows which address it is, and nobody would have looked at it.
	pg := c.person(t).get(c.URL + "/auth?client_id=a&response_type=code")
	if pg.status != 503 || pg.header.Get("Retry-After") == "" || !strings.Contains(pg.text(), "Try again in a minute.") {
		t.Errorf("authorization: got %d %s, want 503 on a page", pg.status, pg.text())
	}
	if got := c.do("GET", "/other", ""); got.status != 502 {
		t.Errorf("anything else: got %d, want that of reverse_proxy", got.status)
	}

	as := startAuthServer(t, "", map[string]any{"port": port, "issuer": c.URL, "cimd": false})
	c.waitFor("the metadata of the server that has come", func() bool { return c.do("GET", metadata, "").status == 200 })
	if got := c.do("POST", "/oauth/register", registration, "Content-Type", "application/json"); got.status != 201 {
		t.Errorf("registration: got %d %s", got.status, got.body)
	}

	as.stop()
	before := c.do("GET", metadata, "")
	c.reload(site + "\nheader X-Reloaded yes\n")
	after := c.do("GET", metadata, "")
	if before.status != 200 || after.status != 200 || before.body != after.body {
		t.Errorf("away again: got %d %s, after a reload %d %s", before.status, before.body, after.status, after.body)
	}
	unavailable("registration, away again", c.do("POST", "/oauth/register", registration, "Content-Type", "application/json"))
	if got := c.do("GET", "/auth?client_id=a&response_type=code", ""); got.status != 400 {
		t.Errorf("an authorization request without PKCE: got %d %s", got.status, got.body)
	}
}
