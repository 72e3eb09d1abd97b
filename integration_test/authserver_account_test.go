package integration_test

import (
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// A user sees who has access, and takes it away.
func TestEmbeddedServerAccount(t *testing.T) {
	t.Parallel()
	c := startEmbedded(t, embedded)
	a := c.register(t, callback)
	p := c.person(t)
	tokens := a.signIn(p, "demo")
	pg := p.get(c.URL + "/oauth/account")
	if !strings.Contains(pg.text(), "A test's application") {
		t.Fatalf("the account page says %s", pg.text())
	}
	var id string
	for n := range pg.root.Descendants() {
		if n.Data == "button" && testkit.Attribute(n, "name") == "revoke" {
			id = testkit.Attribute(n, "value")
		}
	}
	form := url.Values{"revoke": {id}, "csrf": {pg.field("csrf")}}
	if got := p.post(c.URL+"/oauth/account", clone(form, "csrf", "x")); got.status != 400 {
		t.Errorf("without the page's token: got %d", got.status)
	}
	ada := c.person(t)
	a.signIn(ada, "ada")
	if got := ada.post(c.URL+"/oauth/account", form); got.status != 400 {
		t.Errorf("another user: got %d %s, want 400", got.status, got.text())
	}
	after := p.post(c.URL+"/oauth/account", form)
	if after.status != 200 || strings.Contains(after.text(), "A test's application") {
		t.Errorf("after: got %d %s", after.status, after.text())
	}
	if got := a.refresh(tokens.Refresh); got.Error != "invalid_grant" {
		t.Errorf("refreshing after: got %+v, want invalid_grant", got)
	}
	if got := c.introspect(t, tokens.Access); got["active"] != false {
		t.Errorf("introspection after: got %v, want inactive", got)
	}
	if got := p.get(a.authorizationURL()); !got.button("allow") {
		t.Errorf("not asked again: %d %s", got.status, got.header.Get("Location"))
	}
	// Signing out ends the session itself: a copy of its cookies doesn't work on.
	copied := p.copied(c.URL)
	if got := copied.get(c.URL + "/oauth/account"); !strings.Contains(got.text(), "You are signed in as Demo User") {
		t.Fatalf("a copy of all cookies: %s", got.text())
	}
	// Nor is it signed out by a link or a form of another site.
	form = url.Values{"csrf": {after.field("csrf")}, "where": {"here"}}
	if got := p.post(c.URL+"/oauth/signout", form, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"); got.status != 403 {
		t.Errorf("another site signs out: got %d", got.status)
	}
	for _, when := range []string{"once", "twice"} {
		if out := p.post(c.URL+"/oauth/signout", form); out.status != 200 || !strings.Contains(out.text(), "You are signed out") {
			t.Errorf("signing out %s: got %d %s", when, out.status, out.text())
		}
	}
	for name, browser := range map[string]*person{"the browser": p, "the copy": copied} {
		if got := browser.get(c.URL + "/oauth/account"); !got.button("signin") {
			t.Errorf("%s is still signed in: %s", name, got.text())
		}
	}
	if got := ada.get(c.URL + "/oauth/account"); got.button("signin") {
		t.Error("another user is signed out")
	}

	// Everywhere, also after a reload, which has no memory of its own.
	elsewhere := c.person(t)
	elsewhere.signIn(elsewhere.get(c.URL+"/oauth/account"), "demo")
	here := p.signIn(p.get(c.URL+"/oauth/account"), "demo")
	c.reload(strings.ReplaceAll(embedded, "CAFILE", c.CA))
	if got := elsewhere.get(c.URL + "/oauth/account"); got.button("signin") {
		t.Fatalf("a reload ends a session: %s", got.text())
	}
	p.post(c.URL+"/oauth/signout", url.Values{"csrf": {here.field("csrf")}, "where": {"everywhere"}})
	for name, browser := range map[string]*person{"the browser": p, "another one": elsewhere} {
		if got := browser.get(c.URL + "/oauth/account"); !got.button("signin") {
			t.Errorf("signed out everywhere, %s is still signed in: %s", name, got.text())
		}
	}
}

// copied returns another browser with the cookies that p has at the site.
func (p *person) copied(site string) *person {
	p.t.Helper()
	u, err := url.Parse(site)
	if err != nil {
		p.t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	jar.SetCookies(u, p.client.Jar.Cookies(u))
	other := *p.client
	other.Jar = jar
	return &person{p.t, &other}
}

// The pages call the MCP server what its front door calls it.
func TestEmbeddedServerNamesTheServer(t *testing.T) {
	t.Parallel()
	c := startEmbedded(t, strings.Replace(embedded, "\t\tissuer SITE\n", "\t\tissuer SITE\n\t\tmetadata resource_name \"Acme files\"\n", 1))
	a := c.register(t, callback)
	p := c.person(t)
	signIn := p.get(a.authorizationURL())
	for step, text := range map[string]string{"sign-in": signIn.text(), "consent": p.signIn(signIn, "demo").text()} {
		if !strings.Contains(text, "Acme files") || !strings.Contains(text, c.URL+"/mcp") {
			t.Errorf("%s: %s", step, text)
		}
	}
	c.reload(strings.ReplaceAll(embedded, "CAFILE", c.CA))
	if got := p.get(a.authorizationURL()).text(); strings.Contains(got, "Acme files") || !strings.Contains(got, strings.TrimPrefix(c.URL, "https://")+"/mcp") {
		t.Errorf("after a reload without the name: %s", got)
	}
}

// Passwords are hashed as Caddy does it, with either of its algorithms.
func TestEmbeddedServerPasswords(t *testing.T) {
	t.Parallel()
	hash := func(algorithm string) string {
		cmd := exec.Command(caddyBinary, "hash-password", "--algorithm", algorithm, "--plaintext", "demo-password")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	// A cost of 14 takes a second.
	site := strings.Replace(embedded, "users {", "users {\n\t\t\tgrace "+hash("argon2id")+"\n", 1)
	site = strings.Replace(site, "\t\tclients {", "\t\tusers argon2id {\n\t\t\tjoan "+hash("argon2id")+"\n\t\t}\n\t\tclients {", 1)
	c := startEmbedded(t, site)
	c.logs("passwords are hashed in several ways")
	for _, user := range []string{"demo", "grace", "joan"} {
		p := c.person(t)
		page := p.get(c.URL + "/oauth/account")
		if got := p.submit(page, "signin", "username", user, "password", "demo-passwore"); got.status != 401 {
			t.Errorf("%s with a wrong password: got %d %s", user, got.status, got.text())
		}
		if got := p.signIn(page, user); !strings.Contains(got.text(), "You are signed in as") {
			t.Errorf("%s: got %d %s", user, got.status, got.text())
		}
	}
}
