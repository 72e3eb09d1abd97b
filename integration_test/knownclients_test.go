package integration_test

import (
	"crypto/rand"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// knownDocuments are metadata documents of the shape that known clients publish.
const knownDocuments = `
	handle /chatgpt.json {
		header Content-Type application/json
		respond ` + "`" + `{
			"client_id": "SITE/chatgpt.json",
			"client_uri": "https://chatgpt.com/",
			"redirect_uris": ["https://chatgpt.com/connector_platform_oauth_redirect"],
			"token_endpoint_auth_method": "private_key_jwt",
			"token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
			"grant_types": ["authorization_code", "refresh_token"],
			"response_types": ["code"],
			"client_name": "ChatGPT",
			"logo_uri": "https://logo.example/logo.png",
			"token_endpoint_auth_signing_alg": "RS256",
			"jwks_uri": "https://chatgpt.com/oauth/jwks.json"
		}` + "`" + `
	}
	handle /editor.json {
		header Content-Type application/json
		respond ` + "`" + `{
			"client_id": "SITE/editor.json",
			"client_name": "An editor",
			"redirect_uris": ["http://127.0.0.1:33418/", "https://vscode.dev/redirect", "editor://x.y/callback"],
			"grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
			"response_types": ["code"],
			"token_endpoint_auth_method": "none"
		}` + "`" + `
	}
`

// What known clients say of themselves, as far as it is public, gets them in.
func TestEmbeddedServerKnowsKnownClients(t *testing.T) {
	t.Parallel()
	c := startEmbedded(t, embedded+knownDocuments)
	known := func(id, redirect string) *app {
		return &app{t: t, c: c, id: id, redirect: redirect, verifier: rand.Text() + rand.Text()}
	}
	cursor := mustJSON(t, map[string]any{
		"client_name":                "Cursor",
		"redirect_uris":              []string{"cursor://anysphere.cursor-mcp/oauth/callback", "https://www.cursor.com/agents/mcp/oauth/callback", "http://localhost:8787/callback"},
		"grant_types":                []string{"authorization_code", "refresh_token"},
		"response_types":             []string{"code"},
		"token_endpoint_auth_method": "none",
	})
	register := func() (id string, redirects []string) {
		got := c.do("POST", "/oauth/register", cursor, "Content-Type", "application/json")
		var answer struct {
			ID        string   `json:"client_id"`
			Redirects []string `json:"redirect_uris"`
		}
		if err := json.Unmarshal([]byte(got.body), &answer); err != nil || got.status != 201 {
			t.Fatalf("registering: got %d %s", got.status, got.body)
		}
		return answer.ID, answer.Redirects
	}
	id, redirects := register()
	if !slices.Equal(redirects, []string{"https://www.cursor.com/agents/mcp/oauth/callback", "http://localhost:8787/callback"}) {
		t.Errorf("registered for %q", redirects)
	}
	for name, a := range map[string]*app{
		"ChatGPT":                      known(c.URL+"/chatgpt.json", "https://chatgpt.com/connector_platform_oauth_redirect"),
		"an editor on loopback":        known(c.URL+"/editor.json", "http://127.0.0.1:40123/"),
		"an editor on the web":         known(c.URL+"/editor.json", "https://vscode.dev/redirect"),
		"Cursor on the web":            known(id, "https://www.cursor.com/agents/mcp/oauth/callback"),
		"Cursor, on another free port": known(id, "http://localhost:8788/callback"),
	} {
		tokens := a.signIn(c.person(t), "demo")
		if _, who := c.whoami(tokens.Access); who["sub"] != "demo" || who["client_id"] != a.id {
			t.Errorf("%s: whoami says %v", name, who)
		}
		if again := a.refresh(tokens.Refresh); again.status != 200 {
			t.Errorf("%s: refreshing: %+v", name, again)
		}
	}
	// Of a client that comes back to this computer anybody here can take the part,
	// whatever other addresses it has.
	for redirect, warned := range map[string]bool{"http://127.0.0.1:40123/": true, "https://vscode.dev/redirect": false} {
		p := c.person(t)
		consent := p.signIn(p.get(known(c.URL+"/editor.json", redirect).authorizationURL("prompt", "consent")), "demo")
		if got := strings.Contains(consent.text(), "could pose as it"); got != warned || !consent.button("allow") {
			t.Errorf("%s: warned %t, want %t: %s", redirect, got, warned, consent.text())
		}
	}
	pg := c.person(t).get(known(id, "cursor://anysphere.cursor-mcp/oauth/callback").authorizationURL())
	if pg.status != 400 || pg.header.Get("Location") != "" || !strings.Contains(pg.text(), "ask the operator of this server") {
		t.Errorf("a scheme that nobody allowed: got %d %s", pg.status, pg.text())
	}
	c.logs("private_schemes") // what the operator can do
}

// An application with a scheme of its own is opened by the browser.
func TestPrivateSchemeInChromium(t *testing.T) {
	t.Parallel()
	needChromium(t)
	c := startEmbedded(t, strings.Replace(embedded, "\tclients {", "\tprivate_schemes cursor\n\tclients {", 1))
	a := c.register(t, "cursor://anysphere.cursor-mcp/oauth/callback")
	v := chromium(t.Context(), t, c, a.authorizationURL(), "SIGNIN_USER=demo")
	got := v.parameters(t)
	if !strings.HasPrefix(v.URL, a.redirect+"?") || !slices.Equal(v.Acted, []string{"signin", "consent"}) {
		t.Errorf("ended at %s after %q", v.URL, v.Acted)
	}
	if tokens := a.redeem(got.Get("code")); tokens.status != 200 {
		t.Errorf("redeeming: %+v", tokens)
	}
}
