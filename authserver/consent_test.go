package authserver

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/inprocess"
)

// sent returns what the client was told.
func (pg *shown) sent(t *testing.T) url.Values {
	t.Helper()
	u, err := url.Parse(pg.location)
	if err != nil || pg.location == "" {
		t.Fatalf("got %d %s, want a redirect to the client", pg.status, pg.text())
	}
	return u.Query()
}

const (
	webSite  = "https://app.example/callback"
	loopback = "http://127.0.0.1:3000/callback"
	private  = "cursor://app/callback"
)

// What the user is told before they allow anything.
func TestConsentPage(t *testing.T) {
	t.Parallel()
	const (
		question = "Do you know this web site?"
		hint     = "Other programs on this computer could pose as it."
	)
	for _, tt := range []struct {
		name, client, redirect string
		change                 func(*Handler)
		want, without          []string
	}{
		{"a stranger's web site", "", webSite, nil, []string{"You will be sent back to app.example", question, "The name is not verified."}, []string{hint}},
		{"a program here", "", loopback, nil, []string{"a program on this computer ( 127.0.0.1 )", hint}, []string{question}},
		{"https, here", "", "https://localhost/callback", nil, []string{"a program on this computer ( localhost )", hint}, []string{question}},
		{"a private scheme", "", private, nil, []string{"an application on this device", "cursor:", hint}, []string{question}},
		{"an address that the operator lists", "", webSite, func(h *Handler) { h.Registration.RedirectURIs = []string{webSite} }, []string{"app.example"}, []string{question, hint}},
		{"the operator's client", "desk", "https://desk.example/callback", nil, []string{"The desk", "The operator of this server set up"}, []string{question, hint, "not verified"}},
		{"the operator's client, here", "desk", "http://127.0.0.1:4000/callback", nil, []string{"The desk", hint}, []string{question, "not verified"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var s *site
			if s = newTestSite(t); tt.change != nil {
				s = newTestSite(t, tt.change)
			}
			client := tt.client
			if client == "" {
				client = s.register("App", tt.redirect)
			}
			p := s.person()
			first := p.get(request(client, tt.redirect, "scope", "mcp:tools offline_access"))
			if got := first.text(); !strings.Contains(got, "to use mcp.example.com/mcp") {
				t.Errorf("the sign-in page doesn't say for which server: %s", got)
			}
			got := first.signIn("ada").text()
			for _, want := range append(tt.want, "MCP server mcp.example.com/mcp", "Use the tools mcp:tools", "while you are away", "Ada Lovelace") {
				if !strings.Contains(got, want) {
					t.Errorf("got %s, want %q in it", got, want)
				}
			}
			for _, unwanted := range tt.without {
				if strings.Contains(got, unwanted) {
					t.Errorf("got %s, want no %q in it", got, unwanted)
				}
			}
		})
	}
}

