package caddymcpauth_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// hashOf is what the configuration has of a key.
func hashOf(key string) string {
	hash := token.HashAPIKey(key)
	return hex.EncodeToString(hash[:])
}

func TestStatic(t *testing.T) {
	t.Parallel()
	srv := newIssuer(t)
	key := token.NewAPIKey()
	s := serve(t, "mcp_auth "+testResource+" {\nissuer "+srv.Issuer()+" {\nuserinfo\njwt\nstatic {\nkey ci "+strings.ToUpper(hashOf(key))+
		" read write {\nclaim team build\n}\nkey cron "+hashOf("other")+"\n}\n}\nscopes read\nheader X-Team {http.auth.user.team}\n}", tellIdentity)
	for _, test := range []struct {
		name, token string
		status      int
		body        string
	}{
		{"key", key, 200, `["` + testResource + `","ci","ci",["read","write"]]`},
		{"key without the scope", "other", 403, "insufficient_scope"},
		{"JWT", srv.Mint(map[string]any{"sub": "ci", "scope": "read"}), 200, `["` + srv.Issuer() + `","ci",`},
		{"unknown key", token.NewAPIKey(), 401, "invalid_token"},
		{"the hash", hashOf(key), 401, "invalid_token"},
	} {
		got := s.do(t, "POST", "/mcp", bearer(test.token)...)
		if got.StatusCode != test.status || !strings.Contains(got.body, test.body) {
			t.Errorf("%s: got %d %s, want %d and %s", test.name, got.StatusCode, got.body, test.status, test.body)
		}
	}
	for _, r := range srv.Requests() {
		if r.Endpoint == oauthtest.Userinfo && strings.Contains(r.Header.Get("Authorization"), key) {
			t.Error("the key was sent to the issuer")
		}
	}
}
