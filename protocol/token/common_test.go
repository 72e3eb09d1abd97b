package token_test

import (
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/tokentest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// What tests of verifiers share.
var (
	judge   = tokentest.Verify
	outcome = tokentest.Outcome
)

const mcpResource = "https://mcp.example.com/mcp"

// newKeys returns the keys of config's issuer, fetched over HTTP.
func newKeys(t *testing.T, config discovery.Config) *discovery.Issuer {
	t.Helper()
	issuer, err := discovery.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(issuer.Close)
	return issuer
}

// newJWT returns a verifier for the tokens of srv, with srv's keys.
func newJWT(t *testing.T, srv *oauthtest.Server, now func() time.Time, change func(*token.JWTConfig)) *token.JWT {
	t.Helper()
	config := token.JWTConfig{
		Issuer:   srv.Issuer(),
		Keys:     newKeys(t, discovery.Config{Issuer: srv.Issuer(), Now: now}),
		Audience: []string{mcpResource},
		Now:      now,
	}
	if change != nil {
		change(&config)
	}
	v, err := token.NewJWT(config)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
