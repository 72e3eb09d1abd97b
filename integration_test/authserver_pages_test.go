package integration_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// What another site, or another browser, must not be able to do with pages.
func TestEmbeddedServerPages(t *testing.T) {
	t.Parallel()
	c := startEmbedded(t, embedded)
	a := c.register(t, callback)

	t.Run("headers", func(t *testing.T) {
		pg := c.person(t).get(a.authorizationURL())
		policy := pg.header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("Content-Security-Policy is %q", policy)
		}
		if pg.header.Get("X-Frame-Options") != "DENY" || pg.header.Get("Cache-Control") != "no-store" {
			t.Errorf("headers are %v", pg.header)
		}
		for _, cookie := range pg.header.Values("Set-Cookie") {
			if !strings.HasPrefix(cookie, "__Host-") || !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "Secure") || !strings.Contains(cookie, "SameSite=Lax") {
				t.Errorf("cookie %q is not protected", cookie)
			}
		}
		if !strings.Contains(pg.text(), "A test's application") || !strings.Contains(pg.text(), "127.0.0.1") {
			t.Errorf("the page names neither the client nor where it leads: %s", pg.text())
		}
	})
	t.Run("form of another site", func(t *testing.T) {
		p := c.person(t)
		pg := p.get(a.authorizationURL())
		form := url.Values{"request": {pg.field("request")}, "username": {"demo"}, "password": {"demo-password"}, "decision": {"signin"}}
		for _, headers := range [][]string{
			{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"},
			{"Origin", "null", "Sec-Fetch-Site", "cross-site"},
			{"Origin", "https://evil.example", "Sec-Fetch-Site", ""},
		} {
			got := p.post(c.URL+"/oauth/signin", form, headers...)
			if got.status != 403 || strings.Contains(fmt.Sprint(got.header), "mcp_auth_session") {
				t.Errorf("%v: got %d %s, want 403 and no session", headers, got.status, got.text())
			}
		}
	})
	t.Run("begun in another browser", func(t *testing.T) {
		stranger := c.person(t).get(a.authorizationURL())
		p := c.person(t)
		p.get(a.authorizationURL())
		got := p.submit(stranger, "signin", "username", "demo", "password", "demo-password")
		if got.status != 400 || !strings.Contains(got.text(), "another browser") {
			t.Errorf("got %d %s, want 400", got.status, got.text())
		}
	})
	t.Run("consent skipped", func(t *testing.T) {
		p := c.person(t)
		signIn := p.get(a.authorizationURL())
		consent := p.signIn(signIn, "demo")
		if !consent.button("allow") {
			t.Fatalf("no consent page: %d %s", consent.status, consent.text())
		}
		// The ticket of the sign-in page is none for the decision.
		got := p.post(c.URL+"/oauth/consent", url.Values{"request": {signIn.field("request")}, "decision": {"allow"}})
		if got.header.Get("Location") != "" {
			t.Errorf("got %d %s: a code without consent", got.status, got.header.Get("Location"))
		}
		for _, decision := range []string{"", "ALLOW", "yes"} {
			if got := p.submit(consent, decision); got.header.Get("Location") != "" {
				t.Errorf("decision %q: got %s", decision, got.header.Get("Location"))
			}
		}
		// Nor is another user's consent.
		other := c.person(t)
		other.signIn(other.get(a.authorizationURL()), "ada")
		if got := other.submit(consent, "allow"); got.header.Get("Location") != "" {
			t.Errorf("another user's consent: got %s", got.header.Get("Location"))
		}
		if answer := p.submit(consent, "deny").location(t).Query(); answer.Get("error") != "access_denied" || answer.Get("iss") != c.URL {
			t.Errorf("refused: the client was told %v", answer)
		}
	})
	t.Run("consent of a browser that another user signed in with since", func(t *testing.T) {
		p := c.person(t)
		consent := p.signIn(p.get(a.authorizationURL()), "demo")
		switched := p.submit(consent, "switch")
		p.signIn(switched, "ada")
		if got := p.submit(consent, "allow"); got.header.Get("Location") != "" || !got.button("allow") {
			t.Errorf("got %d %s: ada allowed what demo was asked", got.status, got.header.Get("Location"))
		}
	})
	t.Run("remembered", func(t *testing.T) {
		p := c.person(t)
		web := c.register(t, "https://client.example/callback")
		web.signIn(p, "ada")
		if pg := p.get(web.authorizationURL()); pg.header.Get("Location") == "" {
			t.Errorf("asked again: %s", pg.text())
		}
		for _, fields := range [][]string{
			{"scope", "mcp:tools mcp:admin"},
			{"prompt", "consent"},
			{"prompt", "login"},
			{"max_age", "0"},
		} {
			if pg := p.get(web.authorizationURL(fields...)); pg.header.Get("Location") != "" {
				t.Errorf("%v: not asked", fields)
			}
		}
		for _, fields := range [][]string{{"prompt", "none"}, {"prompt", "none", "max_age", "3600"}} {
			if got := p.get(web.authorizationURL(fields...)).location(t).Query(); got.Get("code") == "" {
				t.Errorf("%v: got %v, want a code", fields, got)
			}
		}
		// Not into the open: anyone may have registered the address.
		pg := p.get(web.authorizationURL("prompt", "none", "max_age", "0"))
		if pg.header.Get("Location") != "" || !strings.Contains(pg.text(), "login_required") {
			t.Errorf("prompt=none, max_age=0: got %q %s, want login_required", pg.header.Get("Location"), pg.text())
		}
	})
	t.Run("not remembered on loopback", func(t *testing.T) {
		p := c.person(t)
		a.signIn(p, "ada")
		// Another program registers the same words, and is the same client.
		if twin := c.register(t, callback); twin.id != a.id {
			t.Fatal("the identifiers of twins differ")
		}
		if pg := p.get(a.authorizationURL()); pg.button("signin") || !pg.button("allow") {
			t.Errorf("got %q %s, want the question", pg.header.Get("Location"), pg.text())
		}
		if got := p.get(a.authorizationURL("prompt", "none")).location(t).Query(); got.Get("error") != "interaction_required" || got.Has("code") {
			t.Errorf("prompt=none: got %v, want interaction_required", got)
		}
		// The operator answers for its own.
		desk := *a
		desk.id = "desk"
		desk.redirect = "http://127.0.0.1:1/callback"
		desk.signIn(p, "ada")
		if got := p.get(desk.authorizationURL("prompt", "none")).location(t).Query(); got.Get("code") == "" {
			t.Errorf("the operator's client: got %v, want a code", got)
		}
	})
	t.Run("guessing", func(t *testing.T) {
		p := c.person(t)
		pg := p.get(a.authorizationURL())
		wrong, nobody := "", ""
		for range 4 {
			pg = p.submit(pg, "signin", "username", "demo", "password", "wrong")
			if pg.status != 401 || !pg.button("signin") {
				t.Fatalf("wrong password: got %d %s", pg.status, pg.text())
			}
			wrong = pg.text()
		}
		pg = p.submit(pg, "signin", "username", "nobody", "password", "wrong")
		if nobody = pg.text(); nobody != wrong {
			t.Errorf("a wrong password reads %q, an unknown user %q", wrong, nobody)
		}
		slowed := false
		for range 10 {
			pg = p.submit(pg, "signin", "username", "demo", "password", "wrong")
			slowed = slowed || pg.status == 429 && pg.header.Get("Retry-After") != ""
		}
		if !slowed {
			t.Error("nobody slows the guessing down")
		}
	})
}
