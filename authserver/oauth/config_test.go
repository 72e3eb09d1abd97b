package oauth

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/storetest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
)

func decode(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
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
		"long access tokens":         func(c *Config) { c.AccessTokenLifetime = MaxAccessTokenLifetime + 1 },
		"short refresh tokens":       func(c *Config) { c.RefreshTokenLifetime = 1 },
		"client twice":               func(c *Config) { c.Clients = append(c.Clients, c.Clients[0]) },
		"client like a dynamic one":  func(c *Config) { c.Clients[0].ID = "dyn.x" },
		"client like a document":     func(c *Config) { c.Clients[0].ID = "https://a.example/x" },
		"short secret":               func(c *Config) { c.Clients[1].Secret = "short" },
		"public, for itself":         func(c *Config) { c.Clients[0].ClientCredentials = true },
		"client that can do nothing": func(c *Config) { c.Clients[0].RedirectURIs = nil },
		"client with javascript":     func(c *Config) { c.Clients[0].RedirectURIs = []string{"javascript:x"} },
		"client's unknown scope":     func(c *Config) { c.Clients[0].Scopes = []string{"root"} },
		"no store":                   func(c *Config) { c.Store = nil },
		"no secret":                  func(c *Config) { c.Secret = nil },
		"off, but with URIs":         func(c *Config) { c.Registration = registration.Policy{Off: true, RedirectURIs: []string{testRedirect}} },
	} {
		config := Config{
			Issuer: testIssuer, Resources: []string{testResource}, Scopes: []Scope{{Name: "read"}}, Store: storetest.New(), Secret: testMaster("a secret"),
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
