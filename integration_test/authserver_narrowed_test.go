package integration_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// What an operator narrows binds what was granted before, with the reload: tokens,
// remembered consents, sign-ins under way, and what the user is shown.
func TestEmbeddedServerNarrowed(t *testing.T) {
	t.Parallel()
	const site = `
	mcp_auth_server SITE {
		resource SITE/mcp SITE/other
		scopes mcp:tools mcp:admin
` + embeddedUsers + `
		private_schemes cursor
		clients {
			app {
				redirect_uris https://app.example/callback https://app.example/other
			}
			machine {
				secret machine-secret-0123
				client_credentials
				introspection
			}
		}
	}
	mcp_auth /mcp* SITE/mcp {
		issuer SITE
	}
	mcp_whoami /mcp*
`
	const web, both = "https://app.example/callback", "mcp:tools mcp:admin"
	for _, test := range []struct {
		name     string
		redirect string
		register bool
		// was and is say what is replaced in the configuration.
		was, is string
		// want are the scopes that are left.
		want string
	}{
		{"a client's scopes", web, false, "redirect_uris https://app", "scopes mcp:tools\n\t\t\t\tredirect_uris https://app", "mcp:tools"},
		{"scopes", web, false, "scopes mcp:tools mcp:admin", "scopes mcp:tools", "mcp:tools"},
		{"redirect URIs", web, false, "redirect_uris https://app.example/callback", "redirect_uris", ""},
		{"resources", web, false, "resource SITE/mcp SITE/other", "resource SITE/other", ""},
		{"clients", web, false, "app {", "another {", ""},
		{"users", web, false, "demo $2a", "somebody $2a", ""},
		{"registration", web, true, "private_schemes cursor", "registration off", ""},
		{"private schemes", "cursor://anysphere.cursor-mcp/oauth/callback", true, "private_schemes cursor", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := startCaddy(t, site)
			a := &app{t: t, c: c, id: "app", redirect: test.redirect, verifier: strings.Repeat("v", 43)}
			if test.register {
				a = c.register(t, test.redirect)
			}
			p := c.person(t)
			tokens := a.signIn(p, "demo", "scope", both)
			if tokens.Scope != both {
				t.Fatalf("granted %q", tokens.Scope)
			}
			code := p.allow(a.authorizationURL("scope", both), "demo").Get("code")
			halfDone := p.get(a.authorizationURL("scope", both, "prompt", "consent"))

			narrowed := strings.Replace(site, test.was, test.is, 1)
			if narrowed == site {
				t.Fatal("nothing is narrowed")
			}
			c.reload(narrowed)
			if got := a.redeem(code); got.Scope != test.want {
				t.Errorf("redeeming: got %+v, want %q", got, test.want)
			}
			if got := fmt.Sprint(c.introspect(t, tokens.Access)["scope"]); got != test.want && (test.want != "" || got != "<nil>") {
				t.Errorf("introspecting: got %s, want %q", got, test.want)
			}
			if got := a.refresh(tokens.Refresh); got.Scope != test.want {
				t.Errorf("refreshing: got %+v, want %q", got, test.want)
			}
			if pg := p.submit(halfDone, "allow"); pg.header.Get("Location") != "" {
				answer := pg.location(t).Query()
				if got := a.redeem(answer.Get("code")); answer.Get("code") != "" && got.Scope != test.want {
					t.Errorf("a sign-in under way: got %+v, want %q", got, test.want)
				}
			} else if test.want != "" {
				t.Errorf("a sign-in under way: got %d %s", pg.status, pg.text())
			}
			if pg := p.get(a.authorizationURL("scope", both, "prompt", "none")); pg.header.Get("Location") != "" {
				var answer url.Values = pg.location(t).Query()
				if got := a.redeem(answer.Get("code")); answer.Get("code") != "" && got.Scope != test.want {
					t.Errorf("a remembered consent: got %+v, want %q", got, test.want)
				}
			} else if test.want != "" {
				t.Errorf("a remembered consent: got %d %s", pg.status, pg.text())
			}
			if pg := p.get(c.URL + "/oauth/account"); strings.Contains(pg.text(), "mcp:admin") {
				t.Errorf("the user's page still shows mcp:admin: %s", pg.text())
			}
		})
	}
}

