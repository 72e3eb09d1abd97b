package integration_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// wholeSite protects everything on its site, with an authorization server beside.
const wholeSite = `
	mcp_auth_server SITE {
		resource SITE/mcp
		scopes mcp:tools
` + embeddedUsers + `
	}
	mcp_auth SITE/mcp {
		issuer SITE
		scopes mcp:tools
	}
	mcp_whoami
`

// Caddy gets its certificate from an ACME server while every path of the site needs a
// token, by each kind of challenge, and a client signs in over it.
func TestCertificates(t *testing.T) {
	t.Parallel()
	pebble := buildPebble(t)
	for _, test := range []struct {
		name, challenge, issuer, address, options string
		asks                                      int32
	}{
		{name: "HTTP-01", challenge: "http-01", issuer: "disable_tlsalpn_challenge"},
		{name: "TLS-ALPN-01", challenge: "tls-alpn-01", issuer: "disable_http_challenge"},
		// The site itself listens for HTTP, too: the challenge comes before its routes.
		{name: "HTTP-01, beside plain HTTP", challenge: "http-01", issuer: "disable_tlsalpn_challenge", address: "http://mcp.example.test, https://mcp.example.test"},
		{name: "on demand", challenge: "tls-alpn-01", issuer: "disable_http_challenge", address: "https://", options: "on_demand", asks: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ca := startPebble(t, pebble)
			c := newCaddy(t)
			c.Host = fmt.Sprintf("mcp.example.test:%d", ca.tlsPort)
			c.URL = "https://" + c.Host
			c.CA = ca.root

			var asked atomic.Int32
			ask := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				if r.URL.Query().Get("domain") != "mcp.example.test" {
					w.WriteHeader(http.StatusForbidden)
				}
			}))
			t.Cleanup(ask.Close)
			address := test.address
			if address == "" {
				address = "https://mcp.example.test"
			}
			c.start(strings.ReplaceAll(fmt.Sprintf(`{
	admin %s
	default_bind 127.0.0.1
	http_port %d
	https_port %d
	skip_install_trust
	on_demand_tls {
		ask %s
	}
}
%s {
	log
	tls {
		%s
		issuer acme {
			dir %s
			trusted_roots %s
			%s
		}
	}
%s
}
`, c.admin, ca.httpPort, ca.tlsPort, ask.URL, address, test.options, ca.directory, ca.trust, test.issuer, wholeSite), "SITE", c.URL))

			if !c.log.contains(`"challenge":"` + test.challenge + `"`) {
				t.Errorf("no %s challenge was met", test.challenge)
			}
			if got := asked.Load(); got < test.asks || test.asks == 0 && got != 0 {
				t.Errorf("asked %d times whether a certificate may be had, want at least %d", got, test.asks)
			}
			// No path of the site is open, those of challenges neither.
			for _, path := range []string{"/", "/mcp", "/.well-known/acme-challenge/x"} {
				if got := c.do("GET", path, ""); got.status != http.StatusUnauthorized {
					t.Errorf("%s without a token: got %d, want 401", path, got.status)
				}
			}
			client := c.client()
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			plain, err := client.Get(fmt.Sprintf("http://mcp.example.test:%d/.well-known/acme-challenge/x", ca.httpPort))
			if err != nil {
				t.Fatal(err)
			}
			plain.Body.Close()
			want := http.StatusPermanentRedirect
			if strings.Contains(test.address, "http://") {
				want = http.StatusUnauthorized
			}
			if plain.StatusCode != want {
				t.Errorf("an unknown challenge over HTTP: got %d, want %d", plain.StatusCode, want)
			}
			if who := signInOver(t, c); who["sub"] != "ada" || who["aud"] != c.URL+"/mcp" {
				t.Errorf("whoami says %v, want sub ada and aud %s/mcp", who, c.URL)
			}
		})
	}
}

// signInOver connects with the Go SDK, as a user without a real browser, and calls
// whoami.
func signInOver(t *testing.T, c *caddyServer) map[string]any {
	t.Helper()
	g := connectGoClientAs(t, c, c.URL+"/mcp", registering, asPerson(t, c, "ada"))
	who, err := g.whoami()
	if err != nil {
		t.Fatal(err)
	}
	return who
}
