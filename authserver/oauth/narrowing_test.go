package oauth

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
)

const (
	testDocument = "https://tool.example/client.json"
	testSecret   = "a secret that outlives every configuration"
	privateURI   = "cursor://anysphere.cursor-mcp/oauth/callback"
)

// granted is all that a client can hold of what a user granted it.
type granted struct {
	f       *fixture
	client  url.Values // its credentials
	query   url.Values // its authorization request
	pending Authorization
	code    string
	refresh string
	access  string
}

// grantTo has the user grant the client of the query all that it asks for.
func grantTo(t *testing.T, f *fixture, user User, client, query url.Values) *granted {
	t.Helper()
	g := &granted{f: f, client: client, query: query}
	pending, _, err := f.Authorize(t.Context(), query.Encode())
	if err != nil {
		t.Fatal(err)
	}
	g.pending = *pending
	approve := func() string {
		to, err := f.Approve(t.Context(), user, pending)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		return u.Query().Get("code")
	}
	got := g.redeem(t, f.Server, approve())
	if got.status != 200 || got.Scope != query.Get("scope") {
		t.Fatalf("redeeming: %d %s", got.status, got.body)
	}
	g.access, g.refresh = got.Access, got.Refresh
	g.code = approve()
	return g
}

func (g *granted) form(fields ...string) url.Values {
	form := maps.Clone(g.client)
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return form
}

func (g *granted) redeem(t *testing.T, s *Server, code string) answer {
	t.Helper()
	return post(t, s, TokenPath, g.form("grant_type", authorizationCode, "code", code, "code_verifier", testVerifier))
}

// left returns, for each way of using what was granted, the scopes that it still
// brings at s: those of one resource.
func (g *granted) left(t *testing.T, s *Server, user User) map[string]string {
	t.Helper()
	left := map[string]string{
		"redeeming":  g.redeem(t, s, g.code).Scope,
		"refreshing": post(t, s, TokenPath, g.form("grant_type", refreshToken, "refresh_token", g.refresh)).Scope,
	}
	if got := post(t, s, IntrospectPath, introspectForm(g.access)); got.Active {
		left["introspecting"] = got.Scope
	} else if got.status != 200 || got.Scope != "" {
		t.Errorf("introspecting answers %d %s", got.status, got.body)
	}
	// A sign-in that was under way during the reload.
	pending := g.pending
	if to, err := s.Approve(t.Context(), user, &pending); err == nil {
		u, _ := url.Parse(to)
		left["approving"] = g.redeem(t, s, u.Query().Get("code")).Scope
	}
	// One that begins afterwards, on the strength of the remembered consent.
	if a, c, err := s.Authorize(t.Context(), g.query.Encode()); err == nil {
		if ok, err := s.Consented(t.Context(), user, a, c); err == nil && ok && s.checkUser(t.Context(), user) == nil {
			left["remembering"] = strings.Join(a.Scopes, " ")
		}
	}
	consents, err := s.Consents(t.Context(), user.Subject)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range consents {
		for _, scopes := range c.Scopes {
			left["the user's page"] = strings.Join(scopes, " ")
		}
	}
	return left
}

var everyUse = []string{"redeeming", "refreshing", "introspecting", "approving", "remembering", "the user's page"}

