package judge_test

import (
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// A key goes to no issuer, in whatever order the verifiers are listed.
func TestAPIKeysStayHere(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{})
	other := oauthtest.New(t, oauthtest.Options{})
	key := token.NewAPIKey()
	keys, err := token.NewAPIKeys(mcpResource, []token.APIKey{{Name: "ci", Hash: token.HashAPIKey(key)}})
	if err != nil {
		t.Fatal(err)
	}
	list := judge.Issuers{
		{Issuer: other.Issuer(), Verifiers: []*judge.Verifier{{Source: newUserinfo(t, other, nil).Source()}}},
		{Issuer: srv.Issuer(), Verifiers: []*judge.Verifier{{Source: newUserinfo(t, srv, nil).Source()}, {Source: keys.Source()}}},
	}
	if tok, err := list.Judge(t.Context(), key); err != nil || tok.Subject != "ci" {
		t.Errorf("got %+v (%v), want the key ci", tok, err)
	}
	if got := srv.Count(oauthtest.Any) + other.Count(oauthtest.Any); got != 0 {
		t.Errorf("the key went out %d times", got)
	}
	if tok, err := list.Judge(t.Context(), srv.Opaque(map[string]any{"sub": "ci"})); err != nil || tok.Issuer != srv.Issuer() {
		t.Errorf("the issuer's user ci: got %+v (%v), want one of the issuer", tok, err)
	}
}

// After a reload without it, a key is bad at once, whatever a cache says.
func TestAPIKeysRemoved(t *testing.T) {
	t.Parallel()
	key := token.NewAPIKey()
	before, err := token.NewAPIKeys(mcpResource, []token.APIKey{{Name: "ci", Hash: token.HashAPIKey(key)}})
	if err != nil {
		t.Fatal(err)
	}
	after, err := token.NewAPIKeys(mcpResource, []token.APIKey{{Name: "ci", Hash: token.HashAPIKey(token.NewAPIKey())}})
	if err != nil {
		t.Fatal(err)
	}
	cache, err := judge.NewCache(judge.CacheConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := outcome(verify(t.Context(), cache.Cached(before.Source()), key)); got != "verified" {
			t.Errorf("before: got %s, want verified", got)
		}
	}
	if got := outcome(verify(t.Context(), cache.Cached(after.Source()), key)); got != "inactive" {
		t.Errorf("after: got %s, want inactive", got)
	}
}
