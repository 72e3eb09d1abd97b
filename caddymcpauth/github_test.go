package caddymcpauth_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

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

func TestGitHubErrors(t *testing.T) {
	t.Parallel()
	options := func(lines string) string {
		return guestDoorOf("https://github.com/login/oauth", "github {\n"+lines+"\n}")
	}
	const application = "client_id a\nclient_secret hush-hush\n"
	for _, test := range []struct{ name, site, adapting, provisioning string }{
		{"argument", guestDoorOf("https://github.com", "github x"), "takes no value", ""},
		{"unknown option", options("client a"), "unrecognized option of github: client (known: client_id, client_secret, endpoint, token_prefix, insecure_any_application)", ""},
		{"client_id twice", options("client_id a\nclient_id b"), "client_id is given twice", ""},
		{"client_secret twice", options("client_secret hush-hush\nclient_secret hush-hush"), "client_secret is given twice", ""},
		{"client_secret empty", options(`client_secret ""`), "client_secret takes one value", ""},
		{"endpoint twice", options("endpoint https://a.example.com\nendpoint https://a.example.com"), "endpoint is given twice", ""},
		{"any application with an argument", options("insecure_any_application on"), "takes no value", ""},
		{"any application twice", options("insecure_any_application\ninsecure_any_application"), "insecure_any_application is given twice", ""},
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
