package authserver

import (
	"maps"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/browser"
)

func TestSessionCookie(t *testing.T) {
	t.Parallel()
	s := newTestSite(t)
	ada := s.person()
	if got := ada.get(accountPath).signIn("ada"); ada.signedInAs() != "Ada" {
		t.Fatalf("not signed in: %d %s", got.status, got.text())
	}
	name := siteCookie(sessionCookie)
	if len(ada.jar[name]) > 600 || strings.Contains(ada.jar[name], "ada") {
		t.Errorf("the cookie has more than the session's name: %q", ada.jar[name])
	}
	elsewhere := s.person()
	elsewhere.get(accountPath)
	elsewhere.jar[name] = ada.jar[name]
	if got := elsewhere.signedInAs(); got != "" {
		t.Errorf("the cookie alone, in another browser: signed in as %s", got)
	}
	for other, value := range ada.jar {
		if other != name {
			forged := ada.copied()
			forged.jar[name] = value
			if got := forged.signedInAs(); got != "" {
				t.Errorf("%s in its place: signed in as %s", other, got)
			}
		}
	}
	twice := ada.copied()
	r := httptest.NewRequest("GET", testIssuer+accountPath, nil)
	for name, value := range twice.jar {
		r.Header.Add("Cookie", name+"="+value)
	}
	r.Header.Add("Cookie", name+"=x")
	w := httptest.NewRecorder()
	if err := s.ServeHTTP(w, r, nil); err != nil || strings.Contains(w.Body.String(), "You are signed in") {
		t.Errorf("of two sessions one is taken: %v", err)
	}
	s.clock = s.clock.Add(s.sessionLifetime())
	if got := ada.signedInAs(); got != "" {
		t.Error("the session never ends")
	}
}

// A session ends with the user's password, and with the user.
func TestSessionOfAChangedUser(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*site){
		"another password": func(s *site) { s.users["ada"] = &User{Username: "ada", Password: "changed"} },
		"removed":          func(s *site) { delete(s.users, "ada") },
	} {
		s := newTestSite(t)
		ada := s.person()
		ada.get(accountPath).signIn("ada")
		change(s)
		if got := ada.signedInAs(); got != "" {
			t.Errorf("%s: still signed in as %s", name, got)
		}
	}
}

// A new sign-in ends the session before it, of any user.
func TestSignInReplacesTheSession(t *testing.T) {
	t.Parallel()
	s := newTestSite(t)
	p := s.person()
	form := p.get(accountPath)
	form.signIn("ada")
	before := p.copied()
	form.signIn("bob")
	if p.signedInAs() != "bob" || before.signedInAs() != "" {
		t.Errorf("signed in as %q, before as %q; want bob, and nobody", p.signedInAs(), before.signedInAs())
	}
}

// While the storage is away nobody is signed in, and nobody is told so.
func TestSignInWithoutStorage(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"load", "store", "list"} {
		s := newTestSite(t)
		p := s.person()
		form := p.get(accountPath)
		s.away(operation)
		got := form.press("decision", "signin", "username", "ada", "password", testPassword)
		s.away()
		if operation == "load" {
			// Sessions are read when they are used.
			if got := p.signedInAs(); got != "Ada" {
				t.Errorf("%s: signed in as %q", operation, got)
			}
			s.away(operation)
			if got := p.get(accountPath); got.status != 503 || got.button("signin") {
				t.Errorf("%s: got %d %s, want 503", operation, got.status, got.text())
			}
			continue
		}
		if got.status != 503 || p.signedInAs() != "" {
			t.Errorf("%s: got %d %s, signed in as %q", operation, got.status, got.text(), p.signedInAs())
		}
	}
}

// A sign-in is finished in the browser that began it, in time, and for what it
// was begun.
func TestSteps(t *testing.T) {
	t.Parallel()
	s := newTestSite(t)
	p, q := s.person(), s.person()
	client := s.register("App", "https://app.example/callback")
	address := request(client, "https://app.example/callback")
	form := p.get(address)
	q.get(address)
	consent := form.signIn("ada")
	expired := func(name string, got *shown) {
		t.Helper()
		if got.status != 400 || !strings.Contains(got.text(), "This sign-in has expired") || got.location != "" {
			t.Errorf("%s: got %d %s, Location %q", name, got.status, got.text(), got.location)
		}
	}
	post := func(p *person, path, request, decision string) *shown {
		return p.do("POST", path, map[string][]string{"request": {request}, "decision": {decision}, "username": {"ada"}, "password": {testPassword}})
	}
	expired("another browser signs in", post(q, signInPath, form.field("request"), "signin"))
	expired("another browser consents", post(q, consentPath, consent.field("request"), "allow"))
	expired("another browser takes it up", q.get(consentPath+"?request="+form.field("request")))
	expired("no browser", post(s.person(), signInPath, form.field("request"), "signin"))
	expired("nothing", post(p, signInPath, "", "signin"))
	expired("an answer to a question that wasn't asked", post(p, consentPath, form.field("request"), "allow"))
	expired("a question in place of a sign-in", post(p, signInPath, consent.field("request"), "signin"))
	expired("oversized", post(p, signInPath, strings.Repeat("a", 20<<10), "signin"))
	if got := consent.press("decision", "allow"); !strings.HasPrefix(got.location, "https://app.example/callback?code=") {
		t.Errorf("the right one: got %d %s", got.status, got.location)
	}
	// A later page gives no more time.
	s.clock = s.clock.Add(stepLifetime - time.Minute)
	late := p.get(consentPath + "?request=" + form.field("request"))
	s.clock = s.clock.Add(time.Minute)
	expired("too late", post(p, signInPath, form.field("request"), "signin"))
	if late.location == "" && late.button("allow") {
		expired("too late, on a later page", late.press("decision", "allow"))
	}
}

