package token_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// What each verifier says about how to ask it: a token is sent to no one that doesn't
// need it, and a verdict falls with what it rests on.
func TestSources(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{Algorithm: "ES256"})
	jwt := newJWT(t, srv, nil, nil)
	apiKeys, err := token.NewAPIKeys(mcpResource, []token.APIKey{{Name: "ci", Hash: token.HashAPIKey("x")}})
	if err != nil {
		t.Fatal(err)
	}
	prefixes := []string{"x_", "y_"}
	introspection := newIntrospection(t, srv, func(c *token.IntrospectionConfig) { c.Prefixes = prefixes })
	confirming := newIntrospection(t, srv, func(c *token.IntrospectionConfig) { c.JWT = jwt })
	userinfo := newUserinfo(t, srv, func(c *token.UserinfoConfig) { c.Prefixes = prefixes })
	gitHub := newGitHub(t, srv, nil)
	prefixedGitHub := newGitHub(t, srv, func(c *token.GitHubConfig) { c.Prefixes = prefixes })
	for _, tc := range []struct {
		name         string
		source       token.Source
		signed       bool // it accepts JWTs
		opaque       bool
		noNetwork    bool
		prefixes     []string
		morePrefixes bool
		falls        bool // a verdict can fall
		prepares     bool
		probes       bool
	}{
		{"jwt", jwt.Source(), true, false, true, nil, false, true, false, false},
		{"API keys", apiKeys.Source(), false, true, true, nil, false, true, false, false},
		{"introspection", introspection.Source(), false, true, false, prefixes, false, true, true, true},
		{"introspection of JWTs", confirming.Source(), true, true, false, nil, false, true, true, true},
		{"userinfo", userinfo.Source(), false, true, false, prefixes, false, false, false, true},
		{"github", gitHub.Source(), false, true, false, []string{"gho_", "ghu_"}, true, false, false, true},
		{"github, prefixes", prefixedGitHub.Source(), false, true, false, prefixes, false, false, false, true},
	} {
		s := tc.source
		for form, want := range map[string]bool{srv.Mint(nil): tc.signed, "opaque": tc.opaque} {
			p, err := token.Present(form)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Accepts(p); got != want {
				t.Errorf("%s: accepts %.10q: got %t, want %t", tc.name, form, got, want)
			}
		}
		if s.NoNetwork != tc.noNetwork || !slices.Equal(s.Prefixes, tc.prefixes) || s.MorePrefixes != tc.morePrefixes {
			t.Errorf("%s: got no network %t, prefixes %q, more %t, want %t, %q, %t",
				tc.name, s.NoNetwork, s.Prefixes, s.MorePrefixes, tc.noNetwork, tc.prefixes, tc.morePrefixes)
		}
		if got := s.StillGood != nil; got != tc.falls {
			t.Errorf("%s: verdicts can fall: got %t, want %t", tc.name, got, tc.falls)
		}
		if got := s.Prepare != nil; got != tc.prepares {
			t.Errorf("%s: prepares: got %t, want %t", tc.name, got, tc.prepares)
		}
		if got := s.Probe != nil; got != tc.probes {
			t.Errorf("%s: probes: got %t, want %t", tc.name, got, tc.probes)
		}
	}
}

// A verdict stands for as long as the issuer publishes the keys that it rests on.
func TestStillGood(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{Algorithm: "ES256"})
	set := published(t, srv)
	source := keysFunc(func(context.Context, time.Time) (*keys.Set, error) { return set, nil })
	jwt := newJWT(t, srv, nil, func(c *token.JWTConfig) { c.Keys = source })
	confirming := newIntrospection(t, srv, func(c *token.IntrospectionConfig) { c.JWT = jwt })
	tok, err := judge(t.Context(), jwt, srv.Mint(nil))
	if err != nil {
		t.Fatal(err)
	}
	var slimmer token.Slimmer
	slim := slimmer.Slim(tok)
	remembered := slim.Token("", nil)
	check := func(what string, want bool) {
		t.Helper()
		for name, s := range map[string]token.Source{"jwt": jwt.Source(), "introspection": confirming.Source()} {
			for form, tok := range map[string]*token.Token{"first": tok, "remembered": remembered} {
				if got := s.StillGood(t.Context(), tok); got != want {
					t.Errorf("%s, %s, %s: got %t, want %t", what, name, form, got, want)
				}
			}
		}
	}
	check("same keys", true)
	set = published(t, srv)
	check("other keys", false)
	if !confirming.StillGood(t.Context(), &token.Token{Subject: "opaque"}) {
		t.Error("introspected, opaque: it hangs on no key")
	}
}
