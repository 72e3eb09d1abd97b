package integration_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// identityProvider is a running idp.mjs.
type identityProvider struct {
	t      *testing.T
	cmd    *exec.Cmd
	Issuer string `json:"issuer"`
}

func startIdentityProvider(t *testing.T) *identityProvider {
	t.Helper()
	p := &identityProvider{t: t, cmd: node(t.Context(), "", "idp.mjs")}
	serve(t, p.cmd, p)
	return p
}

// assertion returns an identity assertion that the provider has signed.
func (p *identityProvider) assertion(claims, header map[string]any) string {
	p.t.Helper()
	resp, err := http.Post(p.Issuer+"/test/assertion", "application/json", strings.NewReader(mustJSON(p.t, map[string]any{"claims": claims, "header": header})))
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Assertion string `json:"assertion"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Assertion == "" {
		p.t.Fatalf("the provider answered %d: %v", resp.StatusCode, err)
	}
	return answer.Assertion
}

const enterpriseSite = `
	mcp_auth_server SITE {
		resource SITE/mcp SITE/other
		scopes mcp:tools mcp:admin
		upstream oidc IDP {
			name acme
			label "Acme"
			client_id mcp
			client_secret a-secret-at-the-provider
			allow group staff
			enterprise
		}
		clients {
			editor {
				secret editor-secret-0123456789
			}
			robot {
				jwks ` + "`ROBOTKEYS`" + `
			}
			machine {
				secret machine-secret-0123
				introspection
			}
		}
	}
	mcp_auth /mcp* SITE/mcp {
		issuer SITE
		scopes mcp:tools
		header X-User {http.auth.user.id}
	}
	mcp_whoami /mcp*
`

// An enterprise's provider gives its users' clients access without a page, and only as
// it has said; another provider gives nobody anything.
func TestEnterprise(t *testing.T) {
	t.Parallel()
	needNode(t)
	trusted, other := startIdentityProvider(t), startIdentityProvider(t)
	robot := newClientKey(t, "1")
	site := strings.NewReplacer("IDP", trusted.Issuer, "ROBOTKEYS", robot.set).Replace(enterpriseSite)
	c := startCaddy(t, site)
	type claims = map[string]any
	good := func(changes claims) claims {
		all := claims{"sub": "ada", "aud": c.URL, "client_id": "editor", "resource": c.URL + "/mcp", "scope": "mcp:tools", "groups": []string{"staff"}}
		maps.Copy(all, changes)
		return all
	}
	send := func(assertion string, fields ...string) tokenAnswer {
		form := url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion},
			"client_id": {"editor"}, "client_secret": {"editor-secret-0123456789"},
		}
		set(form, fields)
		return c.token(t, form)
	}

	metadata := c.do("GET", "/.well-known/oauth-authorization-server", "")
	for _, want := range []string{`"authorization_grant_profiles_supported":["urn:ietf:params:oauth:grant-profile:id-jag"]`, `"urn:ietf:params:oauth:grant-type:jwt-bearer"`} {
		if !strings.Contains(metadata.body, want) {
			t.Errorf("the metadata has no %s: %s", want, metadata.body)
		}
	}

	raw := trusted.assertion(good(nil), nil)
	got := send(raw)
	if got.status != 200 || got.Refresh != "" || got.Scope != "mcp:tools" {
		t.Fatalf("got %+v, want an access token alone", got)
	}
	_, who := c.whoami(got.Access)
	if who["sub"] != "acme:ada" || who["client_id"] != "editor" || who["iss"] != c.URL {
		t.Errorf("whoami says %v, want acme:ada by editor", who)
	}
	if said := c.introspect(t, got.Access); said["active"] != true || said["sub"] != "acme:ada" {
		t.Errorf("introspection says %v", said)
	}
	if again := send(raw); again.Error != "invalid_grant" {
		t.Errorf("the assertion again: got %+v, want invalid_grant", again)
	}
	c.logs(`"mcp_auth_server_user":"acme:ada"`)

	t.Run("refused", func(t *testing.T) {
		at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
		for _, test := range []struct {
			name   string
			by     *identityProvider
			claims claims
			header claims
			want   string
		}{
			{"another provider", other, nil, nil, "invalid_grant"},
			{"another provider in the trusted one's name", other, claims{"iss": trusted.Issuer}, nil, "invalid_grant"},
			{"another issuer", trusted, claims{"iss": other.Issuer}, nil, "invalid_grant"},
			{"no issuer", trusted, claims{"iss": nil}, nil, "invalid_grant"},
			{"an ID token", trusted, nil, claims{"typ": "JWT"}, "invalid_grant"},
			{"an access token", trusted, nil, claims{"typ": "at+jwt"}, "invalid_grant"},
			{"another server's aud", trusted, claims{"aud": "https://other.example"}, nil, "invalid_grant"},
			{"the token endpoint as aud", trusted, claims{"aud": c.URL + "/oauth/token"}, nil, "invalid_grant"},
			{"two in aud", trusted, claims{"aud": []string{c.URL, "https://other.example"}}, nil, "invalid_grant"},
			{"no aud", trusted, claims{"aud": nil}, nil, "invalid_grant"},
			{"another client", trusted, claims{"client_id": "robot"}, nil, "invalid_grant"},
			{"no client", trusted, claims{"client_id": nil}, nil, "invalid_grant"},
			{"no user", trusted, claims{"sub": nil}, nil, "invalid_grant"},
			{"a user of no allowed group", trusted, claims{"groups": []string{"guests"}}, nil, "invalid_grant"},
			{"a user of no group", trusted, claims{"groups": nil}, nil, "invalid_grant"},
			{"another resource", trusted, claims{"resource": "https://other.example/mcp"}, nil, "invalid_grant"},
			{"scopes that aren't ours", trusted, claims{"scope": "chat:read"}, nil, "invalid_scope"},
			{"expired", trusted, claims{"exp": at(-time.Second)}, nil, "invalid_grant"},
			{"for a day", trusted, claims{"exp": at(24 * time.Hour)}, nil, "invalid_grant"},
			{"no exp", trusted, claims{"exp": nil}, nil, "invalid_grant"},
			{"from tomorrow on", trusted, claims{"nbf": at(24 * time.Hour)}, nil, "invalid_grant"},
			{"issued tomorrow", trusted, claims{"iat": at(24 * time.Hour)}, nil, "invalid_grant"},
			{"no iat", trusted, claims{"iat": nil}, nil, "invalid_grant"},
			{"no jti", trusted, claims{"jti": nil}, nil, "invalid_grant"},
			{"bound to a key", trusted, claims{"cnf": claims{"jkt": "x"}}, nil, "invalid_grant"},
		} {
			if got := send(test.by.assertion(good(test.claims), test.header)); got.Error != test.want || got.Access != "" {
				t.Errorf("%s: got %+v, want %s", test.name, got, test.want)
			}
		}
		if got := send(trusted.assertion(good(nil), nil), "client_secret", "another-secret-0123"); got.status != 401 || got.Error != "invalid_client" {
			t.Errorf("a wrong secret: got %+v", got)
		}
		if got := send(trusted.assertion(good(nil), nil), "client_secret", ""); got.status != 401 {
			t.Errorf("no secret: got %+v", got)
		}
		if got := send(trusted.assertion(good(nil), nil), "resource", c.URL+"/other"); got.Error != "invalid_target" {
			t.Errorf("another resource requested: got %+v", got)
		}
		if got := send(trusted.assertion(good(nil), nil), "scope", "mcp:admin"); got.Error != "invalid_scope" {
			t.Errorf("another scope requested: got %+v", got)
		}
		// A token for another resource doesn't pass this door.
		elsewhere := send(trusted.assertion(good(claims{"resource": c.URL + "/other"}), nil))
		if elsewhere.status != 200 || c.passes(elsewhere.Access) {
			t.Errorf("a token for another resource: got %+v, and it passes", elsewhere)
		}
	})

	t.Run("with a browser", func(t *testing.T) {
		a := c.register(t, callback)
		p := c.person(t)
		leave := p.get(a.authorizationURL()).link("Acme")
		if leave == "" {
			t.Fatal("there is no way to the provider")
		}
		tokens := a.redeem(p.walk(p.get(leave), "ada").Query().Get("code"))
		if _, who := c.whoami(tokens.Access); who["sub"] != "acme:ada" {
			t.Errorf("whoami says %v, want the same user as by assertion", who)
		}
	})

	for name, cmd := range map[string]func(ctx context.Context) *exec.Cmd{
		"TypeScript SDK v2": func(ctx context.Context) *exec.Cmd {
			cmd := node(ctx, c.CA, "client-machine.mjs", c.URL+"/mcp", "v2", "enterprise", "editor")
			cmd.Env = append(cmd.Env, "CLIENT_SECRET=editor-secret-0123456789", "IDP="+trusted.Issuer, "SUBJECT=grace", "AS="+c.URL)
			return cmd
		},
		"oauth4webapi with a key": func(ctx context.Context) *exec.Cmd {
			cmd := node(ctx, c.CA, "client-key.mjs", c.URL+"/mcp", c.URL, "enterprise", "robot")
			cmd.Env = append(cmd.Env, "CLIENT_KEY="+robot.private, "ASSERTION="+trusted.assertion(good(claims{"sub": "grace", "client_id": "robot"}), nil))
			return cmd
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
			defer cancel()
			var line clientLine
			if out := output(t, cmd(ctx)); json.Unmarshal(out, &line) != nil {
				t.Fatalf("got %s", out)
			}
			if who := toolText(t, line.Result); who["sub"] != "acme:grace" {
				t.Errorf("whoami says %v, want acme:grace", who)
			}
		})
	}

	t.Run("away", func(t *testing.T) {
		first, second, later := trusted.assertion(good(nil), nil), trusted.assertion(good(nil), nil), trusted.assertion(good(nil), nil)
		_ = trusted.cmd.Process.Kill()
		// Its keys are at hand, also after a reload.
		if got := send(first); got.status != 200 {
			t.Errorf("with keys from before: got %+v", got)
		}
		c.reload(strings.Replace(site, "scopes mcp:tools mcp:admin", "scopes mcp:tools mcp:admin mcp:more", 1))
		if got := send(second); got.status != 200 {
			t.Errorf("with keys from before the reload: got %+v", got)
		}
		// Nothing is known of another provider yet.
		c.reload(strings.Replace(site, "client_id mcp", "client_id another", 1))
		if got := send(later); got.status != 503 || got.Error != "temporarily_unavailable" {
			t.Errorf("without: got %+v, want 503", got)
		}
	})

	t.Run("no longer trusted", func(t *testing.T) {
		c.reload(site)
		if said := c.introspect(t, got.Access); said["active"] != true {
			t.Errorf("before: introspection says %v", said)
		}
		// Without the provider, a client needs an address to be good for something.
		c.reload(strings.NewReplacer("\t\t\tenterprise\n", "", "editor {", "editor {\nredirect_uris "+callback, "robot {", "robot {\nredirect_uris "+callback).Replace(site))
		if said := c.introspect(t, got.Access); said["active"] != false {
			t.Errorf("afterwards: introspection says %v", said)
		}
		if got := send("x"); got.Error != "unsupported_grant_type" {
			t.Errorf("got %+v, want unsupported_grant_type", got)
		}
	})
}