// The page goes by what the client will get.
func TestConsentSaysHowLong(t *testing.T) {
	t.Parallel()
	s := newTestSite(t)
	for grants, want := range map[string]string{
		`,"grant_types":["authorization_code"]`:                 "Its access ends after 15 minutes",
		`,"grant_types":["authorization_code","refresh_token"]`: "Its access goes on while you are away",
	} {
		client := s.register("App", webSite, grants)
		page := s.person().get(request(client, webSite, "prompt", "consent")).signIn("ada")
		code := page.press("decision", "allow").sent(t).Get("code")
		form := url.Values{
			"grant_type": {"authorization_code"}, "client_id": {client}, "code": {code}, "code_verifier": {testVerifier}, "redirect_uri": {webSite},
		}
		r := httptest.NewRequest("POST", testIssuer+oauth.TokenPath, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		s.server.ServeHTTP(w, r)
		says, gets := strings.Contains(page.text(), "while you are away"), strings.Contains(w.Body.String(), "refresh_token")
		if w.Code != 200 || says != gets || !strings.Contains(page.text(), want) {
			t.Errorf("%s: got %d %s, and the page says %s", grants, w.Code, w.Body, page.text())
		}
	}
}

// The server has the name that its front door gives it.
func TestServerName(t *testing.T) {
	s := newTestSite(t)
	defer inprocess.RegisterResource(testIssuer+"/mcp", "Acme files")()
	p := s.person()
	page := p.get(request("desk", "https://desk.example/callback"))
	for step, got := range map[string]string{"sign-in": page.text(), "consent": page.signIn("ada").text()} {
		if !strings.Contains(got, "Acme files https://mcp.example.com/mcp") {
			t.Errorf("%s: got %s, want the name and the address", step, got)
		}
	}
	p.get(request("desk", "https://desk.example/callback")).press("decision", "allow")
	if got := p.get(accountPath).text(); !strings.Contains(got, "Acme files") {
		t.Errorf("account: got %s", got)
	}
}

// A consent is remembered for clients that can be recognized, by their web site or
// by the operator. Others are asked for a click each time.
func TestRememberedConsent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, client, redirect string
		silent                 bool
	}{
		{"a web site", "", webSite, true},
		{"a program here", "", loopback, false},
		{"https, here", "", "https://localhost/callback", false},
		{"a private scheme", "", private, false},
		{"the operator's client, here", "desk", "http://127.0.0.1/callback", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newTestSite(t)
			client := tt.client
			if client == "" {
				client = s.register("App", tt.redirect)
			}
			p := s.person()
			if got := p.get(request(client, tt.redirect)).signIn("ada").press("decision", "allow").sent(t); got.Get("code") == "" {
				t.Fatalf("got %v", got)
			}
			again := p.get(request(client, tt.redirect))
			silent := p.get(request(client, tt.redirect, "prompt", "none"))
			if tt.silent {
				if again.sent(t).Get("code") == "" || silent.sent(t).Get("code") == "" {
					t.Errorf("asked again: %s, %s", again.text(), silent.location)
				}
				return
			}
			if again.location != "" || !strings.Contains(again.text(), "You allowed this before.") {
				t.Errorf("got %d %s %s, want a question", again.status, again.location, again.text())
			}
			// One that says no to strangers' web sites asks before it leaves.
			if silent.location != "" && silent.sent(t).Get("error") != "interaction_required" || strings.Contains(silent.location, "code=") {
				t.Errorf("prompt=none: got %s, want interaction_required", silent.location)
			}
			if got := again.press("decision", "allow").sent(t); got.Get("code") == "" {
				t.Errorf("after the click: got %v", got)
			}
			// The short page is for what was allowed.
			if more := p.get(request(client, tt.redirect, "scope", "mcp:tools mcp:admin")); strings.Contains(more.text(), "You allowed this before.") || !more.button("allow") {
				t.Errorf("more than before: got %s", more.text())
			}
		})
	}
}

func TestConsentAnswers(t *testing.T) {
	t.Parallel()
	s := newTestSite(t)
	client := s.register("App", webSite)
	p := s.person()
	page := p.get(request(client, webSite)).signIn("ada")
	if got := page.press("decision", "deny").sent(t); got.Get("error") != "access_denied" || got.Get("state") != "s" {
		t.Errorf("no: got %v", got)
	}
	if got := page.press("decision", "allow", "decision", "maybe"); got.status != 403 || got.location != "" {
		t.Errorf("neither: got %d %s", got.status, got.location)
	}
	signIn := page.press("decision", "switch")
	if !signIn.button("signin") || p.signedInAs() != "" {
		t.Errorf("switching: got %s, signed in as %q", signIn.text(), p.signedInAs())
	}
	consent := signIn.signIn("bob")
	if !strings.Contains(consent.text(), "signed in as bob") {
		t.Errorf("after switching: got %s", consent.text())
	}
	// What ada was asked, bob doesn't answer.
	if got := page.press("decision", "allow"); got.location != "" || !strings.Contains(got.text(), "signed in as bob") {
		t.Errorf("another user's page: got %s %s, want a question for bob", got.location, got.text())
	}
	p.get(accountPath).press("where", "here")
	if got := consent.press("decision", "allow"); got.location != "" || !got.button("signin") {
		t.Errorf("after signing out: got %s %s, want to sign in", got.location, got.text())
	}
	if got := p.get(request(client, webSite)).press("decision", "cancel").sent(t); got.Get("error") != "access_denied" {
		t.Errorf("canceling: got %v", got)
	}
	// What can't be ended isn't said to have ended.
	q := s.person()
	page = q.get(request(client, webSite)).signIn("ada")
	s.away("delete")
	if got := page.press("decision", "switch"); got.status != 503 || !strings.Contains(got.text(), "You may still be signed in") {
		t.Errorf("switching without storage: got %d %s", got.status, got.text())
	}
}

