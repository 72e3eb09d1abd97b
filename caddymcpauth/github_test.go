package caddymcpauth_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

func TestGitHub(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{Personality: oauthtest.GitHub, ClientSecret: "of the application"})
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("of the application\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, guestDoorOf("https://github.com/login/oauth",
		"github {\nendpoint "+srv.URL+"\nclient_id front-door\nclient_secret {file."+secret+"}\n}"), tellIdentity)
	mine := srv.Opaque(map[string]any{"sub": "octocat", "client_id": "front-door", "scope": "repo"})
	for _, test := range []struct {
		name, token string
		fault       oauthtest.Fault
		status      int
		body        string
	}{
		{"good", mine, nil, 200, `"front-door",["repo"]`},
		{"garbage", "garbage", nil, 401, "invalid_token"},
		{"of another application", srv.Opaque(map[string]any{"client_id": "another"}), nil, 401, "invalid_token"},
		{"secret no longer good", srv.Opaque(map[string]any{"client_id": "front-door"}), oauthtest.Status(401), 503, "temporarily_unavailable"},
	} {
		srv.SetFault(oauthtest.Introspection, test.fault)
		got := s.do(t, "POST", "/mcp", bearer(test.token)...)
		if got.StatusCode != test.status || !strings.Contains(got.body, test.body) {
			t.Errorf("%s: got %d %s, want %d and %s", test.name, got.StatusCode, got.body, test.status, test.body)
		}
	}
}

// The groups are kept with the verdict.
func TestGitHubGroups(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{Personality: oauthtest.GitHub})
	s := serve(t, guestDoorOf("https://github.com/login/oauth",
		"github {\nendpoint "+srv.URL+"\ninsecure_any_application\ngroups acme\n}"), func(w http.ResponseWriter, r *http.Request) error {
		_, err := io.WriteString(w, r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer).ReplaceAll("{http.auth.user.groups}", ""))
		return err
	})
	raw := srv.Opaque(map[string]any{"sub": "octocat", "scope": "read:org", "orgs": []string{"Acme", "other"}, "teams": []string{"Acme/maintainers", "other/staff"}})
	for range 3 {
		if got := s.do(t, "POST", "/mcp", bearer(raw)...); got.StatusCode != 200 || got.body != "acme,acme/maintainers" {
			t.Errorf("got %d %q", got.StatusCode, got.body)
		}
	}
	if n := srv.Count(oauthtest.Groups); n != 2 {
		t.Errorf("%d questions about groups, want 2", n)
	}
	srv.SetFault(oauthtest.Groups, oauthtest.Status(403))
	if got := s.do(t, "POST", "/mcp", bearer(srv.Opaque(map[string]any{"scope": "read:org"}))...); got.StatusCode != 503 {
		t.Errorf("groups that can't be had: got %d %s, want 503", got.StatusCode, got.body)
	}
}
