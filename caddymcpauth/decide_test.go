package caddymcpauth_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

// The command says of a token what the front door does with it.
func TestExplainAgrees(t *testing.T) {
	t.Parallel()
	issuer, other := newIssuer(t), newIssuer(t)
	door := frontDoor(issuer.Issuer()+" {\njwt\nuserinfo\n}", "scopes read write\nscope_implies write read")
	s := serve(t, door, nil)
	for _, tc := range []struct{ name, token string }{
		{"good", issuer.Mint(map[string]any{"scope": "read write"})},
		{"by a broader scope", issuer.Mint(map[string]any{"scope": "write"})},
		{"one scope of two", issuer.Mint(map[string]any{"scope": "read"})},
		{"no scope", issuer.Mint(map[string]any{"scope": ""})},
		{"expired", issuer.Mint(map[string]any{"exp": 1})},
		{"for another resource", issuer.Mint(map[string]any{"aud": "https://other.example.com"})},
		{"of another issuer", other.Mint(nil)},
		{"unsigned", issuer.Mint(nil, oauthtest.WithHeader("alg", "none"))},
		{"cut off", strings.TrimRight(issuer.Mint(nil), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")},
		{"half a JWT", "eyJhbGciOiJFUzI1NiJ9.e30"},
		{"opaque, good", issuer.Opaque(map[string]any{"scope": "read write"})},
		{"opaque, unknown", "unknown"},
		{"two tokens", "one, two"},
		{"a quote", `"one"`},
		{"too long", strings.Repeat("a", 20_000)},
	} {
		got := s.do(t, "POST", "/mcp", bearer(tc.token)...)
		var refusal struct{ Error string }
		if got.StatusCode != 200 {
			if err := json.Unmarshal([]byte(got.body), &refusal); err != nil {
				t.Fatalf("%s: %v in %q", tc.name, err, got.body)
			}
		}
		_, out, stderr := explain(t, "http://mcp.example.com {\n"+door+"\n}\n", tc.token, "--json")
		var said []struct {
			Status int
			Error  string
		}
		if err := json.Unmarshal([]byte(out), &said); err != nil || len(said) != 1 {
			t.Fatalf("%s: got %v, %s%s", tc.name, err, out, stderr)
		}
		if got, want := fmt.Sprint(said[0].Status, said[0].Error), fmt.Sprint(got.StatusCode, refusal.Error); got != want {
			t.Errorf("%s: explained as %s, answered with %s", tc.name, got, want)
		}
	}
}
