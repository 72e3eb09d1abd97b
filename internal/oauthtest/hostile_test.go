package oauthtest

import (
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

const resource = "https://mcp.example.com/mcp"

func TestMatricesAreWellFormed(t *testing.T) {
	t.Parallel()
	srv := New(t, Options{Path: "/oidc"})
	hostile, benign := Hostile(srv, resource), Benign(srv, resource)
	t.Logf("%d hostile tokens, %d benign ones", len(hostile), len(benign))
	names, tokens := map[string]bool{}, map[string]string{}
	for _, c := range append(hostile, benign...) {
		if names[c.Name] {
			t.Errorf("two cases are named %q", c.Name)
		}
		if other, ok := tokens[c.Token]; ok {
			t.Errorf("%q and %q have the same token", c.Name, other)
		}
		if c.Want == "" {
			t.Errorf("%q doesn't say why", c.Name)
		}
		names[c.Name], tokens[c.Token] = true, c.Name
	}
}

// TestClaimsAreAllThatIsWrong holds the hostile claims to their promise: break
// one rule. Their signatures must be good.
func TestClaimsAreAllThatIsWrong(t *testing.T) {
	t.Parallel()
	srv := New(t, Options{Algorithm: "ES256"})
	m := newMatrix(srv, resource)
	m.issuerClaim()
	m.audienceClaim()
	m.timeClaims()
	m.identityClaims()
	m.otherTokens()
	for _, c := range m.cases {
		if _, err := verified(t, srv, c.Token); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
}

func TestSignaturesAreWrong(t *testing.T) {
	t.Parallel()
	srv := New(t, Options{Algorithm: "ES256"})
	m := newMatrix(srv, resource)
	m.signatures()
	m.ecSignatures()
	for _, c := range m.cases {
		// A key used with another of its algorithms is no matter to go-jose.
		if strings.Contains(c.Want, "another algorithm") {
			continue
		}
		if _, err := verified(t, srv, c.Token); err == nil {
			t.Errorf("%s: go-jose verifies the token", c.Name)
		}
	}
}

func TestBenignVerify(t *testing.T) {
	t.Parallel()
	srv := New(t, Options{})
	for _, c := range Benign(srv, resource) {
		if _, err := verify(t, srv, c.Token); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
	for _, c := range BenignWithoutKid(srv, resource) {
		jws, err := jose.ParseSignedCompact(c.Token, signatureAlgorithms)
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		if _, err := jws.Verify(srv.CurrentKey().Private.Public()); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
}