// A configuration that narrows binds what was granted before, wherever it is used.
func TestNarrowing(t *testing.T) {
	t.Parallel()
	const otherRedirect = "https://client.example/other"
	app := func(c *Config) *Client { return &c.Clients[0] }
	backend := func(c *Config) *Client { return &c.Clients[1] }
	public := url.Values{"client_id": {"app"}}
	confidential := url.Values{"client_id": {"backend"}, "client_secret": {"a-secret-of-the-backend"}}
	dynamic := func(redirect string) string {
		return `{"redirect_uris":["` + redirect + `"],"token_endpoint_auth_method":"none"}`
	}
	for _, test := range []struct {
		name string
		// client and redirect say who asks; register is for a client that
		// introduces itself.
		client   url.Values
		redirect string
		register string
		user     User
		change   func(*Config)
		// want is what is left of "read write" for every use, save for those in
		// except.
		want   string
		except map[string]string
	}{
		{name: "nothing changes", client: public, change: func(*Config) {}, want: "read write"},
		{name: "more is allowed", client: public, change: func(c *Config) { c.Scopes = append(c.Scopes, Scope{Name: "admin"}) }, want: "read write"},

		{name: "a client's scopes", client: public, change: func(c *Config) { app(c).Scopes = []string{"read"} }, want: "read"},
		{name: "a client's scopes, to others", client: public, change: func(c *Config) {
			c.Scopes = append(c.Scopes, Scope{Name: "admin"})
			app(c).Scopes = []string{"admin"}
		}, want: ""},
		{name: "a scope", client: public, change: func(c *Config) { c.Scopes = c.Scopes[:1] }, want: "read"},
		{name: "every granted scope", client: public, change: func(c *Config) { c.Scopes = []Scope{{Name: "admin"}} }, want: ""},
		{name: "a redirect URI", client: public, change: func(c *Config) { app(c).RedirectURIs = []string{otherRedirect} }, want: ""},
		{name: "another redirect URI", client: public, change: func(c *Config) { app(c).RedirectURIs = []string{testRedirect} }, want: "read write"},
		{name: "a resource", client: public, change: func(c *Config) { c.Resources = []string{"https://as.example/other"} }, want: ""},
		{name: "another resource", client: public, change: func(c *Config) { c.Resources = []string{testResource} }, want: "read write"},
		{name: "a resource that is spelled otherwise", client: public, change: func(c *Config) { c.Resources = []string{testResource + "/"} }, want: "read write"},
		{name: "a client", client: public, change: func(c *Config) { c.Clients = c.Clients[1:] }, want: ""},
		{name: "a user", client: public, change: func(c *Config) {
			c.CheckUser = func(context.Context, User) error { return errors.New("no such user") }
		}, want: "", except: map[string]string{"the user's page": "read write"}}, // which they can't see
		{name: "an upstream", client: public, user: User{Subject: "github:1", Source: "github"}, change: func(c *Config) {
			c.CheckUser = func(_ context.Context, user User) error {
				if user.Source != "" {
					return errors.New("that upstream is no longer configured")
				}
				return nil
			}
		}, want: "", except: map[string]string{"the user's page": "read write"}},
		{name: "the confidential client's secret", client: confidential, change: func(c *Config) { backend(c).Secret = "another-secret-of-it" }, want: "", except: map[string]string{
			// No client is in these; the others go on with the new secret.
			"introspecting": "read write", "remembering": "read write", "the user's page": "read write",
		}},
		{name: "a public client gets a secret", client: public, change: func(c *Config) { app(c).Secret = "a-secret-that-is-new" }, want: "", except: map[string]string{
			"introspecting": "read write", "remembering": "read write", "the user's page": "read write",
		}},

		{name: "nothing changes for a stranger", register: dynamic(testRedirect), change: func(*Config) {}, want: "read write"},
		{name: "registration, off", register: dynamic(testRedirect), change: func(c *Config) { c.Registration = registration.Policy{Off: true} }, want: ""},
		{name: "registration, to other URIs", register: dynamic(testRedirect), change: func(c *Config) { c.Registration.RedirectURIs = []string{otherRedirect} }, want: ""},
		{name: "registration, to that URI", register: dynamic(testRedirect), change: func(c *Config) { c.Registration.RedirectURIs = []string{testRedirect} }, want: "read write"},
		{name: "a private scheme", register: dynamic(privateURI), redirect: privateURI, change: func(c *Config) { c.Registration.PrivateSchemes = nil }, want: ""},
		{name: "a private scheme stays", register: dynamic(privateURI), redirect: privateURI, change: func(*Config) {}, want: "read write", except: map[string]string{"remembering": ""}},
		{name: "loopback", register: dynamic("http://127.0.0.1/cb"), redirect: "http://127.0.0.1:4711/cb", change: func(c *Config) { c.Registration.RedirectURIs = []string{testRedirect} }, want: ""},
		{name: "a confidential stranger", register: `{"redirect_uris":["` + testRedirect + `"]}`, change: func(c *Config) { c.Registration = registration.Policy{Off: true} }, want: ""},

		{name: "nothing changes for a document", client: url.Values{"client_id": {testDocument}}, change: func(*Config) {}, want: "read write"},
		{name: "documents, off", client: url.Values{"client_id": {testDocument}}, change: func(c *Config) { c.Documents = nil }, want: ""},
		{name: "documents, with registration", client: url.Values{"client_id": {testDocument}}, change: func(c *Config) { c.Registration = registration.Policy{Off: true} }, want: ""},
		{name: "documents, to other URIs", client: url.Values{"client_id": {testDocument}}, change: func(c *Config) { c.Registration.RedirectURIs = []string{otherRedirect} }, want: ""},
		{name: "a document's redirect URI", client: url.Values{"client_id": {testDocument}}, change: func(c *Config) {
			c.Documents = published{testDocument: strings.ReplaceAll(documentOf(testDocument), testRedirect, otherRedirect)}
		}, want: "", except: map[string]string{"introspecting": "read write", "the user's page": "read write"}}, // no question to the client's site for these
		{name: "a document that is away", client: url.Values{"client_id": {testDocument}}, change: func(c *Config) { c.Documents = published{} }, want: "", except: map[string]string{
			"introspecting": "read write", "the user's page": "read write",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			before := func(c *Config) {
				c.Resources = []string{testResource, "https://as.example/other"}
				c.Clients[0].RedirectURIs = []string{testRedirect, otherRedirect}
				c.Registration.PrivateSchemes = []string{"cursor"}
				c.Documents = published{testDocument: documentOf(testDocument)}
				c.Secret = testMaster(testSecret)
			}
			f := newFixture(t, before)
			client, redirect, user := test.client, test.redirect, test.user
			if redirect == "" {
				redirect = testRedirect
			}
			if user.Subject == "" {
				user = testUser
			}
			user.SignedIn = f.clock.Now()
			if test.register != "" {
				got := ask(t, f.Server, RegisterPath, "application/json", test.register)
				client = url.Values{"client_id": {got.ID}}
				if got.Secret != "" {
					client.Set("client_secret", got.Secret)
				}
			}
			g := grantTo(t, f, user, client, testQuery("client_id", client.Get("client_id"), "redirect_uri", redirect, "scope", "read write", "resource", testResource))
			got := g.left(t, f.again(before, test.change), user)
			for _, use := range everyUse {
				want := test.want
				if other, ok := test.except[use]; ok {
					want = other
				}
				if got[use] != want {
					t.Errorf("%s: left %q of read write, want %q", use, got[use], want)
				}
			}
		})
	}
}

func documentOf(id string) string {
	return `{"client_id":"` + id + `","client_name":"Tool","redirect_uris":["` + testRedirect + `"]}`
}
