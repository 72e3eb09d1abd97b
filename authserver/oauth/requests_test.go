package oauth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// What an authorization request must not get away with: refused at the client if
// its redirect URI is right, with its state, else on a page that leads nowhere.
func TestAuthorizationRequests(t *testing.T) {
	t.Parallel()
	const toClient, toUser = true, false
	long := strings.Repeat("~", maxState)
	f := newFixture(t)
	for _, test := range []struct {
		name  string
		query string // added to a proper request, which may be shortened by without
		without,
		code string // empty: accepted
		told  bool
		state string // that comes back
	}{
		{"proper", "", "", "", toClient, "s"},
		{"no PKCE", "", "code_challenge", "invalid_request", toClient, "s"},
		{"PKCE without method", "", "code_challenge_method", "invalid_request", toClient, "s"},
		{"PKCE plain", "code_challenge_method=plain", "code_challenge_method", "invalid_request", toClient, "s"},
		{"malformed challenge", "code_challenge=short", "code_challenge", "invalid_request", toClient, "s"},
		{"no response type", "", "response_type", "invalid_request", toClient, "s"},
		{"implicit grant", "response_type=token", "response_type", "unsupported_response_type", toClient, "s"},
		{"fragment mode", "response_mode=fragment", "", "invalid_request", toClient, "s"},
		{"query mode", "response_mode=query", "", "", toClient, "s"},
		{"request object", "request=eyJhbGciOiJub25lIn0.e30.", "", "request_not_supported", toClient, "s"},
		{"pushed request", "request_uri=urn:example:x", "", "request_uri_not_supported", toClient, "s"},
		{"another's resource", "resource=https://evil.example/mcp", "", "invalid_target", toClient, "s"},
		{"two resources", "resource=" + testResource + "&resource=" + testResource, "", "invalid_target", toClient, "s"},
		{"no such scope", "scope=root", "scope", "invalid_scope", toClient, "s"},
		{"malformed scope", "scope=%22", "scope", "invalid_scope", toClient, "s"},
		{"prompt none and another", "prompt=none+login", "", "invalid_request", toClient, "s"},
		{"scope twice", "scope=read", "", "invalid_request", toClient, "s"},
		{"an unknown parameter twice", "x=1&x=2", "", "invalid_request", toClient, "s"},
		{"twice, once empty", "scope=", "", "invalid_request", toClient, "s"},
		{"state twice", "state=t", "", "invalid_request", toClient, ""},

		{"long state", "state=" + url.QueryEscape(long), "state", "", toClient, long},
		{"long state in an error", "response_type=token&state=" + url.QueryEscape(long), "state response_type", "unsupported_response_type", toClient, long},
		{"state of bytes that take three", "state=" + strings.Repeat("%E2%82%AC", maxState/3), "state", "", toClient, strings.Repeat("€", maxState/3)},
		{"state of bytes that are no text", "state=%FF%00%0A", "state", "", toClient, "\xff\x00\n"},
		{"state that is too long", "state=" + long + "x", "state", "invalid_request", toClient, ""},
		{"no state", "", "state", "", toClient, ""},
		{"no state in an error", "response_type=token", "state response_type", "unsupported_response_type", toClient, ""},

		{"everything else empty", "resource=&resource=&prompt=&max_age=&login_hint=&response_mode=&request=&request_uri=&nonce=&id_token_hint=", "", "", toClient, "s"},
		{"empty scope", "scope=", "scope", "", toClient, "s"},
		{"empty resource beside one", "resource=&resource=" + testResource, "", "", toClient, "s"},
		{"empty state", "state=", "state", "", toClient, ""},
		{"empty response type", "response_type=", "response_type", "invalid_request", toClient, "s"},
		{"empty challenge", "code_challenge=", "code_challenge", "invalid_request", toClient, "s"},
		{"empty redirect URI", "redirect_uri=", "redirect_uri", "", toClient, "s"},
		{"no redirect URI", "", "redirect_uri", "", toClient, "s"},
		{"no redirect URI in an error", "scope=root", "redirect_uri scope", "invalid_scope", toClient, "s"},

		{"empty client", "client_id=", "client_id", "invalid_request", toUser, ""},
		{"no client", "", "client_id", "invalid_request", toUser, ""},
		{"client twice", "client_id=app", "", "invalid_request", toUser, ""},
		{"client twice, once empty", "client_id=", "", "invalid_request", toUser, ""},
		{"redirect URI twice", "redirect_uri=" + testRedirect, "", "invalid_request", toUser, ""},
		{"unknown client", "client_id=nobody", "client_id", "invalid_client", toUser, ""},
		{"forged client", "client_id=dyn.AAAA", "client_id", "invalid_client", toUser, ""},
		{"other redirect URI", "redirect_uri=https://evil.example/callback", "redirect_uri", "invalid_request", toUser, ""},
		{"longer redirect URI", "redirect_uri=" + testRedirect + "/x", "redirect_uri", "invalid_request", toUser, ""},
		{"javascript", "redirect_uri=javascript:alert(1)", "redirect_uri", "invalid_request", toUser, ""},
		{"a client without redirect URIs", "client_id=resource", "client_id", "invalid_request", toUser, ""},
		{"malformed", "%zz", "", "invalid_request", toUser, ""},
		{"oversized", "x=" + strings.Repeat("x", maxAuthorization), "", "invalid_request", toUser, ""},
	} {
		query := testQuery()
		for _, name := range strings.Fields(test.without) {
			query.Del(name)
		}
		raw := query.Encode()
		if test.query != "" {
			raw += "&" + test.query
		}
		a, _, err := f.Authorize(t.Context(), raw)
		refused, _ := errors.AsType[*AuthorizationError](err)
		if test.code == "" {
			if err != nil || string(a.State) != test.state || a.RedirectURI != testRedirect {
				t.Errorf("%s: got %+v, %v", test.name, a, err)
			}
			continue
		}
		if refused == nil || refused.Err.Code != test.code || (refused.RedirectTo != "") != test.told {
			t.Errorf("%s: got %v, %+v, want %s, told the client: %t", test.name, err, refused, test.code, test.told)
			continue
		}
		if !test.told {
			continue
		}
		to, err := url.Parse(refused.RedirectTo)
		if err != nil || !strings.HasPrefix(refused.RedirectTo, testRedirect+"?") || to.Query().Get("state") != test.state || to.Query().Has("state") != (test.state != "") ||
			to.Query().Get("iss") != testIssuer || to.Query().Has("code") {
			t.Errorf("%s: the client is told %s, want state %q", test.name, to, test.state)
		}
	}
}

