package caddymcpauth_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

// While the issuer can't be asked, a token may be good: the client is told to keep it
// and come back.
func TestIssuerAway(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		endpoint oauthtest.Endpoint
		fault    oauthtest.Fault
	}{
		{"metadata 500", oauthtest.Metadata, oauthtest.Status(500)},
		{"metadata 404", oauthtest.Metadata, oauthtest.Status(404)},
		{"metadata of another issuer", oauthtest.Metadata, oauthtest.WrongIssuer("https://evil.example")},
		{"metadata drops the connection", oauthtest.Metadata, oauthtest.Close()},
		{"metadata is a web page", oauthtest.Metadata, oauthtest.Garbage()},
		{"keys 500", oauthtest.JWKS, oauthtest.Status(500)},
		{"keys 401", oauthtest.JWKS, oauthtest.Status(401)},
		{"keys are empty", oauthtest.JWKS, oauthtest.EmptyKeys()},
		{"keys are a web page", oauthtest.JWKS, oauthtest.Garbage()},
		{"keys are cut off", oauthtest.JWKS, oauthtest.Truncate()},
		{"keys elsewhere", oauthtest.JWKS, oauthtest.Redirect(302, "http://127.0.0.1:1/jwks")},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			issuer := newIssuer(t)
			s := serve(t, frontDoor(issuer.Issuer(), "scopes read"), nil)
			issuer.SetFault(test.endpoint, test.fault)
			token := bearer(issuer.Mint(nil))
			for _, method := range []string{"POST", "GET"} {
				checkUnavailable(t, s.do(t, method, "/mcp", token...))
			}
			// What needs nobody's help still works.
			noCredentials.check(t, s.do(t, "POST", "/mcp"), "read")
			invalidToken.check(t, s.do(t, "POST", "/mcp", bearer("x")...), "read")
			if got := s.do(t, "GET", wellKnown+"/mcp"); got.StatusCode != 200 {
				t.Errorf("metadata: got %d", got.StatusCode)
			}
		})
	}
}

// When the issuer is there again, so are we: after the time that clients were told.
func TestIssuerComesBack(t *testing.T) {
	t.Parallel()
	for name, fault := range map[oauthtest.Endpoint]oauthtest.Fault{
		oauthtest.Metadata: oauthtest.Status(500),
		oauthtest.JWKS:     oauthtest.Status(500),
		// Metadata that names no key set tells nothing about a token.
		"jwks_uri": oauthtest.Rewrite(map[string]any{"jwks_uri": oauthtest.Absent}),
	} {
		t.Run(string(name), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, issuer *oauthtest.Server) {
				endpoint := name
				if endpoint == "jwks_uri" {
					endpoint = oauthtest.Metadata
				}
				c := mustProvision(t, frontDoor(issuer.Issuer(), ""))
				issuer.SetFault(endpoint, fault)
				token := bearer(issuer.Mint(nil))
				var told time.Duration
				for range 5 {
					time.Sleep(told)
					told = checkUnavailable(t, c.ask("POST", "/mcp", token...))
				}
				issuer.SetFault(endpoint, nil)
				time.Sleep(told)
				served.check(t, c.ask("POST", "/mcp", token...), "")
			})
		})
	}
}

// checkUnavailable checks that the client is told to come back, and returns when.
func checkUnavailable(t *testing.T, got answer) time.Duration {
	t.Helper()
	wantAnswer{503, "temporarily_unavailable", false, false}.check(t, got, "")
	seconds, err := strconv.Atoi(got.Header.Get("Retry-After"))
	if err != nil || seconds < 1 || seconds > 60 {
		t.Errorf("Retry-After: got %q", got.Header.Get("Retry-After"))
	}
	for _, inside := range []string{"127.0.0.1", "upstream-secret", "issuer", "jwks"} {
		if strings.Contains(got.body, inside) {
			t.Errorf("the body tells about the inside: %q", got.body)
		}
	}
	return time.Duration(seconds) * time.Second
}

// An issuer that hangs delays a request by a few seconds, not forever, and only one.
func TestIssuerHangs(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, issuer *oauthtest.Server) {
		c := mustProvision(t, frontDoor(issuer.Issuer(), ""))
		issuer.SetFault(oauthtest.JWKS, oauthtest.Hang())
		for i, want := range []time.Duration{5 * time.Second, 0} {
			start := time.Now()
			checkUnavailable(t, c.ask("POST", "/mcp", bearer(issuer.Mint(nil))...))
			if got := time.Since(start); got != want {
				t.Errorf("request %d took %s, want %s", i+1, got, want)
			}
		}
	})
}

// The issuer is down already at the start: that is nobody's configuration error.
func TestIssuerDownAtStart(t *testing.T) {
	t.Parallel()
	gone := serveHTTP(t, nil)
	gone.Close()
	s := serve(t, frontDoor(gone.URL, ""), nil)
	noCredentials.check(t, s.do(t, "GET", "/mcp"), "")
	issuer := newIssuer(t)
	checkUnavailable(t, s.do(t, "POST", "/mcp", bearer(issuer.Mint(map[string]any{"iss": gone.URL}))...))
}

// Once the keys are known, an outage is nobody's business.
func TestIssuerGoesAwayLater(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	s := serve(t, frontDoor(issuer.Issuer(), ""), nil)
	served.check(t, s.do(t, "POST", "/mcp", bearer(issuer.Mint(nil))...), "")
	issuer.SetFault(oauthtest.Any, oauthtest.Status(500))
	for range 20 {
		served.check(t, s.do(t, "POST", "/mcp", bearer(issuer.Mint(nil))...), "")
	}
}
