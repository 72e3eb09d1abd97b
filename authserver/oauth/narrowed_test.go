package oauth

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
)

// A client that loses its secret loses what was bound to it: the tokens of a
// confidential client were safe with others.
func TestConfidentialClientBecomesPublic(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	client := url.Values{"client_id": {"backend"}, "client_secret": {"a-secret-of-the-backend"}}
	g := grantTo(t, f, testUser, client, testQuery("client_id", "backend", "scope", "read write"))
	g.client = url.Values{"client_id": {"backend"}}
	got := g.left(t, f.again(func(c *Config) { c.Clients[1].Secret = "" }), testUser)
	for use, want := range map[string]string{"redeeming": "", "refreshing": "", "introspecting": "", "approving": "read write"} {
		if got[use] != want {
			t.Errorf("%s: left %q of read write, want %q", use, got[use], want)
		}
	}
}

// What narrows can be widened again: nothing is lost by a mistake in a
// configuration, and a narrower answer isn't kept for the next one.
func TestNarrowingIsNotKept(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g := grantTo(t, f, testUser, url.Values{"client_id": {"app"}}, testQuery("scope", "read write"))
	narrow := f.again(func(c *Config) { c.Clients[0].Scopes = []string{"read"} })
	got := post(t, narrow, TokenPath, g.form("grant_type", refreshToken, "refresh_token", g.refresh))
	if got.Scope != "read" {
		t.Fatalf("narrowed: %d %s", got.status, got.body)
	}
	// What is gone can't be asked for either.
	if more := post(t, narrow, TokenPath, g.form("grant_type", refreshToken, "refresh_token", got.Refresh, "scope", "read write")); more.Error != "invalid_scope" {
		t.Errorf("asking for more: %d %s, want invalid_scope", more.status, more.body)
	}
	none := f.again(func(c *Config) { c.Clients = c.Clients[1:] })
	if gone := post(t, none, TokenPath, g.form("grant_type", refreshToken, "refresh_token", got.Refresh)); gone.Error != "invalid_client" {
		t.Errorf("without the client: %d %s, want invalid_client", gone.status, gone.body)
	}
	if got = post(t, f.Server, TokenPath, g.form("grant_type", refreshToken, "refresh_token", got.Refresh)); got.Scope != "read write" {
		t.Errorf("afterwards: %d %s, want both", got.status, got.body)
	}
}

// Lifetimes that are shortened bind the tokens that are about, too; longer ones
// give them nothing.
func TestShorterLifetimes(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	lifetimes := func(access, refresh time.Duration) func(*Config) {
		return func(c *Config) { c.AccessTokenLifetime, c.RefreshTokenLifetime = access, refresh }
	}
	for _, test := range []struct {
		name            string
		change          func(*Config)
		wait            time.Duration
		source          string
		active, refresh bool
	}{
		{"unchanged", lifetimes(time.Hour, 30*day), 59 * time.Minute, "", true, true},
		{"access tokens, before", lifetimes(10*time.Minute, 30*day), 9 * time.Minute, "", true, true},
		{"access tokens", lifetimes(10*time.Minute, 30*day), 10 * time.Minute, "", false, true},
		{"longer access tokens", lifetimes(2*time.Hour, 30*day), time.Hour, "", false, true},
		{"refresh tokens, before", lifetimes(time.Hour, 7*day), 7*day - time.Second, "", false, true},
		{"refresh tokens", lifetimes(time.Hour, 7*day), 7 * day, "", false, false},
		{"longer refresh tokens", lifetimes(time.Hour, 60*day), 30 * day, "", false, false},
		{"users of an upstream, before", lifetimes(time.Hour, 7*day), 6 * day, "github", false, true},
		{"users of an upstream", lifetimes(time.Hour, 7*day), 7 * day, "github", false, false},
	} {
		before := lifetimes(time.Hour, 30*day)
		f := newFixture(t, before)
		user := testUser
		user.Source, user.SignedIn = test.source, f.clock.Now()
		g := grantTo(t, f, user, url.Values{"client_id": {"app"}}, testQuery("scope", "read write"))
		f.clock.Advance(test.wait)
		s := f.again(test.change)
		got := post(t, s, IntrospectPath, introspectForm(g.access))
		if got.Active != test.active {
			t.Errorf("%s: introspected %s, want active %t", test.name, got.body, test.active)
		}
		if got.Active && !time.Unix(got.Expires, 0).After(f.clock.Now()) {
			t.Errorf("%s: active, and over since %d", test.name, got.Expires)
		}
		if got := post(t, s, TokenPath, g.form("grant_type", refreshToken, "refresh_token", g.refresh)); (got.status == 200) != test.refresh {
			t.Errorf("%s: refreshing: %d %s, want it to work: %t", test.name, got.status, got.body, test.refresh)
		}
	}
}