// A state comes back byte for byte from where the browser keeps it meanwhile, and
// doesn't grow beyond what it can keep.
func TestStateIsKept(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, state := range []string{"", "s", "\xff\x00\n", strings.Repeat("<", maxState), strings.Repeat("\x00", maxState), strings.Repeat("\xff", maxState)} {
		a, _, err := f.Authorize(t.Context(), testQuery("state", state).Encode())
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(a)
		if err != nil || len(b) > 3*maxState/2+1024 {
			t.Errorf("%.20q takes %d bytes, %v", state, len(b), err)
		}
		var kept Authorization
		if err := json.Unmarshal(b, &kept); err != nil || kept.State != a.State || string(kept.State) != state {
			t.Errorf("%.20q comes back as %.20q, %v", state, kept.State, err)
		}
	}
}

// The redirect URI may be left out where there can be no doubt about it.
func TestRedirectURILeftOut(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		registered []string
		want       string
	}{
		"one":                               {[]string{testRedirect}, testRedirect},
		"two":                               {[]string{testRedirect, "https://client.example/other"}, ""},
		"one on loopback, with a port":      {[]string{"http://127.0.0.1:4711/cb"}, "http://127.0.0.1:4711/cb"},
		"one on loopback, without":          {[]string{"http://127.0.0.1/cb"}, ""},
		"one by a scheme of its own":        {[]string{privateURI}, privateURI},
		"one of https on loopback":          {[]string{"https://localhost/cb"}, "https://localhost/cb"},
		"one with a query":                  {[]string{testRedirect + "?a=b"}, testRedirect + "?a=b"},
		"many below a path":                 {[]string{"https://client.example/connectors/*"}, ""},
		"a client that has none, by rights": {nil, ""},
	} {
		f := newFixture(t, func(c *Config) {
			c.Clients[1].RedirectURIs, c.Clients[1].ClientCredentials = test.registered, true
		})
		query := testQuery("client_id", "backend")
		query.Del("redirect_uri")
		a, _, err := f.Authorize(t.Context(), query.Encode())
		if test.want == "" {
			if refused, _ := errors.AsType[*AuthorizationError](err); refused == nil || refused.RedirectTo != "" {
				t.Errorf("%s: got %+v, %v, want a page", name, a, err)
			}
			continue
		}
		if err != nil || a.RedirectURI != test.want {
			t.Errorf("%s: got %+v, %v, want %s", name, a, err, test.want)
			continue
		}
		to, err := f.Approve(t.Context(), testUser, a)
		if err != nil || !strings.HasPrefix(to, test.want) {
			t.Fatalf("%s: got %s, %v", name, to, err)
		}
		u, _ := url.Parse(to)
		form := redeemForm(u.Query().Get("code"))
		form.Del("redirect_uri") // RFC 6749, section 4.1.3: it wasn't in the request
		form.Set("client_id", "backend")
		form.Set("client_secret", "a-secret-of-the-backend")
		if got := post(t, f.Server, TokenPath, form); got.status != 200 {
			t.Errorf("%s: redeeming: %d %s", name, got.status, got.body)
		}
	}
}

