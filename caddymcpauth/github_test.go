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

func TestGitHubErrors(t *testing.T) {
	t.Parallel()
	options := func(lines string) string {
		return guestDoorOf("https://github.com/login/oauth", "github {\n"+lines+"\n}")
	}
	const application = "client_id a\nclient_secret hush-hush\n"
	for _, test := range []struct{ name, site, adapting, provisioning string }{
		{"argument", guestDoorOf("https://github.com", "github x"), "takes no value", ""},
		{"unknown option", options("client a"), "unrecognized option of github: client (known: client_id, client_secret, endpoint, token_prefix, groups, insecure_any_application)", ""},
		{"client_id twice", options("client_id a\nclient_id b"), "client_id is given twice", ""},
		{"client_secret twice", options("client_secret hush-hush\nclient_secret hush-hush"), "client_secret is given twice", ""},
		{"client_secret empty", options(`client_secret ""`), "client_secret takes one value", ""},
		{"endpoint twice", options("endpoint https://a.example.com\nendpoint https://a.example.com"), "endpoint is given twice", ""},
		{"any application with an argument", options("insecure_any_application on"), "takes no value", ""},
		{"any application twice", options("insecure_any_application\ninsecure_any_application"), "insecure_any_application is given twice", ""},
		{"groups of nothing", options("groups"), "groups needs at least one value", ""},
		{"groups twice", options("groups acme\ngroups other"), "groups is given twice", ""},
		{"groups of a team", options(application + "groups acme/maintainers"), "", "groups: \"acme/maintainers\" is not the name of an organization"},
		{"groups of all and one", options(application + "groups * acme"), "", "groups: * stands for all organizations"},
		{"bare", guestDoorOf("https://github.com", "github"), "", "github: no client_id: tokens of any application would be accepted. Give client_id and client_secret of yours"},
		{"no secret", options("client_id a"), "", "no client_secret"},
		{"no id", options("client_secret hush-hush"), "", "no client_id"},
		{"both", options(application + "insecure_any_application"), "", "insecure_any_application contradicts client_id and client_secret"},
		{"unset secret", options("client_id a\nclient_secret {env.NOT_SET}"), "", "client_secret: "},
		{"missing file", options("client_id a\nclient_secret {file./no/such/file}"), "", "client_secret: "},
		{"endpoint not https", options(application + "endpoint http://api.example.com"), "", "endpoint: not https"},
		{"enterprise without endpoint", guestDoorOf("https://git.example.com", "github {\n"+application+"}"), "", "the issuer is not github.com, so say where its API is"},
	} {
		t.Run(test.name, func(t *testing.T) { checkSiteError(t, test.site, test.adapting, test.provisioning) })
	}
}
