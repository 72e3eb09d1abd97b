package integration_test

import (
	"net/url"
	"strings"
	"testing"
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
		if n.Data == "button" && attribute(n, "name") == "revoke" {
			id = attribute(n, "value")
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
	out := p.post(c.URL+"/oauth/signout", url.Values{"csrf": {after.field("csrf")}})
	if out.status != 200 {
		t.Errorf("signing out: got %d %s", out.status, out.text())
	}
	if got := p.get(c.URL + "/oauth/account"); !got.button("signin") {
		t.Errorf("still signed in: %s", got.text())
	}
}
