package token_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

func TestUserinfoDiscovery(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{Personality: oauthtest.Logto})
	issuer, err := discovery.New(discovery.Config{Issuer: srv.Issuer()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(issuer.Close)
	discovered := func(find func(context.Context) (string, error)) *token.Userinfo {
		return newUserinfo(t, srv, func(c *token.UserinfoConfig) { c.Endpoint, c.Discover = "", find })
	}
	v := discovered(func(ctx context.Context) (string, error) { return issuer.Endpoint(ctx, "userinfo_endpoint") })
	for range 3 {
		if tok, err := judge(t.Context(), v, srv.Opaque(nil)); err != nil {
			t.Errorf("got %s (%v), want verified", outcome(tok, err), err)
		}
	}
	if got := srv.Count(oauthtest.Metadata); got > 3 {
		t.Errorf("got %d requests for metadata, want at most one for each location", got)
	}
	for _, cause := range []error{errors.New("no such field"), &token.UnavailableError{RetryAfter: time.Second, Err: errors.New("no such field")}} {
		tok, err := judge(t.Context(), discovered(func(context.Context) (string, error) { return "", cause }), "x")
		if got := outcome(tok, err); got != "unavailable" {
			t.Errorf("%T: got %s (%v), want unavailable", cause, got, err)
		}
		checkCause(t, err, "no such field")
	}
}

func TestNewUserinfoErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(*token.UserinfoConfig)
		want   string
	}{
		{"no issuer", func(c *token.UserinfoConfig) { c.Issuer = "" }, "no issuer"},
		{"no endpoint", func(c *token.UserinfoConfig) { c.Endpoint = "" }, "no userinfo endpoint"},
		{"not https", func(c *token.UserinfoConfig) { c.Endpoint = "http://as.example.com/me" }, "endpoint: not https"},
		{"not a URL", func(c *token.UserinfoConfig) { c.Endpoint = "as.example.com/me" }, "endpoint: not an absolute URL"},
		{"another scheme", func(c *token.UserinfoConfig) { c.Endpoint = "file:///etc/passwd" }, "endpoint: not an absolute URL"},
		{"credentials", func(c *token.UserinfoConfig) { c.Endpoint = "https://u:s3cr3t@as.example.com/me" }, "endpoint: contains credentials"},
		{"fragment", func(c *token.UserinfoConfig) { c.Endpoint = "https://as.example.com/me#x" }, "endpoint: contains a fragment"},
		{"claim without name", func(c *token.UserinfoConfig) { c.Require = map[string][]string{"": {"x"}} }, "require: a claim without name"},
		{"claim without values", func(c *token.UserinfoConfig) { c.Require = map[string][]string{"hd": nil} }, "require hd: list the values"},
		{"empty value", func(c *token.UserinfoConfig) { c.Require = map[string][]string{"hd": {"x", ""}} }, "require hd: list the values"},
	} {
		config := token.UserinfoConfig{Issuer: "https://as.example.com", Endpoint: "https://as.example.com/me"}
		tc.change(&config)
		_, err := token.NewUserinfo(config)
		if err == nil {
			t.Errorf("%s: got no error", tc.name)
		}
		checkCause(t, err, tc.want)
		checkQuiet(t, "no token", nil, err)
	}
}

// Whatever a 200 has in it, it is a verdict on nobody or on somebody.
func FuzzUserinfoAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"sub":"a"}`, `{"sub":"a","hd":["x"]}`, `{"sub":"a","sub":"b"}`, `{"Sub":"a"}`, `{"sub":"a\u0000"}`, `{}`, `[]`, `null`,
		`{"sub":"a","address":{"country":"x"}}`, `{"sub":"opaque-token"}`, `{"sub":"opaque\u002dtoken"}`, "{\"sub\":\"\xff\"}", `{"sub":"a"}x`, `<html>`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		const raw = "opaque-token"
		v, err := token.NewUserinfo(token.UserinfoConfig{
			Issuer:   "https://as.example.com",
			Endpoint: "https://as.example.com/me",
			Client:   answering(map[string][]byte{"/me": body}),
		})
		if err != nil {
			t.Fatal(err)
		}
		tok, err := judge(t.Context(), v, raw)
		checkQuiet(t, raw, tok, err)
		switch got := outcome(tok, err); {
		case got != "verified" && got != "unavailable":
			t.Errorf("got %s (%v), want verified or unavailable", got, err)
		case tok != nil && (tok.Subject == "" || strings.ContainsAny(tok.Subject, "\x00\r\n") || tok.Claims()["sub"] != tok.Subject):
			t.Errorf("got the subject %q, the claims %v", tok.Subject, tok.Claims())
		}
	})
}
