package oauth

import (
	"encoding/base64"
	"strings"
	"testing"
)

func decode(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCheckRedirectURI(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{
		"https://a.example/callback", "https://a.example", "https://a.example:8443/cb?x=1", "http://localhost/cb", "http://localhost:1234/cb",
		"http://127.0.0.1/cb", "http://127.0.0.1:65000/cb", "http://[::1]:3000/cb", "http://app.localhost/cb", "cursor://anysphere.cursor-mcp/oauth/callback",
		"https://a.example/a%20b", "cursor:/callback",
	} {
		if err := checkRedirectURI(uri, []string{"cursor"}); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
	}
	for _, uri := range []string{
		"", "callback", "/callback", "//a.example/cb", "https:", "https://", "https:a.example", "https:///cb", "https://a.example/#f", "https://a.example/cb#",
		"javascript:alert(1)", "JavaScript:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "blob:https://a.example/x", "about:blank",
		"http://a.example/cb", "http://127.0.0.1.evil.example/cb", "http://localhost.evil.example/cb", "http://127.0.0.1@evil.example/cb",
		"https://user@a.example/cb", "https://user:pw@a.example/cb", "https://*.example/cb", "https://a.example/*", "https://a.example/cb?*",
		"https://a.example\\@evil.example/", "https://a.example/ cb", "https://a.example/\tcb", "https://a.example/\ncb", " https://a.example/",
		"https://bücher.example/", "https://a.example/ü", "HTTPS://a.example/", "Cursor://x", "vscode://x", "http://0x7f.1/cb", "http://2130706433/cb", "http://0.0.0.0/cb",
		"https://a.example:/cb", "https://a.example/<script>", "https://a.example/`", "https://[fe80::1%25eth0]/cb",
		"https://a.example/" + strings.Repeat("x", maxRedirectURI),
	} {
		if checkRedirectURI(uri, []string{"cursor"}) == nil {
			t.Errorf("%q passes", uri)
		}
	}
	for scheme := range strings.FieldsSeq("javascript data file vbscript https http") {
		r := Registration{PrivateSchemes: []string{scheme}}
		if r.check() == nil {
			t.Errorf("%s passes as a private scheme", scheme)
		}
	}
}

func TestSameRedirectURI(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		registered, uri string
		want            bool
	}{
		{"http://127.0.0.1/cb", "http://127.0.0.1:1234/cb", true},
		{"http://127.0.0.1:1/cb", "http://127.0.0.1:2/cb", true},
		{"http://127.0.0.1:1/cb", "http://127.0.0.1/cb", true},
		{"http://[::1]/cb", "http://[::1]:1234/cb", true},
		{"http://localhost/cb", "http://localhost:1234/cb", true},
		{"http://localhost/cb", "http://127.0.0.1/cb", false},
		{"http://127.0.0.1/cb", "http://127.0.0.2/cb", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1:1/cb/", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1:1/CB", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1:1/cb?x", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1:1@evil.example/cb", false},
		{"https://127.0.0.1:1/cb", "https://127.0.0.1:2/cb", false},
		{"https://a.example/cb", "https://a.example:443/cb", false},
		{"https://a.example/cb", "https://A.example/cb", false},
		{"https://a.example/cb", "https://a.example/cb/", false},
		{"https://a.example/cb", "https://a.example/cb?x=1", false},
		{"cursor://a/cb", "cursor://a:1/cb", false},
	} {
		if got := sameRedirectURI(test.registered, test.uri); got != test.want {
			t.Errorf("%s and %s: %t, want %t", test.registered, test.uri, got, test.want)
		}
	}
}

func TestRedirectTarget(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"https://a.example/cb":      "a.example",
		"https://a.example:8443/cb": "a.example:8443",
		"http://127.0.0.1:1234/cb":  "127.0.0.1",
		"http://[::1]:1234/cb":      "[::1]",
		"cursor://x/cb":             "cursor:",
	} {
		if got := RedirectTarget(uri); got != want {
			t.Errorf("%s: %q, want %q", uri, got, want)
		}
	}
}

func TestResponseKeepsTheQuery(t *testing.T) {
	t.Parallel()
	const redirect = "https://client.example/cb?tenant=1"
	f := newFixture(t, func(c *Config) { c.Clients[0].RedirectURIs = []string{redirect} })
	a, _, err := f.Authorize(t.Context(), testQuery("redirect_uri", redirect).Encode())
	if err != nil {
		t.Fatal(err)
	}
	to, err := f.Approve(t.Context(), testUser, a)
	if err != nil || !strings.HasPrefix(to, redirect+"&code=") || !strings.Contains(to, "&iss=https%3A%2F%2Fas.example&state=s") {
		t.Errorf("got %s, %v", to, err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Config){
		"slash at the end":           func(c *Config) { c.Issuer += "/" },
		"http":                       func(c *Config) { c.Issuer = "http://as.example" },
		"query":                      func(c *Config) { c.Issuer += "?x" },
		"capital letters":            func(c *Config) { c.Issuer = "https://AS.example" },
		"default port":               func(c *Config) { c.Issuer = "https://as.example:443" },
		"no resource":                func(c *Config) { c.Resources = nil },
		"resource twice":             func(c *Config) { c.Resources = append(c.Resources, testResource+"/") },
		"no scope":                   func(c *Config) { c.Scopes = nil },
		"scope twice":                func(c *Config) { c.Scopes = append(c.Scopes, c.Scopes[0]) },
		"offline_access":             func(c *Config) { c.Scopes = append(c.Scopes, Scope{Name: OfflineAccess}) },
		"long access tokens":         func(c *Config) { c.AccessTokenLifetime = maxAccessTokenLifetime + 1 },
		"short refresh tokens":       func(c *Config) { c.RefreshTokenLifetime = 1 },
		"client twice":               func(c *Config) { c.Clients = append(c.Clients, c.Clients[0]) },
		"client like a dynamic one":  func(c *Config) { c.Clients[0].ID = "dyn.x" },
		"client like a document":     func(c *Config) { c.Clients[0].ID = "https://a.example/x" },
		"short secret":               func(c *Config) { c.Clients[1].Secret = "short" },
		"public, for itself":         func(c *Config) { c.Clients[0].ClientCredentials = true },
		"client that can do nothing": func(c *Config) { c.Clients[0].RedirectURIs = nil },
		"client with javascript":     func(c *Config) { c.Clients[0].RedirectURIs = []string{"javascript:x"} },
		"client's unknown scope":     func(c *Config) { c.Clients[0].Scopes = []string{"root"} },
		"off, but with URIs":         func(c *Config) { c.Registration = Registration{Off: true, RedirectURIs: []string{testRedirect}} },
	} {
		config := Config{
			Issuer: testIssuer, Resources: []string{testResource}, Scopes: []Scope{{Name: "read"}}, Store: newMemory(),
			Clients: []Client{{ID: "app", RedirectURIs: []string{testRedirect}}, {ID: "backend", Secret: "a-secret-of-the-backend", RedirectURIs: []string{testRedirect}}},
		}
		if _, err := New(config); err != nil {
			t.Fatal(err)
		}
		change(&config)
		if _, err := New(config); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
