package authserver

import (
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// Signing out ends the session, wherever its cookie has been copied to.
func TestSignOut(t *testing.T) {
	t.Parallel()
	s := newTestSite(t)
	p, other := s.person(), s.person()
	page := p.get(accountPath).signIn("ada")
	other.get(accountPath).signIn("ada")
	copied := p.copied()
	if copied.signedInAs() != "Ada" {
		t.Fatal("a copy of all cookies doesn't work")
	}
	for _, when := range []string{"first", "again", "and again, by a copy"} {
		got := page.press("where", "here")
		if got.status != 200 || !strings.Contains(got.text(), "You are signed out of this browser.") {
			t.Errorf("%s: got %d %s", when, got.status, got.text())
		}
		if p.jar[siteCookie(sessionCookie)] != "" || p.signedInAs() != "" || copied.signedInAs() != "" {
			t.Errorf("%s: still signed in: as %q, a copy as %q", when, p.signedInAs(), copied.signedInAs())
		}
		if when == "again" {
			page.p = copied
		}
	}
	if other.signedInAs() != "Ada" {
		t.Error("signed out of another browser as well")
	}
}

func TestSignOutEverywhere(t *testing.T) {
	t.Parallel()
	s := newTestSite(t)
	p, other, bob := s.person(), s.person(), s.person()
	page := p.get(accountPath).signIn("ada")
	other.get(accountPath).signIn("ada")
	bob.get(accountPath).signIn("bob")
	copied := p.copied()
	if got := page.press("where", "everywhere"); got.status != 200 || !strings.Contains(got.text(), "signed out of every browser. Applications you allowed keep their access") {
		t.Errorf("got %d %s", got.status, got.text())
	}
	if p.signedInAs() != "" || copied.signedInAs() != "" || other.signedInAs() != "" {
		t.Error("still signed in somewhere")
	}
	if bob.signedInAs() != "bob" {
		t.Error("another user is signed out")
	}
	// The page that is left over ends nothing that began later.
	other.get(accountPath).signIn("ada")
	if got := page.press("where", "everywhere"); got.status != 200 || !strings.Contains(got.text(), "You are signed out of this browser.") {
		t.Errorf("again: got %d %s", got.status, got.text())
	}
	if other.signedInAs() != "Ada" {
		t.Error("a page of a session that has ended ends another one")
	}
}

// Another site, another browser, another user can't sign a user out.
func TestSignOutByOthers(t *testing.T) {
	t.Parallel()
	s := newTestSite(t)
	p, bob := s.person(), s.person()
	page := p.get(accountPath).signIn("ada")
	theirs := bob.get(accountPath).signIn("bob")
	token := page.field("csrf")
	for name, test := range map[string]struct {
		form    url.Values
		headers []string
		status  int
	}{
		"no token":               {url.Values{"where": {"here"}}, nil, 400},
		"an invented token":      {url.Values{"csrf": {"x"}}, nil, 400},
		"another browser's":      {url.Values{"csrf": {theirs.field("csrf")}}, nil, 400},
		"the token twice":        {url.Values{"csrf": {token, token}}, nil, 403},
		"another site":           {url.Values{"csrf": {token}}, []string{"Sec-Fetch-Site", "cross-site"}, 403},
		"a host of the domain":   {url.Values{"csrf": {token}}, []string{"Sec-Fetch-Site", "same-site"}, 403},
		"everywhere, no token":   {url.Values{"where": {"everywhere"}}, nil, 400},
		"a form that isn't one":  {url.Values{"csrf": {token}}, []string{"Content-Type", "text/plain"}, 403},
		"a session as the token": {url.Values{"csrf": {p.jar[siteCookie(sessionCookie)]}}, nil, 400},
	} {
		if got := p.do("POST", signOutPath, test.form, test.headers...); got.status != test.status || strings.Contains(got.text(), "signed out") {
			t.Errorf("%s: got %d %s, want %d", name, got.status, got.text(), test.status)
		}
		if p.signedInAs() != "Ada" {
			t.Fatalf("%s: signed out", name)
		}
	}
	if got := p.get(signOutPath); got.status != 405 || got.header.Get("Allow") != "POST" || p.signedInAs() != "Ada" {
		t.Errorf("a link: got %d, signed in as %q", got.status, p.signedInAs())
	}
	// A page of the user before doesn't speak for the one after them.
	p.get(accountPath).press("where", "here")
	p.get(accountPath).signIn("bob")
	if got := page.press("where", "everywhere"); got.status != 400 || !strings.Contains(got.text(), "Nothing was changed") || bob.signedInAs() != "bob" {
		t.Errorf("everywhere, by another user's page: got %d %s", got.status, got.text())
	}
	if got := page.press("where", "here"); got.status != 200 || p.signedInAs() != "" {
		t.Errorf("this browser, by another user's page: got %d %s", got.status, got.text())
	}
}

// Nobody is told that they are signed out who isn't.
func TestSignOutWithoutStorage(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"here", "everywhere"} {
		for _, operations := range [][]string{{"delete"}, {"load", "store", "delete", "list", "lock"}} {
			s := newTestSite(t)
			p, other := s.person(), s.person()
			page := p.get(accountPath).signIn("ada")
			other.get(accountPath).signIn("ada")
			s.away(operations...)
			got := page.press("where", where)
			s.away()
			if got.status != 503 || got.header.Get("Retry-After") == "" || !strings.Contains(got.text(), "You may still be signed in") {
				t.Errorf("%s, without %v: got %d %s", where, operations, got.status, got.text())
			}
			if p.signedInAs() != "Ada" {
				t.Errorf("%s, without %v: the browser has forgotten a session that goes on", where, operations)
			}
			if got := page.press("where", where); got.status != 200 || p.signedInAs() != "" || (other.signedInAs() == "") != (where == "everywhere") {
				t.Errorf("%s, later: got %d %s", where, got.status, got.text())
			}
		}
	}
}