// A machine's token goes by today's configuration, too.
func TestNarrowingOfMachines(t *testing.T) {
	t.Parallel()
	before := func(c *Config) {
		c.Resources = append(c.Resources, "https://as.example/other")
		c.Clients[1].ClientCredentials = true
		c.Clients[1].Scopes = []string{"read", "write"}
	}
	form := url.Values{
		"grant_type": {clientCredentials}, "client_id": {"backend"}, "client_secret": {"a-secret-of-the-backend"}, "scope": {"read write"}, "resource": {testResource},
	}
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   string // of the scopes; of both uses
	}{
		{"nothing", func(*Config) {}, "read write"},
		{"its scopes", func(c *Config) { c.Clients[1].Scopes = []string{"read"} }, "read"},
		{"all of its scopes", func(c *Config) {
			c.Scopes = append(c.Scopes, Scope{Name: "admin"})
			c.Clients[1].Scopes = []string{"admin"}
		}, ""},
		{"a scope", func(c *Config) { c.Scopes, c.Clients[1].Scopes = c.Scopes[:1], nil }, "read"},
		{"the grant", func(c *Config) { c.Clients[1].ClientCredentials = false }, ""},
		{"its secret", func(c *Config) { c.Clients[1].Secret, c.Clients[1].ClientCredentials = "", false }, ""},
		{"the client", func(c *Config) { c.Clients = slices.Delete(c.Clients, 1, 2) }, ""},
		{"the resource", func(c *Config) { c.Resources = c.Resources[1:] }, ""},
	} {
		f := newFixture(t, before)
		access := post(t, f.Server, TokenPath, form).Access
		s := f.again(before, test.change)
		got := post(t, s, IntrospectPath, introspectForm(access))
		if got.Scope != test.want || got.Active != (test.want != "") {
			t.Errorf("%s: introspected %s, want %q", test.name, got.body, test.want)
		}
		if got := post(t, s, TokenPath, form); got.Scope != test.want {
			t.Errorf("%s: another token: %d %s, want %q", test.name, got.status, got.body, test.want)
		}
	}
}

// The right to introspect is asked for every time.
func TestNarrowingOfIntrospection(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	access := f.tokens().Access
	for name, change := range map[string]func(*Config){
		"the permission": func(c *Config) { c.Clients[2].Introspection, c.Clients[2].ClientCredentials = false, true },
		"the client":     func(c *Config) { c.Clients = c.Clients[:2] },
		"the secret":     func(c *Config) { c.Clients[2].Secret = "another-secret-of-it" },
	} {
		if got := post(t, f.again(change), IntrospectPath, introspectForm(access)); got.status < 400 || got.Active {
			t.Errorf("without %s: got %d %s, want it refused", name, got.status, got.body)
		}
	}
}

// If something can't be looked up, nobody loses a grant.
func TestNarrowingIsNotGuessed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tokens, code := f.tokens(), f.code()
	away := f.again(func(c *Config) {
		c.CheckUser = func(context.Context, User) error { return &outbound.UnavailableError{Err: errors.New("away")} }
	})
	if got := post(t, away, IntrospectPath, introspectForm(tokens.Access)); got.status != 503 {
		t.Errorf("introspecting: %d %s, want 503", got.status, got.body)
	}
	if got := post(t, away, TokenPath, refreshForm(tokens.Refresh)); got.status != 503 {
		t.Errorf("refreshing: %d %s, want 503", got.status, got.body)
	}
	if got := post(t, away, TokenPath, redeemForm(code)); got.status != 503 {
		t.Errorf("redeeming: %d %s, want 503", got.status, got.body)
	}
	if got := post(t, f.Server, TokenPath, refreshForm(tokens.Refresh)); got.status != 200 {
		t.Errorf("afterwards: %d %s", got.status, got.body)
	}
}

// A sign-in under way is told what it may no longer have; a redirect URI that was
// removed isn't told anything.
func TestNarrowingOfASignIn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	begin := func(fields ...string) *Authorization {
		a, _, err := f.Authorize(t.Context(), testQuery(fields...).Encode())
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := begin("scope", "read write")
	if _, err := f.again(func(c *Config) { c.Scopes = c.Scopes[:1] }).Client(t.Context(), a); err != nil || !slices.Equal(a.Scopes, []string{"read"}) {
		t.Errorf("one scope less: %v, and asks for %q", err, a.Scopes)
	}
	for name, test := range map[string]struct {
		change func(*Config)
		want   string
		told   bool
	}{
		"no scope":         {func(c *Config) { c.Scopes = []Scope{{Name: "admin"}} }, "invalid_scope", true},
		"no resource":      {func(c *Config) { c.Resources = []string{"https://as.example/other"} }, "invalid_target", true},
		"no redirect URI":  {func(c *Config) { c.Clients[0].RedirectURIs = []string{"https://client.example/other"} }, "invalid_request", false},
		"no client":        {func(c *Config) { c.Clients = c.Clients[1:] }, "invalid_client", false},
		"another sign-in":  {func(c *Config) { c.Registration = registration.Policy{Off: true} }, "", false},
		"a smaller client": {func(c *Config) { c.Clients[0].Scopes = []string{"write"} }, "invalid_scope", true},
	} {
		_, err := f.again(test.change).Client(t.Context(), begin())
		refused, _ := errors.AsType[*AuthorizationError](err)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.want != "" && (refused == nil || refused.Err.Code != test.want || (refused.RedirectTo != "") != test.told):
			t.Errorf("%s: got %+v, want %s, told the client: %t", name, refused, test.want, test.told)
		}
	}
}
