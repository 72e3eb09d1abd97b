package integration_test

import (
	"net/url"
	"strings"
	"testing"
)

// issuersSite has two authorization servers with one secret, on one host and one
// storage. Their paths differ in a slash.
const issuersSite = `
	mcp_auth_server SITE/test/1 {
		OPTIONS
	}
	mcp_auth_server SITE/test1 {
		OPTIONS
	}
`

const issuersOptions = `
		resource SITE/test/1/mcp SITE/test1/mcp
		scopes mcp:tools
		secret one-secret-of-both-servers-0123456789
` + embeddedUsers + `
		clients {
			app {
				redirect_uris http://127.0.0.1/callback
			}
			machine {
				secret machine-secret-0123
				introspection
			}
		}
`

// below returns the server whose issuer has the path.
func (c *caddyServer) below(path string) *caddyServer {
	return &caddyServer{t: c.t, admin: c.admin, dir: c.dir, cmd: c.cmd, log: c.log, exited: c.exited, env: c.env, binary: c.binary, global: c.global, Host: c.Host, URL: c.URL + path, CA: c.CA}
}

// Nothing that one of two servers has issued counts at the other, which can't end
// it either, although they share a secret, a storage, and a browser.
func TestTwoIssuers(t *testing.T) {
	t.Parallel()
	c := startCaddy(t, strings.ReplaceAll(issuersSite, "OPTIONS", issuersOptions))
	first, second := c.below("/test/1"), c.below("/test1")
	for _, servers := range [][2]*caddyServer{{first, second}, {second, first}} {
		here, there := servers[0], servers[1]
		name := here.URL + " at " + there.URL

		dynamic := here.register(t, callback)
		if pg := c.person(t).get(dynamic.at(there).authorizationURL()); pg.status != 401 && pg.status != 400 || pg.header.Get("Location") != "" || !strings.Contains(pg.text(), "invalid_client") {
			t.Errorf("%s: a client that registered: got %d %s", name, pg.status, pg.text())
		}

		a := &app{t: t, c: here, id: "app", redirect: callback, verifier: dynamic.verifier}
		elsewhere := a.at(there)
		p := c.person(t)
		code := p.allow(a.authorizationURL(), "demo").Get("code")
		// The browser that is signed in here is not signed in there.
		if pg := p.get(elsewhere.authorizationURL()); !pg.button("signin") {
			t.Errorf("%s: a session: got %d %s", name, pg.status, pg.text())
		}
		if got := elsewhere.redeem(code); got.Error != "invalid_grant" {
			t.Errorf("%s: a code: got %+v, want invalid_grant", name, got)
		}
		tokens := a.redeem(code)
		if tokens.status != 200 {
			t.Fatalf("%s: the code at its own server: %+v", name, tokens)
		}
		if got := elsewhere.refresh(tokens.Refresh); got.Error != "invalid_grant" {
			t.Errorf("%s: a refresh token: got %+v, want invalid_grant", name, got)
		}
		for kind, token := range map[string]string{"access": tokens.Access, "refresh": tokens.Refresh} {
			if got := there.introspect(t, token)["active"]; got != false {
				t.Errorf("%s: the %s token is active: %v", name, kind, got)
			}
			there.do("POST", "/oauth/revoke", url.Values{"token": {token}, "client_id": {"app"}}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
		}
		if got := here.introspect(t, tokens.Access)["active"]; got != true {
			t.Errorf("%s: the other server has revoked the grant", name)
		}
		if got := a.refresh(tokens.Refresh); got.status != 200 {
			t.Errorf("%s: the refresh token at its own server: %+v", name, got)
		}

		// Signing in there leaves the session here alone.
		if got := p.allow(elsewhere.authorizationURL(), "ada"); got.Get("code") == "" {
			t.Errorf("%s: signing in there: %v", name, got)
		}
		if pg := p.get(here.URL + "/oauth/account"); !strings.Contains(pg.text(), "Demo User") {
			t.Errorf("%s: the session here is over, or another user's: %s", name, pg.text())
		}
		if pg := p.get(there.URL + "/oauth/account"); !strings.Contains(pg.text(), "Ada Lovelace") {
			t.Errorf("%s: the session there: %s", name, pg.text())
		}
		// A page of one is no page of the other: its form doesn't count there.
		pg := p.get(here.URL + "/oauth/account")
		if form := pg.form(); form != nil {
			if got := p.post(there.URL+"/oauth/signout", form.fields); got.status < 400 {
				t.Errorf("%s: a form: got %d %s", name, got.status, got.text())
			}
		}
	}
}