// A browser in which a user has signed in is known for a year, also to
// other users, and gets nothing by it.
func TestKnown(t *testing.T) {
	t.Parallel()
	s := newTestSite(t)
	known := func(p *person, user string) (string, bool) {
		r := httptest.NewRequest("POST", testIssuer+signInPath, nil)
		for name, value := range p.jar {
			r.Header.Add("Cookie", name+"="+value)
		}
		return (&visit{Visit: s.browsers.Visit(httptest.NewRecorder(), r), h: s.Handler}).Known(user)
	}
	p := s.person()
	form := p.get(accountPath)
	if id, ok := known(p, "ada"); ok || id != "" {
		t.Error("known before any sign-in")
	}
	form.press("decision", "signin", "username", "ada", "password", "wrong")
	if _, ok := known(p, "ada"); ok {
		t.Error("known by a wrong password")
	}
	form.signIn("ada")
	first, ok := known(p, "ada")
	if !ok || first == "" {
		t.Error("not known after a sign-in")
	}
	for _, user := range []string{"bob", "", "ADA"} {
		if _, ok := known(p, user); ok {
			t.Errorf("known as %q", user)
		}
	}
	p.get(accountPath).press("where", "everywhere")
	for name := range p.jar { // the browser was closed
		if strings.HasPrefix(name, "__Host-"+browserCookie) {
			delete(p.jar, name)
		}
	}
	if id, ok := known(p, "ada"); !ok || id != first {
		t.Error("not known after signing out")
	}
	if p.signedInAs() != "" {
		t.Error("signed in by that")
	}
	p.get(accountPath).signIn("bob")
	for _, user := range []string{"ada", "bob"} {
		if id, ok := known(p, user); !ok || id != first {
			t.Errorf("two users: %s isn't known", user)
		}
	}
	if _, ok := known(s.person(), "ada"); ok {
		t.Error("another browser is known")
	}
	session := s.person()
	session.jar[siteCookie(knownCookie)] = p.jar[siteCookie(sessionCookie)]
	if _, ok := known(session, "bob"); ok {
		t.Error("a session stands for it")
	}
	for i := range maxKnown {
		user := *s.users["ada"]
		user.Username = strings.Repeat("u", i+1)
		s.users[user.Username] = &user
		delete(p.jar, siteCookie(sessionCookie))
		p.get(accountPath).signIn(user.Username)
	}
	if _, ok := known(p, "ada"); ok {
		t.Error("the list of users has no end")
	}
	s.clock = s.clock.Add(knownLifetime)
	if _, ok := known(p, "u"); ok {
		t.Error("known forever")
	}
}

// A new browser that opens two pages at the same time can finish both.
func TestParallelTabs(t *testing.T) {
	t.Parallel()
	s := newTestSite(t)
	client := s.register("App", "https://app.example/cb")
	one, two := s.person(), s.person()
	first, second := one.get(request(client, "https://app.example/cb", "state", "1")), two.get(request(client, "https://app.example/cb", "state", "2"))
	maps.Copy(one.jar, two.jar)
	two.jar = one.jar // the same browser
	for i, page := range []*shown{first, second} {
		page = page.signIn("ada")
		if i == 0 { // the answer is remembered
			page = page.press("decision", "allow")
		}
		if !strings.HasPrefix(page.location, "https://app.example/cb?") {
			t.Errorf("tab %d: got %d %s", i, page.status, page.text())
		}
	}
}

// Servers of one host have cookies of their own: a browser sends those of each to
// all of them.
func TestCookiesOfTwoServers(t *testing.T) {
	t.Parallel()
	names := make(map[string]string)
	for _, issuer := range []string{
		"https://mcp.example.com", "https://mcp.example.com:8443", "https://mcp.example.com/a", "https://mcp.example.com/A", "https://mcp.example.com/a/b", "https://mcp.example.com/ab",
	} {
		site := (&Handler{Issuer: issuer, secure: true, now: time.Now}).newSite()
		w := httptest.NewRecorder()
		v := site.Visit(w, httptest.NewRequest("GET", issuer, nil))
		for _, cookie := range []string{browserCookie, sessionCookie, knownCookie, pendingCookie("a_state")} {
			v.SetCookie(cookie, "x", time.Hour)
		}
		for _, cookie := range w.Result().Cookies() {
			if other := names[cookie.Name]; other != "" {
				t.Errorf("%s has a cookie of %s: %s", issuer, other, cookie.Name)
			}
			names[cookie.Name] = issuer
			if !strings.HasPrefix(cookie.Name, "__Host-"+browser.Prefix) {
				t.Errorf("%s: %s would not be kept from the MCP server, or from other hosts", issuer, cookie.Name)
			}
		}
	}
	if len(names) != 24 {
		t.Errorf("got %d cookies, want 24", len(names))
	}
}
