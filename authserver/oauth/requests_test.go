package oauth

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
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
		{"climbing redirect URI", "redirect_uri=" + testRedirect + "/../evil", "redirect_uri", "invalid_request", toUser, ""},
		{"redirect URI as credentials", "redirect_uri=https://client.example@evil.example/callback", "redirect_uri", "invalid_request", toUser, ""},
		{"metadata document on loopback by http", "client_id=http://127.0.0.1/client.json", "client_id", "invalid_client", toUser, ""},
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
