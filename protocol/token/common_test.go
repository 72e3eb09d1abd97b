package token_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
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

// judge does with raw what the front door does.
func judge(ctx context.Context, v token.Verifier, raw string) (*token.Token, error) {
	p, err := token.Present(raw)
	if err != nil {
		return nil, err
	}
	return v.Verify(ctx, p)
}

// outcome names the three outcomes of a [token.Verifier], the reason included.
func outcome(tok *token.Token, err error) string {
	var inv *token.InvalidError
	var una *token.UnavailableError
	switch {
	case tok != nil && err == nil:
		return "verified"
	case tok != nil:
		return "both a token and an error"
	case errors.As(err, &inv) && errors.As(err, &una):
		return "both invalid and unavailable"
	case errors.As(err, &inv):
		return string(inv.Reason)
	case errors.As(err, &una):
		return "unavailable"
	case err != nil:
		return "another error: " + err.Error()
	default:
		return "neither a token nor an error"
	}
}