// An operator's list may stand for the callbacks of many connectors; a request is
// for one of them, and so is a consent.
func TestConnectors(t *testing.T) {
	t.Parallel()
	const entry, one, two = "https://connectors.example/oauth/*", "https://connectors.example/oauth/one", "https://connectors.example/oauth/two"
	register := func(f *fixture, redirect string) string {
		return ask(t, f.Server, RegisterPath, "application/json", `{"redirect_uris":["`+redirect+`"],"token_endpoint_auth_method":"none"}`).ID
	}
	for name, f := range map[string]*fixture{
		"a client of the operator's": newFixture(t, func(c *Config) { c.Clients[0].RedirectURIs = []string{entry} }),
		"a client that registers":    newFixture(t, func(c *Config) { c.Registration.RedirectURIs = []string{entry} }),
	} {
		id := "app"
		if name != "a client of the operator's" {
			if id = register(f, one); id == "" {
				t.Fatalf("%s: not registered", name)
			}
			for _, redirect := range []string{entry, "https://connectors.example/oauth/", "https://connectors.example/oauth/a%2fb", "https://connectors.example/other"} {
				if register(f, redirect) != "" {
					t.Errorf("%s may register %s", name, redirect)
				}
			}
		}
		if ok, _, _ := f.consented(testQuery("client_id", id, "redirect_uri", one), testQuery("client_id", id, "redirect_uri", one)); !ok {
			t.Errorf("%s: not remembered", name)
		}
		for _, redirect := range []string{entry, "https://connectors.example/oauth/", "https://connectors.example/oauth", one + "/../two", one + "?x", "https://connectors.example/oauth/%2e%2e/x"} {
			if _, _, err := f.Authorize(t.Context(), testQuery("client_id", id, "redirect_uri", redirect).Encode()); err == nil {
				t.Errorf("%s is sent to %s", name, redirect)
			}
		}
		a, c, err := f.Authorize(t.Context(), testQuery("client_id", id, "redirect_uri", two).Encode())
		if name != "a client of the operator's" {
			if err == nil {
				t.Errorf("%s is sent to what it didn't register", name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: another connector: %v", name, err)
			continue
		}
		if ok, _ := f.Consented(t.Context(), testUser, a, c); ok {
			t.Errorf("%s: a consent for one connector serves another", name)
		}
	}
}

// A client sends its secret by either method, whatever it registered with; less
// than the secret is never enough.
func TestClientAuthentication(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) {
		c.Clients[1].ClientCredentials = true
	})
	register := func(method string) (string, string) {
		got := ask(t, f.Server, RegisterPath, "application/json", `{"redirect_uris":["`+testRedirect+`"],"token_endpoint_auth_method":"`+method+`"}`)
		return got.ID, got.Secret
	}
	basicID, basicSecret := register(methodBasic)
	postID, postSecret := register(methodPost)
	publicID, _ := register(methodNone)
	odd := "a secret: of %+& ünd more"
	f.Server = f.again(func(c *Config) {
		c.Clients = append(c.Clients, Client{ID: "odd one", Secret: odd, RedirectURIs: []string{testRedirect}})
	})
	for _, test := range []struct {
		name              string
		id, secret        string // in the form
		basicID, password string // in the header
		header            string // instead
		want              string // error; empty: let in
	}{
		{"registered for basic, by basic", "", "", basicID, basicSecret, "", ""},
		{"registered for basic, by post", basicID, basicSecret, "", "", "", ""},
		{"registered for post, by post", postID, postSecret, "", "", "", ""},
		{"registered for post, by basic", "", "", postID, postSecret, "", ""},
		{"the operator's, by basic", "", "", "backend", "a-secret-of-the-backend", "", ""},
		{"the operator's, by post", "backend", "a-secret-of-the-backend", "", "", "", ""},
		{"by basic, and named in the form", basicID, "", basicID, basicSecret, "", ""},
		{"public", publicID, "", "", "", "", ""},
		{"encoded", "", "", "odd one", odd, "", ""},

		{"registered for basic, no secret", basicID, "", "", "", "", "invalid_client"},
		{"registered for post, no secret", postID, "", "", "", "", "invalid_client"},
		{"an empty password", "", "", basicID, "", "", "invalid_client"},
		{"another's secret", basicID, postSecret, "", "", "", "invalid_client"},
		{"a secret that is shorter", basicID, basicSecret[1:], "", "", "", "invalid_client"},
		{"public, with a secret", publicID, basicSecret, "", "", "", "invalid_client"},
		{"public, by basic", "", "", publicID, "x", "", "invalid_client"},
		{"both ways", basicID, basicSecret, basicID, basicSecret, "", "invalid_request"},
		{"two clients", postID, "", basicID, basicSecret, "", "invalid_request"},
		{"another scheme", basicID, "", "", "", "Bearer x", "invalid_request"},
		{"no base64", "", "", "", "", "Basic ?", "invalid_client"},
		{"no colon", "", "", "", "", "Basic eA==", "invalid_client"},
		{"nobody", "", "", "", "", "", "invalid_request"},
	} {
		form := url.Values{"token": {"x"}}
		if test.id != "" {
			form.Set("client_id", test.id)
		}
		if test.secret != "" {
			form.Set("client_secret", test.secret)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, testIssuer+RevokePath, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if test.basicID != "" {
			r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(test.basicID)+":"+url.QueryEscape(test.password))))
		}
		if test.header != "" {
			r.Header.Set("Authorization", test.header)
		}
		w := httptest.NewRecorder()
		f.ServeHTTP(w, r)
		switch {
		case test.want == "" && w.Code != 200:
			t.Errorf("%s: got %d %s, want it let in", test.name, w.Code, w.Body)
		case test.want != "" && (w.Code < 400 || !strings.Contains(w.Body.String(), `"`+test.want+`"`)):
			t.Errorf("%s: got %d %s, want %s", test.name, w.Code, w.Body, test.want)
		case test.want == "invalid_client" && r.Header.Get("Authorization") != "" && w.Header().Get("WWW-Authenticate") == "":
			t.Errorf("%s: no challenge", test.name)
		}
	}
}