func TestAccount(t *testing.T) {
	t.Parallel()
	s := newTestSite(t)
	p := s.person()
	client := s.register("App", "https://app.example/callback")
	p.get(request(client, "https://app.example/callback")).signIn("ada").press("decision", "allow")
	page := p.get(accountPath)
	for _, want := range []string{"Ada Lovelace ( ada@example.com )", "App", "MCP server mcp.example.com/mcp", "Use the tools", "Sends you back to app.example", "Allowed on 2 January 2026"} {
		if !strings.Contains(page.text(), want) {
			t.Errorf("got %s, want %q in it", page.text(), want)
		}
	}
	var id string
	for n := range page.root.Descendants() {
		if testkit.Attribute(n, "name") == "revoke" {
			id = testkit.Attribute(n, "value")
		}
	}
	stale := p.copied()
	stale.get(accountPath).press("where", "here")
	if got := page.press("revoke", id); got.status != 400 || !strings.Contains(got.text(), "Nothing was changed") {
		t.Errorf("by who has signed out: got %d %s", got.status, got.text())
	}
	page = p.get(accountPath).signIn("ada")
	if got := page.press("revoke", id); got.status != 200 || !strings.Contains(got.text(), "stop working within 15 minutes") || got.button(id) {
		t.Errorf("got %d %s", got.status, got.text())
	}
	if got := page.press("revoke", id); got.status != 200 || !strings.Contains(got.text(), "That application no longer has access.") {
		t.Errorf("again: got %d %s", got.status, got.text())
	}
	s.away("list")
	if got := p.get(accountPath); got.status != 503 {
		t.Errorf("without storage: got %d %s", got.status, got.text())
	}
}

func TestSpell(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0 seconds", 1: "1 second", 2: "2 seconds"} {
		if got := count(n, "second"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
