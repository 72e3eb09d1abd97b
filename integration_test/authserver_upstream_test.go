package integration_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// upstreamSite is a site whose users sign in somewhere else.
const upstreamSite = `
	mcp_auth_server SITE {
		resource SITE/mcp
		scopes mcp:tools
		UPSTREAM
	}
	mcp_auth /mcp* SITE/mcp {
		issuer SITE
		scopes mcp:tools
		header X-User {http.auth.user.id}
	}
	mcp_whoami /mcp*
`

// walk goes on from pg as a user who agrees to everything, also on other sites,
// until the browser is sent to the app.
func (p *person) walk(pg *page, user string) *url.URL {
	p.t.Helper()
	for range 30 {
		if pg.header.Get("Location") != "" {
			next := pg.location(p.t)
			if strings.HasPrefix(next.String(), callback) {
				return next
			}
			pg = p.get(next.String())
			continue
		}
		form := pg.form()
		if form == nil {
			p.t.Fatalf("%s: got %d %s", pg.url, pg.status, pg.text())
		}
		for name, value := range map[string]string{"login": user, "username": user, "password": "demo-password", "decision": "allow"} {
			if form.fields.Has(name) {
				form.fields.Set(name, value)
			}
		}
		pg = p.post(form.action, form.fields)
	}
	p.t.Fatal("no end")
	return nil
}

func TestEmbeddedServerUpstreamOIDC(t *testing.T) {
	t.Parallel()
	needNode(t)
	c := startCaddy(t, "respond 503")
	as := startAuthServer(t, "", map[string]any{
		"clients": []any{map[string]any{
			"client_id": "caddy", "client_secret": "upstream-secret-0123",
			"redirect_uris": []string{c.URL + "/oauth/callback/office"},
		}},
	})
	site := func(allow string) string {
		return strings.ReplaceAll(upstreamSite, "UPSTREAM", `upstream oidc `+as.Issuer+` {
			name office
			label "the office"
			client_id caddy
			client_secret upstream-secret-0123
			allow `+allow+`
		}`)
	}
	c.reload(site("email *@example.test"))
	a := c.register(t, callback)
	p := c.person(t)

	pg := p.get(a.authorizationURL())
	// Before the user leaves they know for whom (confused deputy).
	if !strings.Contains(pg.text(), "A test's application") || !strings.Contains(pg.text(), "127.0.0.1") {
		t.Errorf("the page names no client: %s", pg.text())
	}
	if pg.button("signin") {
		t.Error("there is a form for passwords, but nobody has one")
	}
	leave := pg.link("the office")
	if leave == "" {
		t.Fatalf("there is no way to the office: %s", pg.text())
	}
	// Nobody else's browser can be sent on with the link.
	if got := c.person(t).get(leave); got.status != 400 || got.header.Get("Location") != "" {
		t.Errorf("in another browser: got %d %s", got.status, got.header.Get("Location"))
	}
	answer := p.walk(p.get(leave), "grace").Query()
	tokens := a.redeem(answer.Get("code"))
	if tokens.status != 200 {
		t.Fatalf("redeeming: %+v, callback %v", tokens, answer)
	}
	_, who := c.whoami(tokens.Access)
	if who["sub"] != "office:grace" || who["email"] != "grace@example.test" || who["iss"] != c.URL {
		t.Errorf("whoami says %v, want office:grace of this server", who)
	}

	t.Run("answers of others", func(t *testing.T) {
		p := c.person(t)
		leave := p.get(a.authorizationURL()).link("the office")
		out := p.get(leave).location(t)
		state := out.Query().Get("state")
		for name, query := range map[string]url.Values{
			"wrong state":  {"state": {"x"}, "code": {"x"}, "iss": {as.Issuer}},
			"no state":     {"code": {"x"}, "iss": {as.Issuer}},
			"twice":        {"state": {state, state}, "code": {"x"}, "iss": {as.Issuer}},
			"no iss":       {"state": {state}, "code": {"x"}},
			"another iss":  {"state": {state}, "code": {"x"}, "iss": {"https://evil.example"}},
			"made-up code": {"state": {state}, "code": {"x"}, "iss": {as.Issuer}},
		} {
			leave := p.get(a.authorizationURL()).link("the office")
			if query.Get("state") == state {
				fresh := p.get(leave).location(t).Query().Get("state")
				for i := range query["state"] {
					query["state"][i] = fresh
				}
			}
			got := p.get(c.URL + "/oauth/callback/office?" + query.Encode())
			if got.status < 400 || got.header.Get("Location") != "" {
				t.Errorf("%s: got %d %s", name, got.status, got.header.Get("Location"))
			}
		}
	})
	t.Run("mix-up", func(t *testing.T) {
		other := "upstream github {\n name other\n client_id a\n client_secret b\n allow anybody\n }\n"
		c.reload(strings.Replace(site("email *@example.test"), "upstream oidc", other+"upstream oidc", 1))
		p := c.person(t)
		state := p.get(p.get(a.authorizationURL()).link("the office")).location(t).Query().Get("state")
		query := url.Values{"state": {state}, "code": {"x"}}
		if got := p.get(c.URL + "/oauth/callback/other?" + query.Encode()); got.status != 400 || got.header.Get("Location") != "" || !strings.Contains(got.text(), "another browser") {
			t.Errorf("the office's answer at another upstream's address: got %d %s", got.status, got.text())
		}
	})
	t.Run("refused there", func(t *testing.T) {
		p := c.person(t)
		state := p.get(p.get(a.authorizationURL()).link("the office")).location(t).Query().Get("state")
		got := p.get(c.URL + "/oauth/callback/office?" + url.Values{"state": {state}, "error": {"access_denied"}, "iss": {as.Issuer}}.Encode())
		if got.status != 403 || !strings.Contains(got.text(), "refused") {
			t.Errorf("got %d %s", got.status, got.text())
		}
	})
	t.Run("no longer allowed", func(t *testing.T) {
		c.reload(site("email ada@example.test"))
		if got := a.refresh(tokens.Refresh); got.Error != "invalid_grant" {
			t.Errorf("refreshing: got %+v, want invalid_grant", got)
		}
		p := c.person(t)
		pg := p.get(p.get(a.authorizationURL()).link("the office"))
		for range 20 {
			if pg.header.Get("Location") != "" {
				pg = p.get(pg.location(t).String())
			} else if form := pg.form(); form != nil {
				form.fields.Set("login", "mallory")
				form.fields.Set("password", "demo-password")
				form.fields.Set("decision", "allow")
				pg = p.post(form.action, form.fields)
			} else {
				break
			}
		}
		if pg.status != 403 || !strings.Contains(pg.text(), "mallory@example.test") {
			t.Errorf("got %d %s, want a page that says who has no access", pg.status, pg.text())
		}
	})
	t.Run("away", func(t *testing.T) {
		c.reload(strings.ReplaceAll(site("anybody"), as.Issuer, "http://127.0.0.1:9"))
		p := c.person(t)
		got := p.get(p.get(a.authorizationURL()).link("the office"))
		if got.status != 503 || got.header.Get("Retry-After") == "" {
			t.Errorf("got %d %s, want 503", got.status, got.text())
		}
	})
}