// The other endpoints take empty parameters for omitted as well.
func TestEmptyParametersInForms(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tokens := f.tokens()
	form := refreshForm(tokens.Refresh)
	for _, name := range []string{"scope", "client_secret", "code", "redirect_uri"} {
		form.Set(name, "")
	}
	form["resource"] = []string{"", ""}
	got := post(t, f.Server, TokenPath, form)
	if got.status != 200 {
		t.Errorf("refreshing: %d %s", got.status, got.body)
	}
	form = refreshForm(got.Refresh)
	form["resource"] = []string{"", "https://evil.example/mcp"}
	if got := post(t, f.Server, TokenPath, form); got.Error != "invalid_target" {
		t.Errorf("an empty resource hides another: %d %s, want invalid_target", got.status, got.body)
	}
	for name, form := range map[string]url.Values{
		"no token":     {"client_id": {"app"}, "grant_type": {refreshToken}, "refresh_token": {""}},
		"no grant":     {"client_id": {"app"}, "grant_type": {""}},
		"no client":    {"client_id": {""}, "grant_type": {refreshToken}},
		"client twice": {"client_id": {"app", ""}, "grant_type": {refreshToken}},
	} {
		if got := post(t, f.Server, TokenPath, form); got.Error != "invalid_request" {
			t.Errorf("%s: got %d %s, want invalid_request", name, got.status, got.body)
		}
	}
}

