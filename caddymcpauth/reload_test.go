package caddymcpauth_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

// mustProvision loads a site's routes.
func mustProvision(t testing.TB, site string) *config {
	t.Helper()
	routes, err := adapt(site)
	if err != nil {
		t.Fatal(err)
	}
	c, err := provision(t, routes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// try sends one request without a network, and returns the status.
func (c *config) try(token string) int {
	return c.ask("POST", "/mcp", bearer(token)...).StatusCode
}

// A reload asks the issuer nothing: its keys pass from one configuration to the
// next, also when other things change.
func TestReloadKeepsKeys(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	old := mustProvision(t, frontDoor(issuer.Issuer(), ""))
	if got := old.try(issuer.Mint(nil)); got != 200 {
		t.Fatalf("got %d", got)
	}
	for i, options := range []string{"", "scopes read", "forward_token"} {
		reloaded := mustProvision(t, frontDoor(issuer.Issuer(), options))
		if n := caddymcpauth.PoolReferences(issuer.Issuer()); n != 2 {
			t.Errorf("reload %d: %d references while both live, want 2", i, n)
		}
		old.cleanup()
		if n := caddymcpauth.PoolReferences(issuer.Issuer()); n != 1 {
			t.Errorf("reload %d: %d references, want 1", i, n)
		}
		if got := reloaded.try(issuer.Mint(nil)); got != 200 {
			t.Errorf("reload %d: got %d", i, got)
		}
		// A request that was under way when the old configuration ended.
		if got := old.try(issuer.Mint(nil)); got != 200 {
			t.Errorf("reload %d: a late request of the old configuration got %d", i, got)
		}
		old = reloaded
	}
	if n := issuer.Count(oauthtest.JWKS); n != 1 {
		t.Errorf("the key set was fetched %d times, want 1", n)
	}
	if n := issuer.Count(oauthtest.Metadata); n != 1 {
		t.Errorf("the metadata was fetched %d times, want 1", n)
	}
	old.cleanup()
	if n := caddymcpauth.PoolEntries(issuer.Issuer()); n != 0 {
		t.Errorf("%d states are left when no configuration is", n)
	}
}

// What makes two configurations learn different things keeps them apart; what
// doesn't, doesn't.
func TestPoolSharing(t *testing.T) {
	t.Parallel()
	parent := t // whose end is the configurations'
	issuer := newIssuer(t)
	with := func(options string) string {
		return "mcp_auth " + testResource + " {\nissuer " + issuer.Issuer() + " {\n" + options + "\n}\n}"
	}
	for _, test := range []struct {
		name, options string
		states        int
	}{
		{"first", "jwt", 1},
		{"same", "jwt", 1},
		{"other algorithms", "jwt {\nalgorithms ES256 RS256\n}", 1},
		{"other audience", "audience x", 1},
		{"metadata by hand", "metadata jwks_uri " + issuer.Endpoint(oauthtest.JWKS), 2},
		{"another location", "discovery " + issuer.URL + "/.well-known/oauth-authorization-server", 3},
		{"no discovery", "discovery off\nmetadata jwks_uri " + issuer.Endpoint(oauthtest.JWKS), 4},
		{"metadata by hand again", "metadata jwks_uri " + issuer.Endpoint(oauthtest.JWKS), 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			mustProvision(parent, with(test.options))
			if n := caddymcpauth.PoolEntries(issuer.Issuer()); n != test.states {
				t.Errorf("got %d states of the issuer, want %d", n, test.states)
			}
		})
	}
}

// A configuration that fails half-way leaves nothing behind, and doesn't take
// from others what they have.
func TestFailedProvisionReleases(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, issuers string }{
		{"verifier fails", `{"issuer":"ISSUER","verifiers":[{"verifier":"guest","fail":true}]}`},
		{"second issuer fails", `{"issuer":"ISSUER"},{"issuer":"http://as.example.com"}`},
		{"same issuer again", `{"issuer":"ISSUER"},{"issuer":"ISSUER"}`},
		{"null after it", `{"issuer":"ISSUER"},null`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			issuer := newIssuer(t)
			good := mustProvision(t, frontDoor(issuer.Issuer(), ""))
			if got := good.try(issuer.Mint(nil)); got != 200 {
				t.Fatalf("got %d", got)
			}
			routes := `[{"handle":[{"handler":"mcp_auth","resource":"` + testResource + `","issuers":[` + test.issuers + `]}]}]`
			for range 3 {
				if _, err := provision(t, json.RawMessage(strings.ReplaceAll(routes, "ISSUER", issuer.Issuer()))); err == nil {
					t.Fatal("got no error")
				}
			}
			if n := caddymcpauth.PoolReferences(issuer.Issuer()); n != 1 {
				t.Errorf("%d references, want 1", n)
			}
			if got := good.try(issuer.Mint(nil)); got != 200 {
				t.Errorf("afterwards: got %d", got)
			}
			if n := issuer.Count(oauthtest.JWKS); n != 1 {
				t.Errorf("the key set was fetched %d times, want 1", n)
			}
		})
	}
}

// Reloads leave no goroutine behind: a bubble ends with an error if one is left.
func TestReloadsLeakNothing(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, issuer *oauthtest.Server) {
		site := `mcp_auth ` + testResource + ` {
			issuer ` + issuer.Issuer() + ` {
				jwt
				introspection {
					client_id front-door
					client_secret "s3cr3t & more: 100%"
				}
			}
			header X-User {http.auth.user.id}
		}`
		raw, opaque := issuer.Mint(nil), issuer.Opaque(map[string]any{"aud": testResource})
		old := mustProvision(t, site)
		for range 20 {
			reloaded := mustProvision(t, site)
			old.cleanup()
			old = reloaded
			for _, token := range []string{raw, opaque} {
				if got := old.try(token); got != 200 {
					t.Fatalf("got %d", got)
				}
			}
		}
		if n := issuer.Count(oauthtest.JWKS); n != 1 {
			t.Errorf("the key set was fetched %d times, want 1", n)
		}
	})
}
