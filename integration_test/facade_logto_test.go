package integration_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

const logtoFacade = `
	mcp_auth_facade SITE/oidc {
		preset logto
		upstream LOGTO/oidc
		register logto {
			endpoint LOGTO
			client_id m2m
			client_secret m2m-secret
			resource https://default.logto.app/api
			user_scopes profile email
			resource_scopes scope1
		}
	}
	mcp_auth /mcp* SITE/mcp {
		issuer SITE/oidc {
			metadata jwks_uri LOGTO/oidc/jwks
		}
		scopes mcp:tools
	}
	mcp_whoami /mcp*
	reverse_proxy LOGTO
`

// logtoState is what there is at the Management API.
type logtoState struct {
	Applications []struct {
		ID             string   `json:"id"`
		Name           string   `json:"name"`
		Type           string   `json:"type"`
		IsThirdParty   bool     `json:"isThirdParty"`
		RedirectURIs   []string `json:"redirectUris"`
		UserScopes     []string `json:"userScopes"`
		ResourceScopes []string `json:"resourceScopes"`
	} `json:"applications"`
	Calls map[string]int `json:"calls"`
}

// Clients that know nothing but the URL register at a Logto, which has no
// registration, as third-party applications that ask their users.
func TestFacadeOfLogto(t *testing.T) {
	t.Parallel()
	needNode(t)
	c := startCaddy(t, "respond 503")
	port := testkit.FreePort(t)
	logto := fmt.Sprintf("http://127.0.0.1:%d", port)
	as := startAuthServer(t, "", map[string]any{
		"port":   port,
		"issuer": c.URL + "/oidc",
		"resources": map[string]any{
			c.URL + "/mcp": map[string]any{"scopes": []string{"mcp:tools", "mcp:admin"}, "alg": "ES384"},
		},
		"management": map[string]any{
			"clientId": "m2m", "clientSecret": "m2m-secret", "resource": "https://default.logto.app/api",
			"scopeIds": map[string]any{"scope1": "mcp:tools", "scope2": "mcp:admin"},
		},
	})
	if as.Issuer != c.URL+"/oidc" {
		t.Fatalf("the stand-in is %s", as.Issuer)
	}
	site := strings.ReplaceAll(logtoFacade, "LOGTO", logto)
	c.reload(site)
	state := func() (s logtoState) {
		t.Helper()
		resp, err := http.Get(logto + "/test/management")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
			t.Fatal(err)
		}
		return s
	}

	inspector := c.signInCases(t, "")[1]
	for run := range 2 {
		if who := inspector.run(t, "ada"); who["sub"] != "ada" || who["iss"] != c.URL+"/oidc" || who["scope"] != "mcp:tools" {
			t.Errorf("run %d: whoami says %v, want ada with mcp:tools", run, who)
		}
		s := state()
		if len(s.Applications) != 1 {
			t.Fatalf("run %d: %d applications, want one: %+v", run, len(s.Applications), s.Applications)
		}
		app := s.Applications[0]
		if !app.IsThirdParty || app.Type != "Native" || strings.Join(app.ResourceScopes, " ") != "scope1" || strings.Join(app.UserScopes, " ") != "profile email" {
			t.Errorf("the application is %+v", app)
		}
	}
	for _, test := range c.signInCases(t, "") {
		if test.name != "TypeScript SDK v1" && test.name != "TypeScript SDK v2 modern" {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			if who := test.run(t, "grace"); who["sub"] != "grace" {
				t.Errorf("whoami says %v, want grace", who)
			}
		})
	}
	t.Run("Go SDK", func(t *testing.T) {
		if who, err := connectGoClient(t, c, c.URL+"/mcp").whoami(); err != nil || who["sub"] != "ada" {
			t.Errorf("whoami says %v, %v, want ada", who, err)
		}
	})

	register := func(body string) (int, map[string]any) {
		t.Helper()
		got := c.do("POST", "/oidc/oauth/register", body, "Content-Type", "application/json")
		var answer map[string]any
		if err := json.Unmarshal([]byte(got.body), &answer); err != nil {
			t.Fatalf("got %d %q", got.status, got.body)
		}
		return got.status, answer
	}
	before := len(state().Applications)
	secrets := map[any]bool{}
	for _, test := range []struct{ name, body, kind, secret string }{
		{"native", `{"client_name":"n","redirect_uris":["http://127.0.0.1:1234/cb"],"token_endpoint_auth_method":"none"}`, "Native", ""},
		{"native on another port", `{"client_name":"n","redirect_uris":["http://127.0.0.1:4321/cb"],"token_endpoint_auth_method":"none"}`, "Native", ""},
		{"web, public", `{"client_name":"s","redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"none"}`, "SPA", ""},
		{"web, confidential", `{"client_name":"t","redirect_uris":["https://a.example/cb"]}`, "Traditional", "secret"},
		{"the same again", `{"client_name":"t","redirect_uris":["https://a.example/cb"]}`, "Traditional", "secret"},
	} {
		status, answer := register(test.body)
		if status != 201 || (answer["client_secret"] != nil) != (test.secret != "") {
			t.Errorf("%s: got %d %v", test.name, status, answer)
			continue
		}
		if secret := answer["client_secret"]; secret != nil {
			if secrets[secret] || secrets[answer["client_id"]] {
				t.Errorf("%s: two clients have one secret", test.name)
			}
			secrets[secret], secrets[answer["client_id"]] = true, true
		}
		for _, app := range state().Applications {
			if app.ID == answer["client_id"] && app.Type != test.kind {
				t.Errorf("%s: it is %+v, want %s", test.name, app, test.kind)
			}
		}
	}
	if n := len(state().Applications) - before; n != 4 {
		t.Errorf("%d more applications, want four", n)
	}
	// Logto itself would take it.
	if status, answer := register(`{"redirect_uris":["javascript:alert(1)"]}`); status != 400 || answer["error"] != "invalid_redirect_uri" {
		t.Errorf("javascript: got %d %v", status, answer)
	}
	// A reload forgets nothing.
	c.reload(site)
	register(`{"client_name":"s","redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"none"}`)
	if n := len(state().Applications) - before; n != 4 {
		t.Errorf("after a reload %d more applications, want four", n)
	}

	t.Run("down", func(t *testing.T) {
		down := func(is bool) {
			resp, err := http.Post(logto+"/test/management/down", "application/json", strings.NewReader(mustJSON(t, map[string]any{"down": is})))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
		down(true)
		if status, answer := register(`{"client_name":"d","redirect_uris":["https://d.example/cb"],"token_endpoint_auth_method":"none"}`); status != 503 || answer["error"] != "temporarily_unavailable" {
			t.Errorf("got %d %v, want 503 in JSON", status, answer)
		}
		down(false)
		if status, _ := register(`{"client_name":"d","redirect_uris":["https://d.example/cb"],"token_endpoint_auth_method":"none"}`); status != 201 {
			t.Errorf("afterwards: got %d", status)
		}
	})
	t.Run("sweep", func(t *testing.T) {
		post := func(body string) (int, string) {
			resp, err := http.Post("http://"+c.admin+"/mcp_auth_facade/sweep", "application/json", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var answer map[string]any
			_ = json.NewDecoder(resp.Body).Decode(&answer)
			return resp.StatusCode, mustJSON(t, answer)
		}
		n := len(state().Applications)
		if status, body := post(`{"issuer":"` + c.URL + `/oidc","unused_for":"90d"}`); status != 200 || body != `{"removed":[]}` || len(state().Applications) != n {
			t.Errorf("got %d %s: all of them are in use", status, body)
		}
		if status, _ := post(`{"issuer":"` + c.URL + `/oidc","unused_for":"1h"}`); status != 400 {
			t.Errorf("less than is known: got %d, want 400", status)
		}
		if status, _ := post(`{"issuer":"https://other.example","unused_for":"90d"}`); status != 404 {
			t.Errorf("another issuer: got %d, want 404", status)
		}
	})
	t.Run("an issuer by another name", func(t *testing.T) {
		c.reload(strings.ReplaceAll(site, "mcp_auth_facade SITE/oidc", "mcp_auth_facade SITE/renamed"))
		got := c.do("GET", "/.well-known/oauth-authorization-server/renamed", "")
		if got.status != 503 {
			t.Errorf("got %d %s, want 503", got.status, got.body)
		}
		c.logs("mcp_auth_facade " + c.URL + "/oidc")
		if code, out, _ := c.command("", "check", c.URL+"/renamed", "--ca", c.CA); code != 1 || !strings.Contains(out, "the server's own issuer") {
			t.Errorf("check: got %d, want 1 and the cure", code)
		}
	})
}
