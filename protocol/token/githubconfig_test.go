package token_test

import (
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

func TestNewGitHubErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(*token.GitHubConfig)
		want   string
	}{
		{"minimal", func(*token.GitHubConfig) {}, ""},
		{"another issuer of github.com", func(c *token.GitHubConfig) { c.Issuer = "https://github.com" }, ""},
		{"enterprise", func(c *token.GitHubConfig) {
			c.Issuer, c.Endpoint = "https://git.example.com", "https://git.example.com/api/v3"
		}, ""},
		{"no issuer", func(c *token.GitHubConfig) { c.Issuer = "" }, "no issuer"},
		{"no client id", func(c *token.GitHubConfig) { c.ClientID = "" }, "no client_id: tokens of any application would be accepted"},
		{"no client secret", func(c *token.GitHubConfig) { c.ClientSecret = "" }, "no client_secret"},
		{"neither", func(c *token.GitHubConfig) { c.ClientID, c.ClientSecret = "", "" }, "no client_id"},
		{"contradiction", func(c *token.GitHubConfig) { c.InsecureAnyApplication = true }, "insecure_any_application contradicts client_id"},
		{"contradicting secret", func(c *token.GitHubConfig) { c.InsecureAnyApplication, c.ClientID = true, "" }, "insecure_any_application contradicts"},
		{"colon", func(c *token.GitHubConfig) { c.ClientID = "a:b" }, "client_id contains a colon"},
		{"enterprise without endpoint", func(c *token.GitHubConfig) { c.Issuer = "https://git.example.com" }, "endpoint https://github.example.com/api/v3"},
		{"looks like github.com", func(c *token.GitHubConfig) { c.Issuer = "https://github.com.example.com" }, "the issuer is not github.com"},
		{"http", func(c *token.GitHubConfig) { c.Issuer = "http://github.com" }, "the issuer is not github.com"},
		{"endpoint not https", func(c *token.GitHubConfig) { c.Endpoint = "http://api.example.com" }, "endpoint: not https"},
		{"endpoint with a query", func(c *token.GitHubConfig) { c.Endpoint = "https://api.example.com/?x" }, "endpoint: contains a query"},
		{"endpoint with credentials", func(c *token.GitHubConfig) { c.Endpoint = "https://u:s3cr3t@api.example.com" }, "endpoint: contains credentials"},
	} {
		config := token.GitHubConfig{Issuer: gitHubIssuer, ClientID: "front-door", ClientSecret: gitHubSecret}
		tc.change(&config)
		v, err := token.NewGitHub(config)
		if got := err == nil && v != nil; got != (tc.want == "") {
			t.Errorf("%s: got usable %t (%v)", tc.name, got, err)
		}
		checkCause(t, err, tc.want)
		checkQuiet(t, "no token", nil, err)
	}
}

// A token of a GitHub App expires, and has no scopes.
func TestGitHubApp(t *testing.T) {
	t.Parallel()
	srv := newGitHubServer(t)
	srv.SetFault(oauthtest.Introspection, oauthtest.Rewrite(map[string]any{"scopes": nil, "expires_at": "2026-11-20T20:00:00Z"}))
	raw := srv.Opaque(map[string]any{"client_id": "front-door", "scope": ""})
	tok, err := judge(t.Context(), newGitHub(t, srv, nil), raw)
	if err != nil {
		t.Fatal(err)
	}
	if want := time.Date(2026, 11, 20, 20, 0, 0, 0, time.UTC); !tok.Expiry.Equal(want) {
		t.Errorf("got the expiry %v, want %v", tok.Expiry, want)
	}
	if len(tok.Scopes) != 0 {
		t.Errorf("got the scopes %q, want none", tok.Scopes)
	}
}

// The check of the application repeats the token. Nothing of it gets on.
func TestGitHubRepeatsToken(t *testing.T) {
	t.Parallel()
	srv := newGitHubServer(t)
	raw := ours(srv)
	srv.SetFault(oauthtest.Introspection, oauthtest.Rewrite(map[string]any{"token": raw}))
	tok, err := judge(t.Context(), newGitHub(t, srv, nil), raw)
	if got := outcome(tok, err); got != "verified" {
		t.Errorf("at the check: got %s (%v), want verified", got, err)
	}
	checkQuiet(t, raw, tok, err)

	srv.SetFault(oauthtest.Userinfo, oauthtest.Rewrite(map[string]any{"company": raw}))
	tok, err = judge(t.Context(), newGitHub(t, srv, nil), raw)
	if got := outcome(tok, err); got != "unavailable" {
		t.Errorf("at /user: got %s (%v), want unavailable", got, err)
	}
	checkQuiet(t, raw, tok, err)
}

// Whatever GitHub's 200s have in them, they are a verdict on nobody or on
// somebody; only another application's client id makes the token bad.
func FuzzGitHubAnswer(f *testing.F) {
	const check = `{"app":{"client_id":"front-door"},"scopes":["repo"],"token":"opaque-token"}`
	for _, seed := range [][2]string{
		{check, `{"id":1,"login":"a"}`},
		{`{"app":{"client_id":"another"}}`, `{"id":1,"login":"a"}`},
		{`{"app":{"client_id":"front-door"},"expires_at":"2026-11-20T20:00:00Z"}`, `{"id":1,"login":"a","name":null}`},
		{check, `{"id":"1","login":"a"}`},
		{check, `{"id":1,"ID":2,"login":"a\n"}`},
		{check, `{"id":1,"login":"opaque-token","company":"opaque\u002dtoken"}`},
		{`{}`, `[]`},
		{`<html>`, ``},
	} {
		f.Add([]byte(seed[0]), []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, grant, user []byte) {
		const raw = "opaque-token"
		v, err := token.NewGitHub(token.GitHubConfig{
			Issuer:       gitHubIssuer,
			ClientID:     "front-door",
			ClientSecret: gitHubSecret,
			Client:       answering(map[string][]byte{"/applications/front-door/token": grant, "/user": user}),
		})
		if err != nil {
			t.Fatal(err)
		}
		tok, err := judge(t.Context(), v, raw)
		checkQuiet(t, raw, tok, err)
		switch got := outcome(tok, err); {
		case got != "verified" && got != "unavailable" && got != "wrong_audience":
			t.Errorf("got %s (%v), want verified, unavailable or wrong_audience", got, err)
		case tok != nil && (strings.Trim(tok.Subject, "0123456789") != "" || tok.Subject == "" || tok.Claims()["sub"] != tok.Subject):
			t.Errorf("got the subject %q, the claims %v", tok.Subject, tok.Claims())
		case tok != nil && strings.ContainsAny(strings.Join(tok.Scopes, ""), " \"\\"):
			t.Errorf("got the scopes %q", tok.Scopes)
		}
	})
}
