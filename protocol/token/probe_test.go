package token_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// What counts as a sign that an issuer is away, and what as a token's own trouble, of
// each verifier; and whether the door's own question is content with the same.
func TestOutages(t *testing.T) {
	t.Parallel()
	answer := func(status int, header, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if name, value, ok := strings.Cut(header, ": "); ok {
				w.Header().Set(name, value)
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	closes := func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }
	const introspection, userinfo, github, any = "introspection", "userinfo", "github", "github of any application"
	for _, tc := range []struct {
		name    string
		kinds   string // of verifiers
		handler http.HandlerFunc
		outage  bool
		works   bool // for the door's own question
	}{
		{"bad gateway", "introspection userinfo github any", answer(502, "", ""), true, false},
		{"unavailable", "introspection userinfo github any", answer(503, "", ""), true, false},
		{"gateway time-out", "introspection userinfo github any", answer(504, "", ""), true, false},
		{"too many", "introspection userinfo github", answer(429, "Retry-After: 7", ""), true, false},
		{"too many of this token", "any", answer(429, "Retry-After: 7", ""), false, false},
		{"connection closed", "introspection userinfo github any", closes, true, false},
		{"a firewall's refusal", "introspection", answer(403, "", "<html>"), false, false},
		{"a firewall's refusal", "userinfo", answer(403, "", "<html>"), false, true},
		{"a firewall's refusal", "github any", answer(403, "", "<html>"), false, false},
		{"the application's rate is used up", "github", answer(403, "Retry-After: 60", ""), true, false},
		{"internal error", "introspection userinfo github any", answer(500, "", ""), false, false},
		{"not found", "introspection userinfo any", answer(404, "", ""), false, false},
		{"moved", "introspection userinfo github any", answer(301, "Location: https://example.com", ""), false, false},
		{"bad request", "introspection userinfo", answer(400, "", ""), false, true},
		{"own credentials refused", "introspection github", answer(401, "", ""), true, false},
		{"too long", "introspection userinfo github any", answer(200, "", strings.Repeat(" ", 70_000)), false, false},
		{"not JSON", "introspection userinfo github any", answer(200, "", "<html>"), false, false},
		{"vouches for anything", "introspection", answer(200, "", `{"active":true,"sub":"x","aud":"`+mcpResource+`","exp":99999999999}`), false, false},
		{"subject with a blank", "introspection", answer(200, "", `{"active":true,"sub":"x ","aud":"`+mcpResource+`"}`), false, false},
		{"subject with a blank", "userinfo", answer(200, "", `{"sub":"x "}`), false, false},
	} {
		for _, kind := range strings.Fields(tc.kinds) {
			t.Run(kind+", "+tc.name, func(t *testing.T) {
				t.Parallel()
				srv := httptest.NewServer(tc.handler)
				defer srv.Close()
				srv.Config.ErrorLog = nil
				var v interface {
					token.Verifier
					Probe(ctx context.Context) error
				}
				var err error
				switch kind {
				case introspection:
					v, err = token.NewIntrospection(token.IntrospectionConfig{
						Issuer: "https://as.example", Auth: token.ClientSecretBasic("a", "b"), Audience: []string{mcpResource},
						Endpoint: func(context.Context) (string, error) { return srv.URL, nil },
					})
				case userinfo:
					v, err = token.NewUserinfo(token.UserinfoConfig{Issuer: "https://as.example", Endpoint: srv.URL})
				default:
					config := token.GitHubConfig{Issuer: gitHubIssuer, Endpoint: srv.URL, ClientID: "a", ClientSecret: "b"}
					if kind == "any" {
						anyApplication(&config)
					}
					v, err = token.NewGitHub(config)
				}
				if err != nil {
					t.Fatal(err)
				}
				_, err = judge(t.Context(), v, "opaque")
				if unavailable, ok := errors.AsType[*token.UnavailableError](err); ok && unavailable.Outage != tc.outage || !ok && tc.outage {
					t.Errorf("got outage %t (%v), want %t", !tc.outage, err, tc.outage)
				}
				if err := v.Probe(t.Context()); (err == nil) != tc.works {
					t.Errorf("own question: got %v, want works %t", err, tc.works)
				}
			})
		}
	}
}

// The door's own question never has a caller's token, and differs each time.
func TestProbeTokens(t *testing.T) {
	t.Parallel()
	asked := make(map[string]bool)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked[r.PostFormValue("token")] = true
		_, _ = w.Write([]byte(`{"active":false}`))
	}))
	defer srv.Close()
	v, err := token.NewIntrospection(token.IntrospectionConfig{
		Issuer: "https://as.example", Auth: token.ClientSecretBasic("a", "b"), Audience: []string{mcpResource}, Prefixes: []string{"ory_at_", "x_"},
		Endpoint: func(context.Context) (string, error) { return srv.URL, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := v.Probe(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if len(asked) != 3 {
		t.Errorf("asked about %v, want three tokens", asked)
	}
	for raw := range asked {
		if !strings.HasPrefix(raw, "ory_at_") || len(raw) < 30 {
			t.Errorf("asked about %q, want a random token with the prefix", raw)
		}
	}
}
