package integration_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
)

// What strangers try on a user who is signed in at a real Django OAuth Toolkit,
// and who has allowed one application that shares its client identifier with all
// others. Django would give a code without a word: its database compares client
// identifiers without regard to case, and the user has a token of that client.
func TestFacadeAgainstStrangers(t *testing.T) {
	t.Parallel()
	const (
		allowed = "https://claude.ai/api/mcp/auth_callback"
		theirs  = "https://chatgpt.com/connector_platform_oauth_redirect"
	)
	d := startDjangoOAuthWith(t, []string{"NOCASE=1"}, allowed, theirs)
	c := startCaddy(t, "respond 503")
	c.reload(strings.NewReplacer("DJANGO", d.URL, "REDIRECTS", allowed+" "+theirs+" "+redirectURI).Replace(djangoFacade))
	const endpoint = "/o/authorize/"
	parameters := func(changes ...string) string {
		q := url.Values{
			"response_type": {"code"}, "client_id": {"mcp-client"}, "redirect_uri": {allowed}, "scope": {"read"}, "state": {"s"},
			"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
		}
		set(q, changes)
		return q.Encode()
	}
	// signIn has ada sign in at site, allow the application, and redeem the code,
	// so that Django asks no more.
	signIn := func(browser *http.Client, site, authorization string) {
		t.Helper()
		if resp := d.submit(browser, site+"/login/", url.Values{"username": {"ada"}, "password": {"password"}}); resp.StatusCode != http.StatusFound {
			t.Fatalf("signing in: got %d", resp.StatusCode)
		}
		to, err := url.Parse(d.submit(browser, authorization, url.Values{"allow": {"Authorize"}}).Header.Get("Location"))
		if err != nil || to.Query().Get("code") == "" {
			t.Fatalf("allowed: sent to %s", to)
		}
		d.post("/o/token/", url.Values{
			"grant_type": {"authorization_code"}, "client_id": {"mcp-client"}, "redirect_uri": {allowed}, "code": {to.Query().Get("code")},
			"code_verifier": {"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"},
		})
	}
	p := c.person(t)
	question := p.get(c.URL + endpoint + "?" + parameters())
	signIn(p.client, c.URL, p.submit(question, "allow").location(t).String())

	// Without the façade the user would not be asked.
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	direct := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	signIn(direct, d.URL, d.URL+endpoint+"?"+parameters())
	resp, err := direct.Get(d.URL + endpoint + "?" + parameters("client_id", "MCP-Client", "redirect_uri", theirs, "approval_prompt", "auto"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if !strings.HasPrefix(resp.Header.Get("Location"), theirs+"?code=") {
		t.Fatalf("Django itself: got %d %q, want a code without a question", resp.StatusCode, resp.Header.Get("Location"))
	}
	// With it, what the user has allowed goes on without a question.
	if got := p.get(c.URL + endpoint + "?" + parameters("approval_prompt", "auto")); !strings.HasPrefix(got.header.Get("Location"), allowed+"?code=") {
		t.Fatalf("what was allowed: got %d %q", got.status, got.header.Get("Location"))
	}

	inPath := url.PathEscape("?" + parameters("redirect_uri", theirs) + "&z=")
	attack := func(changes ...string) string {
		return parameters(append([]string{"redirect_uri", theirs, "approval_prompt", "auto"}, changes...)...)
	}
	without := attack("client_id", "")
	for name, link := range map[string]string{
		"another query in the path":      endpoint + ";" + inPath + "?" + parameters(),
		"another host":                   "//;@evil.example" + endpoint + "?" + parameters(),
		"another host, simply":           "//evil.example" + endpoint + "?" + parameters(),
		"another case":                   endpoint + "?" + attack("client_id", "MCP-Client"),
		"another case without PKCE":      endpoint + "?" + attack("client_id", "MCP-Client", "code_challenge", "", "code_challenge_method", ""),
		"a blank behind":                 endpoint + "?" + attack("client_id", "mcp-client "),
		"NUL behind":                     endpoint + "?" + attack("client_id", "mcp-client\x00"),
		"zero width":                     endpoint + "?" + attack("client_id", "mcp\u200b-client"),
		"wide letters":                   endpoint + "?" + attack("client_id", "ｍｃｐ-client"),
		"a name in capital letters":      endpoint + "?" + without + "&CLIENT_ID=mcp-client",
		"a name with a dot":              endpoint + "?" + without + "&client.id=mcp-client",
		"a name with a blank before":     endpoint + "?" + without + "&%20client_id=mcp-client",
		"a name with brackets":           endpoint + "?" + without + "&client_id[]=mcp-client",
		"a name with NUL":                endpoint + "?" + without + "&client_id%00=mcp-client",
		"twice":                          endpoint + "?" + attack("client_id", "other") + "&client_id=mcp-client",
		"after a semicolon":              endpoint + "?x=1;" + attack(),
		"a request object":               endpoint + "?request=x",
		"a pushed request":               endpoint + "?request_uri=urn:x",
		"a blank in the path":            endpoint + "%20?" + attack(),
		"a line break in the path":       endpoint + "%0A?" + attack(),
		"a backslash":                    "/o%5Cauthorize/?" + attack(),
		"doubled slashes":                "/o//authorize/?" + attack(),
		"encoded twice":                  "/o/%2561uthorize/?" + attack(),
		"dots and a semicolon":           "/x/..;/o/authorize/?" + attack(),
		"the place, spelled differently": endpoint + "?" + attack() + "&Redirect_URI=" + url.QueryEscape(allowed),
	} {
		req, err := http.NewRequest(http.MethodGet, c.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		path, query, _ := strings.Cut(link, "?")
		req.URL.Opaque, req.URL.RawQuery = "//"+req.URL.Host+path, query
		got := p.do(req)
		if got.status != http.StatusBadRequest || got.header.Get("Location") != "" || !strings.Contains(got.text(), "can't sign you in") {
			t.Errorf("%s: got %d %q %s", name, got.status, got.header.Get("Location"), got.text())
		}
	}
	for name, test := range map[string]struct {
		body    string
		headers []string
	}{
		"a form":                   {attack(), []string{"Content-Type", "application/x-www-form-urlencoded"}},
		"a form in another case":   {attack("client_id", "MCP-Client"), []string{"Content-Type", "application/x-www-form-urlencoded"}},
		"a form in another format": {`{"client_id":"mcp-client"}`, []string{"Content-Type", "application/json"}},
		"a form for another verb":  {attack(), []string{"Content-Type", "application/x-www-form-urlencoded", "X-HTTP-Method-Override", "GET"}},
	} {
		got := p.post(c.URL+endpoint, nil)
		if got.status/100 == 3 {
			t.Errorf("%s: an empty form: %d", name, got.status)
		}
		if got := c.do("POST", endpoint, test.body, test.headers...); got.status != http.StatusBadRequest || got.header.Get("Location") != "" {
			t.Errorf("%s: got %d %s", name, got.status, got.body)
		}
	}
	// After all that, the stranger's link still is a question, and so is any for a
	// program on the user's computer, however often it was allowed.
	if got := p.get(c.URL + endpoint + "?" + attack()); got.status != 200 || !got.button("allow") || !strings.Contains(got.text(), "chatgpt.com") {
		t.Errorf("another place: got %d %s", got.status, got.text())
	}
	for _, state := range []string{"one", "two"} {
		question := p.get(c.URL + endpoint + "?" + parameters("redirect_uri", redirectURI, "approval_prompt", "auto", "state", state))
		if !question.button("allow") {
			t.Fatalf("a program: got %d %s", question.status, question.header.Get("Location"))
		}
		to := p.get(p.submit(question, "allow").location(t).String()).location(t)
		if to.Query().Get("code") == "" {
			t.Errorf("a program that was allowed: sent to %s", to)
		}
	}
	silent := p.get(c.URL + endpoint + "?" + parameters("redirect_uri", redirectURI, "prompt", "none", "state", "silent")).location(t)
	if got := silent.Query(); got.Get("error") != "interaction_required" || got.Get("state") != "silent" || !strings.HasPrefix(silent.String(), redirectURI) {
		t.Errorf("prompt=none: sent to %s", silent)
	}
	c.logs("is not exactly the registered one")
}