// fakeGitHub answers as GitHub's documentation says.
func fakeGitHub(t *testing.T) *httptest.Server {
	mux := http.NewServeMux()
	write := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /login/oauth/authorize", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("client_id") != "gh-client" || q.Get("code_challenge_method") != "S256" || !strings.Contains(q.Get("scope"), "read:org") {
			t.Errorf("authorization request %v", q)
		}
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"state": {q.Get("state")}, "code": {"gh-code"}}.Encode(), http.StatusFound)
	})
	mux.HandleFunc("POST /login/oauth/access_token", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("client_secret") != "gh-secret" || r.FormValue("code") != "gh-code" || r.FormValue("code_verifier") == "" {
			write(w, map[string]any{"error": "bad_verification_code"}) // with 200
			return
		}
		write(w, map[string]any{"access_token": "gho_x", "token_type": "bearer", "scope": "read:org,read:user,user:email"})
	})
	api := func(path string, v any) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer gho_x" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			write(w, v)
		})
	}
	api("/user", map[string]any{"id": 583231, "login": "octocat", "name": "The Octocat", "email": "not-verified@example.test"})
	api("/user/emails", []map[string]any{
		{"email": "other@example.test", "primary": false, "verified": true},
		{"email": "octocat@example.test", "primary": true, "verified": true},
	})
	api("/user/orgs", []map[string]any{{"login": "Acme"}, {"login": "private-club"}})
	api("/user/teams", []map[string]any{
		{"slug": "maintainers", "name": "The maintainers", "organization": map[string]any{"login": "Acme"}},
		{"slug": "board", "name": "Board", "privacy": "secret", "organization": map[string]any{"login": "private-club"}},
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func TestEmbeddedServerUpstreamGitHub(t *testing.T) {
	t.Parallel()
	github := fakeGitHub(t)
	c := startCaddy(t, "respond 503")
	site := func(org string) string {
		return strings.ReplaceAll(upstreamSite, "UPSTREAM", `upstream github {
			client_id gh-client
			client_secret gh-secret
			base_url `+github.URL+`
			api_url `+github.URL+`
			allow org `+org+`
		}`)
	}
	c.reload(site("acme"))
	a := c.register(t, callback)
	p := c.person(t)
	leave := p.get(a.authorizationURL()).link("GitHub")
	tokens := a.redeem(p.walk(p.get(leave), "").Query().Get("code"))
	if tokens.status != 200 {
		t.Fatalf("redeeming: %+v", tokens)
	}
	_, who := c.whoami(tokens.Access)
	if who["sub"] != "github:583231" || who["preferred_username"] != "octocat" || who["email"] != "octocat@example.test" {
		t.Errorf("whoami says %v", who)
	}
	if groups := mustJSON(t, who["groups"]); groups != `["acme"]` {
		t.Errorf("the token tells of groups that no rule asks for: %s", groups)
	}
	// With groups, teams as well, and after a refresh.
	for of, want := range map[string]string{
		"*":    `["acme","private-club","acme/maintainers","private-club/board"]`,
		"ACME": `["acme","acme/maintainers"]`,
	} {
		c.reload(strings.Replace(site("acme"), "allow org", "groups "+of+"\nallow org", 1))
		all := a.redeem(p.walk(p.get(p.get(a.authorizationURL("prompt", "login")).link("GitHub")), "").Query().Get("code"))
		for _, token := range []string{all.Access, a.refresh(all.Refresh).Access} {
			if _, who := c.whoami(token); mustJSON(t, who["groups"]) != want {
				t.Errorf("groups %s: got %s, want %s", of, mustJSON(t, who["groups"]), want)
			}
		}
	}
	// A team lets in, too.
	c.reload(site("acme/maintainers"))
	if got := a.redeem(p.walk(p.get(p.get(a.authorizationURL("prompt", "login")).link("GitHub")), "").Query().Get("code")); got.status != 200 {
		t.Errorf("a member of the team: got %+v", got)
	}
	c.reload(site("other"))
	if got := a.refresh(tokens.Refresh); got.Error != "invalid_grant" {
		t.Errorf("refreshing when the organization is out: got %+v, want invalid_grant", got)
	}
	// Another GitHub under the same name, with a user of the same number.
	c.reload(site("acme"))
	tokens = a.redeem(p.walk(p.get(p.get(a.authorizationURL("prompt", "login")).link("GitHub")), "").Query().Get("code"))
	if _, who := c.whoami(tokens.Access); who["sub"] != "github:583231" {
		t.Fatalf("signing in again: whoami says %v", who)
	}
	enterprise := fakeGitHub(t)
	c.reload(strings.ReplaceAll(site("acme"), github.URL, enterprise.URL))
	if got := a.refresh(tokens.Refresh); got.Error != "invalid_grant" {
		t.Errorf("refreshing for a user of the GitHub before: got %+v, want invalid_grant", got)
	}
	pg := p.get(a.authorizationURL())
	if pg.link("GitHub") == "" {
		t.Fatalf("the session goes on: %d %s", pg.status, pg.text())
	}
	others := a.redeem(p.walk(p.get(pg.link("GitHub")), "").Query().Get("code"))
	_, who = c.whoami(others.Access)
	if sub, _ := who["sub"].(string); !strings.HasPrefix(sub, "github~") || !strings.HasSuffix(sub, ":583231") {
		t.Errorf("the user of another GitHub is %v", who["sub"])
	}
	c.reload(site("other"))

	p = c.person(t)
	if got := p.follow(p.get(p.get(p.get(a.authorizationURL()).link("GitHub")).location(t).String())); got.header.Get("Location") != "" {
		// The fake sends the browser straight back.
		got = p.get(got.location(t).String())
		if got.status != 403 || !strings.Contains(got.text(), "octocat") {
			t.Errorf("got %d %s, want 403", got.status, got.text())
		}
	} else {
		t.Errorf("got %d %s", got.status, got.text())
	}
}
