package judge_test

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/tokentest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// What tests of verifiers share.
var (
	verify  = tokentest.Verify
	outcome = tokentest.Outcome
)

const mcpResource = "https://mcp.example.com/mcp"

// newJWT returns a verifier for the tokens of srv, with srv's keys fetched over
// HTTP.
func newJWT(t *testing.T, srv *oauthtest.Server, now func() time.Time, change func(*token.JWTConfig)) *token.JWT {
	t.Helper()
	issuer, err := discovery.New(discovery.Config{Issuer: srv.Issuer(), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(issuer.Close)
	config := token.JWTConfig{
		Issuer:   srv.Issuer(),
		Keys:     issuer,
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

// compact puts a token together that nobody has signed.
func compact(header, payload string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	return b64([]byte(header)) + "." + b64([]byte(payload)) + "." + b64([]byte("signature"))
}

// newUserinfo returns a verifier that asks srv.
func newUserinfo(t testing.TB, srv *oauthtest.Server, change func(*token.UserinfoConfig)) *token.Userinfo {
	t.Helper()
	config := token.UserinfoConfig{Issuer: srv.Issuer(), Endpoint: srv.Endpoint(oauthtest.Userinfo), Client: outbound.NewClient()}
	if change != nil {
		change(&config)
	}
	v, err := token.NewUserinfo(config)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