// The server and the door beside it agree: the metadata lists what the door needs,
// and a token that no longer gets past it isn't renewed.
func TestEmbeddedServerKnowsItsDoors(t *testing.T) {
	t.Parallel()
	c := startEmbedded(t, embedded)
	a := c.register(t, callback)
	p := c.person(t)
	listed := func() string {
		_, after, _ := strings.Cut(c.do("GET", "/.well-known/oauth-authorization-server", "").body, `"scopes_supported":[`)
		list, _, _ := strings.Cut(after, "]")
		return list
	}
	if got, want := listed(), `"mcp:tools","offline_access"`; got != want {
		t.Errorf("the metadata lists %s, want %s", got, want)
	}
	tokens := a.signIn(p, "demo")
	admin := a.signIn(p, "demo", "scope", "mcp:tools mcp:admin")
	if tokens = a.refresh(tokens.Refresh); tokens.status != 200 {
		t.Fatalf("refreshing: %+v", tokens)
	}
	replaced := strings.NewReplacer("CAFILE", c.CA, "scopes mcp:tools\n", "scopes mcp:tools mcp:admin\n")
	c.reload(replaced.Replace(embedded))
	if got, want := listed(), `"mcp:tools","mcp:admin","offline_access"`; got != want {
		t.Errorf("when the door needs more, the metadata lists %s, want %s", got, want)
	}
	if c.passes(tokens.Access) {
		t.Error("a token without the scope passes")
	}
	if got := a.refresh(tokens.Refresh); got.Error != "invalid_grant" {
		t.Errorf("refreshing without the scope: got %+v, want invalid_grant", got)
	}
	if got := a.refresh(admin.Refresh); got.status != 200 || !c.passes(got.Access) {
		t.Errorf("refreshing with the scope: got %+v", got)
	}
	// A broader scope does.
	c.reload(strings.Replace(replaced.Replace(embedded), "issuer SITE\n", "issuer SITE\n\t\tscope_implies mcp:tools mcp:admin\n", 1))
	if got := a.refresh(tokens.Refresh); got.status != 200 || !c.passes(got.Access) {
		t.Errorf("refreshing with a scope that implies it: got %+v", got)
	}
	// Without the door nothing is known of what is needed.
	without, _, _ := strings.Cut(embedded, "\tmcp_auth /mcp*")
	c.reload(strings.ReplaceAll(without, "CAFILE", c.CA))
	if got, want := listed(), `"mcp:tools","mcp:admin","offline_access"`; got != want {
		t.Errorf("without a door the metadata lists %s, want %s", got, want)
	}
}

// On a network without a way out the first client learns what is the matter, and the
// next ones register.
func TestEmbeddedServerCutOff(t *testing.T) {
	t.Parallel()
	site, _, _ := strings.Cut(embedded, "\t\tclient_documents {")
	c := startCaddy(t, site+"\t}\n\trespond 404\n")
	advertised := func() bool {
		return strings.Contains(c.do("GET", "/.well-known/oauth-authorization-server", "").body, `"client_id_metadata_document_supported":true`)
	}
	if !advertised() {
		t.Error("documents are not advertised at first")
	}
	a := c.register(t, callback)
	published := *a
	published.id = "https://claude.invalid/oauth/client.json"
	pg := c.person(t).get(published.authorizationURL())
	if pg.status != 503 || !strings.Contains(pg.text(), "claude.invalid") || !strings.Contains(pg.text(), "client_documents off") {
		t.Errorf("got %d %s, want 503 with the host and the cure", pg.status, pg.text())
	}
	if advertised() {
		t.Error("documents are still advertised")
	}
	a.signIn(c.person(t), "demo")
}