// Revoking does what it says for every kind of token, and for its owner only.
func TestRevocation(t *testing.T) {
	t.Parallel()
	change := func(c *Config) {
		c.Clients[1].ClientCredentials = true
		c.Clients = append(c.Clients, Client{ID: "machine", Secret: "a-secret-of-the-machine", ClientCredentials: true})
	}
	machine := url.Values{"client_id": {"machine"}, "client_secret": {"a-secret-of-the-machine"}}
	backend := url.Values{"client_id": {"backend"}, "client_secret": {"a-secret-of-the-backend"}}
	app := url.Values{"client_id": {"app"}}
	with := func(client url.Values, fields ...string) url.Values {
		form := url.Values{}
		for name, values := range client {
			form[name] = values
		}
		for i := 0; i < len(fields); i += 2 {
			form.Set(fields[i], fields[i+1])
		}
		return form
	}
	for _, test := range []struct {
		name   string
		by     url.Values
		token  string // access, refresh or machine
		hint   string
		active bool // afterwards
	}{
		{"an access token", app, "access", "", false},
		{"a refresh token", app, "refresh", "", false},
		{"a refresh token, hinted wrongly", app, "refresh", "access_token", false},
		{"a machine's token", machine, "machine", "", false},
		{"a machine's token, hinted", machine, "machine", "access_token", false},
		{"a machine's token, hinted wrongly", machine, "machine", "refresh_token", false},
		{"a hint that nobody knows", machine, "machine", "x", false},
		{"another's access token", backend, "access", "", true},
		{"another's refresh token", backend, "refresh", "", true},
		{"another machine's token", backend, "machine", "", true},
	} {
		f := newFixture(t, change)
		user := f.tokens()
		tokens := map[string]string{"access": user.Access, "refresh": user.Refresh}
		tokens["machine"] = post(t, f.Server, TokenPath, with(machine, "grant_type", clientCredentials)).Access
		other := post(t, f.Server, TokenPath, with(machine, "grant_type", clientCredentials)).Access
		form := with(test.by, "token", tokens[test.token])
		if test.hint != "" {
			form.Set("token_type_hint", test.hint)
		}
		if got := post(t, f.Server, RevokePath, form); got.status != 200 {
			t.Errorf("%s: got %d %s, want 200", test.name, got.status, got.body)
		}
		shown := tokens["access"]
		if test.token == "machine" {
			shown = tokens["machine"]
		}
		// Every server on the store knows.
		if got := post(t, f.again(change), IntrospectPath, introspectForm(shown)); got.Active != test.active {
			t.Errorf("%s: introspected %s, want active %t", test.name, got.body, test.active)
		}
		if got := post(t, f.Server, IntrospectPath, introspectForm(other)); !got.Active {
			t.Errorf("%s: another token went with it: %s", test.name, got.body)
		}
		if got := post(t, f.Server, TokenPath, refreshForm(user.Refresh)); (got.status == 200) != (test.active || test.token == "machine") {
			t.Errorf("%s: refreshing: %d %s", test.name, got.status, got.body)
		}
	}

	f := newFixture(t, change)
	access := post(t, f.Server, TokenPath, with(machine, "grant_type", clientCredentials)).Access
	for name, token := range map[string]string{"garbage": "x", "a forged one": access[:len(access)-4] + "AAAA", "a forged refresh token": refreshPrefix + strings.Repeat("A", refreshEncoded)} {
		if got := post(t, f.Server, RevokePath, with(machine, "token", token)); got.status != 200 {
			t.Errorf("%s: got %d %s, want 200", name, got.status, got.body)
		}
	}
	if keys := f.store.keys(revokedPrefix); len(keys) != 0 {
		t.Errorf("what is no token leaves %q", keys)
	}
	if got := post(t, f.Server, RevokePath, with(machine, "token", access)); got.status != 200 {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	f.store.fail(func(op, _ string) error {
		if op == "load" {
			return errStore
		}
		return nil
	})
	if got := post(t, f.Server, IntrospectPath, introspectForm(access)); got.status != 503 {
		t.Errorf("without the store: got %d %s, want 503", got.status, got.body)
	}
	f.store.fail(nil)
	f.clock.Advance(DefaultAccessTokenLifetime + revokedMemory + time.Second)
	if err := f.Sweep(t.Context()); err != nil || len(f.store.keys(revokedPrefix)) != 0 {
		t.Errorf("what has expired stays: %q, %v", f.store.keys(revokedPrefix), err)
	}
}
