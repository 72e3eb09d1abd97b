package token_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// For each rule the token that breaks only that: it is the step that failed, and
// the ones before it passed.
func TestExplainJWT(t *testing.T) {
	t.Parallel()
	server := oauthtest.New(t, oauthtest.Options{Algorithm: "ES256"})
	iss, err := discovery.New(discovery.Config{Issuer: server.Issuer()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(iss.Close)
	v, err := token.NewJWT(token.JWTConfig{
		Issuer: server.Issuer(), Keys: iss, Audience: []string{"https://mcp.example.com/mcp"}, Algorithms: []string{"ES256", "RS256"},
	})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	foreign := oauthtest.New(t, oauthtest.Options{Algorithm: "ES256"})
	type claims = map[string]any
	tests := []struct {
		name, raw, want, detail string
	}{
		{"good", server.Mint(nil), "", ""},
		{"algorithm", server.Mint(nil, oauthtest.WithSecret("HS256", []byte("0123456789abcdef0123456789abcdef"))), "alg", ""},
		{"type", server.Mint(nil, oauthtest.WithHeader("typ", "logout+jwt")), "typ", ""},
		{"issuer", server.Mint(claims{"iss": "https://other.example.com"}), "iss", ""},
		{"ID token", server.Mint(claims{"at_hash": "x"}, oauthtest.WithHeader("typ", "JWT")), "access token", "ID token"},
		{"token use", server.Mint(claims{"token_use": "id"}), "access token", ""},
		{"audience", server.Mint(claims{"aud": "https://mcp.example.com/other"}), "aud", "mcp.example.com/mcp"},
		{"no expiry", server.Mint(claims{"exp": oauthtest.Absent}), "exp", "no exp"},
		{"expired", server.Mint(claims{"exp": now.Add(-3 * time.Minute).Unix()}), "exp", "expired 3m"},
		{"not yet valid", server.Mint(claims{"nbf": now.Add(time.Hour).Unix()}), "nbf, iat", "nbf is"},
		{"nobody", server.Mint(claims{"sub": oauthtest.Absent, "client_id": oauthtest.Absent}), "sub", ""},
		{"bound", server.Mint(claims{"cnf": claims{"jkt": "x"}}), "cnf", ""},
		{"unknown key", server.Mint(nil, oauthtest.WithHeader("kid", "who")), "key", ""},
		{"bad signature", server.Mint(nil, oauthtest.WithKey(foreign.CurrentKey()), oauthtest.WithHeader("kid", server.CurrentKey().ID)), "signature", ""},
	}
	for _, tc := range tests {
		p, err := token.Present(tc.raw)
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		_, verdict := v.Verify(t.Context(), p)
		if unavailable, ok := errors.AsType[*token.UnavailableError](verdict); ok {
			t.Fatalf("%s: %v", tc.name, unavailable)
		}
		if inv, ok := errors.AsType[*token.InvalidError](verdict); ok {
			if inv.Rule != tc.want {
				t.Errorf("%s: got the rule %q in %v, want %q", tc.name, inv.Rule, inv, tc.want)
			}
		}
		failed := ""
		for _, step := range token.ExplainJWT(p, verdict, now) {
			switch {
			case step.Outcome == token.Failed && failed == "":
				failed = step.Rule
				if !strings.Contains(step.Detail, tc.detail) {
					t.Errorf("%s: got the detail %q, want in it %q", tc.name, step.Detail, tc.detail)
				}
			case failed == "" && step.Outcome != token.Passed, failed != "" && step.Outcome != token.NotReached:
				t.Errorf("%s: after %q got %+v", tc.name, failed, step)
			}
		}
		if failed != tc.want {
			t.Errorf("%s: got %q as the rule that failed, want %q", tc.name, failed, tc.want)
		}
	}
}

func TestExplainUnavailable(t *testing.T) {
	t.Parallel()
	server := oauthtest.New(t, oauthtest.Options{})
	p, err := token.Present(server.Mint(nil))
	if err != nil {
		t.Fatal(err)
	}
	steps := token.ExplainJWT(p, &token.UnavailableError{Err: errors.New("asking the issuer:\x1b no")}, time.Now())
	for _, step := range steps {
		want := token.Passed
		switch step.Rule {
		case "key":
			want = token.Unknown
			if step.Detail != "asking the issuer:  no" {
				t.Errorf("got %q", step.Detail)
			}
		case "signature":
			want = token.NotReached
		}
		if step.Outcome != want {
			t.Errorf("got %+v, want %s", step, want)
		}
	}
}

func TestExplainForm(t *testing.T) {
	t.Parallel()
	server := oauthtest.New(t, oauthtest.Options{Algorithm: "ES256"})
	tests := []struct {
		name, raw string
		outcome   token.Outcome
		want      string
	}{
		{"opaque", "gho_abcdef", token.Passed, "opaque, 10 characters"},
		{"signed", server.Mint(nil), token.Passed, "a signed JWT: alg ES256, typ at+jwt, kid given"},
		{
			"lies", server.Mint(nil, oauthtest.WithHeader("alg", "secret-alg"), oauthtest.WithHeader("typ", "secret-typ"), oauthtest.WithHeader("kid", oauthtest.Absent)),
			token.Passed, "a signed JWT: alg not a known one, typ not a known one, kid none given",
		},
		{"encrypted", "eyJhbGciOiJkaXIifQ.a.b.c.d", token.Passed, "JWE"},
		{"half", "eyJhbGciOiJkaXIifQ.a", token.Failed, "not a JWS of three parts"},
		{"long", strings.Repeat("a", token.MaxSize+1), token.Failed, "longer than"},
	}
	for _, tc := range tests {
		p, err := token.Present(tc.raw)
		steps := token.ExplainForm(tc.raw, p, err)
		if len(steps) != 1 || steps[0].Outcome != tc.outcome || !strings.Contains(steps[0].Detail, tc.want) {
			t.Errorf("%s: got %+v, want %s and %q", tc.name, steps, tc.outcome, tc.want)
		}
	}
}