// The user whom the client means is filled in, and no other one is passed off as
// them.
func TestLoginHint(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		hint string
		fits bool
	}{
		{"", true},
		{"ada", true},
		{"Ada@Example.com", true},
		{"bob", false},
		{"bob@example.com", false},
	} {
		s := newTestSite(t)
		client := s.register("App", webSite)
		p := s.person()
		address := func(fields ...string) string {
			return request(client, webSite, append(fields, "login_hint", tt.hint)...)
		}
		if got := p.get(address()); got.field("username") != tt.hint {
			t.Errorf("%q: filled in is %q", tt.hint, got.field("username"))
		}
		p.get(request(client, webSite)).signIn("ada").press("decision", "allow")
		got := p.get(address())
		if passed := strings.HasPrefix(got.location, webSite); passed != tt.fits || !tt.fits && !strings.Contains(got.text(), "signed in as Ada") {
			t.Errorf("%q: got %s %s", tt.hint, got.location, got.text())
		}
		silent := p.get(address("prompt", "none"))
		if passed := strings.Contains(silent.location, "code="); passed != tt.fits || !tt.fits && !strings.Contains(silent.text(), "login_required") {
			t.Errorf("%q, prompt=none: got %s %s", tt.hint, silent.location, silent.text())
		}
	}
	// A user without an address can be any.
	s := newTestSite(t)
	client := s.register("App", webSite)
	p := s.person()
	p.get(request(client, webSite)).signIn("bob").press("decision", "allow")
	if got := p.get(request(client, webSite, "login_hint", "bob@example.com", "prompt", "none")); !strings.Contains(got.location, "code=") {
		t.Errorf("a hint that can't be compared: got %s %s", got.location, got.text())
	}
}

// Where a browser is sent is never made of the path that it asked for.
func TestLocations(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "/as"} {
		s := newTestSite(t, func(h *Handler) { h.Issuer += base })
		p := s.person()
		form := p.get(base + accountPath)
		for path, want := range map[string]string{
			"/oauth/signin":               base + "/oauth/consent?request=",
			"/oauth/%73ignin":             base + "/oauth/consent?request=",
			"/oauth/signin?x=//evil.test": base + "/oauth/consent?request=",
			"//evil.example/oauth/signin": "",
			"/oauth/signin/":              "",
			"/oauth//signin":              "",
			"/oauth/./signin":             "",
			"/oauth/signin;x":             "",
			"/OAUTH/signin":               "",
		} {
			got := p.do("POST", base+path, url.Values{"request": {form.field("request")}, "username": {"ada"}, "password": {testPassword}, "decision": {"signin"}})
			if want == "" && got.status != 404 || !strings.HasPrefix(got.location, want) {
				t.Errorf("%s: got %d, sent to %q, want %q", base+path, got.status, got.location, want)
			}
		}
		if got := p.get(base + accountPath); !strings.Contains(got.text(), "You are signed in as Ada") {
			t.Errorf("%s: got %s", base, got.text())
		}
	}
}

func TestPagesByOtherMethods(t *testing.T) {
	t.Parallel()
	s := newTestSite(t)
	for _, tt := range []struct{ method, path, allow string }{
		{"GET", signInPath, "POST"},
		{"GET", signOutPath, "POST"},
		{"PUT", consentPath, "GET, HEAD, POST"},
		{"DELETE", accountPath, "GET, HEAD, POST"},
		{"POST", "/oauth/authorize", "GET, HEAD"},
	} {
		got := s.person().do(tt.method, tt.path, nil)
		if got.status != 405 || got.header.Get("Allow") != tt.allow || !strings.Contains(got.text(), "This page can't be opened directly") || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s: got %d, Allow %q: %s", tt.method, tt.path, got.status, got.header.Get("Allow"), got.text())
		}
	}
}

func TestThrottledSignIn(t *testing.T) {
	t.Parallel()
	s := newTestSite(t)
	p := s.person()
	form := p.get(accountPath)
	var got *shown
	for range 6 { // five are free
		got = form.press("decision", "signin", "username", "ada", "password", "wrong")
	}
	if got.status != 429 || got.header.Get("Retry-After") != "1" || !strings.Contains(got.text(), "Wait 1 second, then") {
		t.Errorf("got %d %s, want to wait 1 second", got.status, got.text())
	}
}
