package oauth

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// enterprise is a fixture with a provider whose users may sign in, except for mallory.
type enterprise struct {
	*fixture
	idp     *oauthtest.Server
	fetched keys.Source
}

func newEnterprise(t *testing.T, change ...func(*Config)) *enterprise {
	t.Helper()
	f := &enterprise{fixture: newFixture(t)}
	f.idp = oauthtest.New(t, oauthtest.Options{Now: f.clock.Now})
	set, err := keys.ParseSet(f.idp.JWKSDocument())
	if err != nil {
		t.Fatal(err)
	}
	f.fetched = keys.Static(set)
	f.Server = f.with(change...)
	return f
}

// with returns another server on the same store, that trusts the provider.
func (f *enterprise) with(change ...func(*Config)) *Server {
	f.t.Helper()
	return f.again(append([]func(*Config){func(c *Config) {
		c.Providers = []Provider{{Issuer: f.idp.Issuer(), Keys: f.fetched, User: enterpriseUser}}
	}}, change...)...)
}

var errMayNot = errors.New("no rule allows the user")

func enterpriseUser(_ context.Context, subject string, claims map[string]any) (User, error) {
	switch subject {
	case "mallory":
		return User{}, errMayNot
	case "unknown":
		return User{}, &outbound.UnavailableError{Err: errors.New("away")}
	}
	email, _ := claims["email"].(string)
	return User{Subject: "company:" + subject, Source: "company", Email: email}, nil
}

// identity returns a good identity assertion for the client backend, changed by claims
// and opts.
func (f *enterprise) identity(claims map[string]any, opts ...oauthtest.MintOption) string {
	good := map[string]any{"sub": "ada", "aud": testIssuer, "client_id": "backend", "scope": "read write", "resource": testResource}
	maps.Copy(good, claims)
	return f.idp.Mint(good, append([]oauthtest.MintOption{oauthtest.WithHeader("typ", "oauth-id-jag+jwt")}, opts...)...)
}

// identityForm is the request with an identity assertion, of the client backend.
func identityForm(assertion string, fields ...string) url.Values {
	form := url.Values{"grant_type": {jwtBearer}, "assertion": {assertion}, "client_id": {"backend"}, "client_secret": {"a-secret-of-the-backend"}}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return form
}

// The client gets a token of the user, as if the user had signed in with a browser.
func TestIdentityAssertion(t *testing.T) {
	t.Parallel()
	f := newEnterprise(t)
	got := post(t, f.Server, TokenPath, identityForm(f.identity(map[string]any{"email": "ada@example.com"})))
	if got.status != 200 || got.Refresh != "" || got.Scope != "read write" || got.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("got %d %s, want an access token without a refresh token", got.status, got.body)
	}
	said, err := f.verify(t.Context(), got.Access)
	if err != nil || said == nil || said.Subject != "company:ada" || said.ClientID != "backend" || said.Type != token.UserSubject ||
		said.ClaimText("email") != "ada@example.com" || len(said.Audience) != 1 || said.Audience[0] != testResource {
		t.Errorf("the token says %+v, %v", said, err)
	}
	if _, there := said.Claims()["auth_time"]; there {
		t.Error("the token says when the user signed in, which nobody has told")
	}
	last := f.events[len(f.events)-1]
	if last.Grant != jwtBearer || last.Subject != "company:ada" || last.Client != "backend" || last.Provider != f.idp.Issuer() || last.Err != nil {
		t.Errorf("got the event %+v", last)
	}
	if !post(t, f.Server, IntrospectPath, introspectForm(got.Access)).Active {
		t.Error("the token isn't active")
	}
	form := url.Values{"client_id": {"backend"}, "client_secret": {"a-secret-of-the-backend"}, "token": {got.Access}}
	if got := post(t, f.Server, RevokePath, form); got.status != 200 {
		t.Errorf("revoking: %d %s", got.status, got.body)
	}
	if post(t, f.Server, IntrospectPath, introspectForm(got.Access)).Active {
		t.Error("the token is active after it was revoked")
	}
}

// Each breaks only the rule that it is named after.
func TestIdentityAssertionRefused(t *testing.T) {
	t.Parallel()
	f := newEnterprise(t)
	other := oauthtest.New(t, oauthtest.Options{Now: f.clock.Now})
	at := func(d time.Duration) int64 { return f.clock.Now().Add(d).Unix() }
	type claims = map[string]any
	for _, test := range []struct {
		name   string
		claims claims
		opt    oauthtest.MintOption
	}{
		{"typ of an access token", nil, oauthtest.WithHeader("typ", "at+jwt")},
		{"typ of an ID token", nil, oauthtest.WithHeader("typ", "JWT")},
		{"typ of a client's assertion", nil, oauthtest.WithHeader("typ", "client-authentication+jwt")},
		{"typ of a workload's identity", nil, oauthtest.WithHeader("typ", "wit+jwt")},
		{"no typ", nil, oauthtest.WithHeader("typ", oauthtest.Absent)},
		{"a provider that isn't trusted", claims{"iss": other.Issuer()}, oauthtest.WithKey(other.CurrentKey())},
		{"a trusted provider's name on another's key", nil, oauthtest.WithKey(other.CurrentKey())},
		{"a key of the same kid", nil, oauthtest.WithKey(f.idp.NewKey(f.idp.CurrentKey().Algorithm, f.idp.CurrentKey().ID))},
		{"iss this server", claims{"iss": testIssuer}, nil},
		{"no iss", claims{"iss": oauthtest.Absent}, nil},
		{"aud the token endpoint", claims{"aud": testIssuer + TokenPath}, nil},
		{"aud the resource", claims{"aud": testResource}, nil},
		{"aud another server", claims{"aud": "https://other.example"}, nil},
		{"aud two servers", claims{"aud": []string{testIssuer, "https://other.example"}}, nil},
		{"no aud", claims{"aud": oauthtest.Absent}, nil},
		{"client_id another client", claims{"client_id": "app"}, nil},
		{"no client_id", claims{"client_id": oauthtest.Absent}, nil},
		{"no sub", claims{"sub": oauthtest.Absent}, nil},
		{"sub a client", claims{"sub": ""}, nil},
		{"a user who may not", claims{"sub": "mallory"}, nil},
		{"resource another", claims{"resource": "https://other.example/mcp"}, nil},
		{"resource a list of others", claims{"resource": []string{"https://other.example/mcp", testIssuer}}, nil},
		{"resource empty", claims{"resource": ""}, nil},
		{"no jti", claims{"jti": oauthtest.Absent}, nil},
		{"no iat", claims{"iat": oauthtest.Absent}, nil},
		{"iat in the future", claims{"iat": at(time.Minute)}, nil},
		{"nbf in the future", claims{"nbf": at(time.Minute)}, nil},
		{"no exp", claims{"exp": oauthtest.Absent}, nil},
		{"expired", claims{"exp": at(0)}, nil},
		{"exp in two hours", claims{"exp": at(2 * time.Hour)}, nil},
		{"bound to a key", claims{"cnf": claims{"jkt": "x"}}, nil},
		{"authorization_details", claims{"authorization_details": []any{claims{"type": "x"}}}, nil},
		{"one tenant of several", claims{"tenant": "acme"}, nil},
		{"alg none", nil, oauthtest.Unsigned()},
		{"HS256 with the public key", nil, oauthtest.WithSecret("HS256", f.idp.CurrentKey().PublicPEM())},
	} {
		var opts []oauthtest.MintOption
		if test.opt != nil {
			opts = append(opts, test.opt)
		}
		got := post(t, f.Server, TokenPath, identityForm(f.identity(test.claims, opts...)))
		if got.status != 400 || got.Error != "invalid_grant" {
			t.Errorf("%s: got %d %s, want invalid_grant", test.name, got.status, got.body)
		}
	}
	for _, raw := range []string{"x", "a.b.c", "e30.e30.e30.e30.e30"} {
		if got := post(t, f.Server, TokenPath, identityForm(raw)); got.Error != "invalid_grant" {
			t.Errorf("%s: got %d %s, want invalid_grant", raw, got.status, got.body)
		}
	}
	if n := len(f.store.Records()); n > 2 { // the signing key, and what goes with it
		t.Errorf("refused assertions left records: %v", f.store.Keys(""))
	}
}

// Only a client that has proved who it is can use an assertion that names it.
func TestIdentityAssertionClients(t *testing.T) {
	t.Parallel()
	f := newEnterprise(t)
	raw := f.identity(nil)
	for name, test := range map[string]struct {
		form url.Values
		want string
	}{
		"no authentication": {url.Values{"grant_type": {jwtBearer}, "assertion": {raw}, "client_id": {"backend"}}, "invalid_client"},
		"a wrong secret":    {identityForm(raw, "client_secret", "x"), "invalid_client"},
		"no client":         {url.Values{"grant_type": {jwtBearer}, "assertion": {raw}}, "invalid_request"},
		"a public client":   {url.Values{"grant_type": {jwtBearer}, "assertion": {f.identity(map[string]any{"client_id": "app"})}, "client_id": {"app"}}, "unauthorized_client"},
		"no assertion":      {url.Values{"grant_type": {jwtBearer}, "client_id": {"backend"}, "client_secret": {"a-secret-of-the-backend"}}, "invalid_request"},
		"another client":    {identityForm(raw, "client_id", "resource", "client_secret", "a-secret-of-the-resource"), "invalid_grant"},
	} {
		if got := post(t, f.Server, TokenPath, test.form); got.Error != test.want {
			t.Errorf("%s: got %d %s, want %s", name, got.status, got.body, test.want)
		}
	}
	if got := post(t, newFixture(t).Server, TokenPath, identityForm(raw)); got.Error != "unsupported_grant_type" {
		t.Errorf("without a provider: got %d %s", got.status, got.body)
	}
	if got := post(t, f.Server, TokenPath, identityForm(raw)); got.status != 200 {
		t.Errorf("after all of them: got %d %s", got.status, got.body)
	}
}

// A client with a key and without any redirect URI is enough, and its assertion works
// once as well. So is a client's document.
func TestIdentityAssertionByKey(t *testing.T) {
	t.Parallel()
	f := newEnterprise(t)
	k := newKeyed(t)
	docs := published{documentID: signingDocument(`,"token_endpoint_auth_methods_supported":["private_key_jwt","none"]`), documentKeys: string(k.keys.JWKSDocument())}
	f.Server = f.with(func(c *Config) {
		c.Documents = docs
		c.Clients = append(c.Clients, Client{ID: "agent", Keys: k.clients[machine].Keys})
	})
	for _, id := range []string{"agent", documentID} {
		form := url.Values{"grant_type": {jwtBearer}, "assertion": {f.identity(map[string]any{"client_id": id})}, "client_id": {id}}
		if got := post(t, f.Server, TokenPath, form); got.Error != "invalid_client" && got.Error != "unauthorized_client" {
			t.Errorf("%s, without its key: got %d %s", id, got.status, got.body)
		}
		own := k.assertion(id, nil)
		got := post(t, f.Server, TokenPath, with(form, own))
		if got.status != 200 {
			t.Errorf("%s: got %d %s", id, got.status, got.body)
			continue
		}
		if !post(t, f.Server, IntrospectPath, introspectForm(got.Access)).Active {
			t.Errorf("%s: its token isn't active", id)
		}
		form.Set("assertion", f.identity(map[string]any{"client_id": id}))
		if got := post(t, f.Server, TokenPath, with(form, own)); got.Error != "invalid_client" {
			t.Errorf("%s, its own assertion again: got %d %s", id, got.status, got.body)
		}
		if got := post(t, f.Server, TokenPath, with(form, k.assertion(id, nil))); got.status != 200 {
			t.Errorf("%s: the user's assertion was used up with one that was refused: %d %s", id, got.status, got.body)
		}
	}
}

// What the provider, this server and the request all name is granted.
func TestIdentityAssertionScopes(t *testing.T) {
	t.Parallel()
	f := newEnterprise(t)
	f.Server = f.with(func(c *Config) {
		c.Scopes = append(c.Scopes, Scope{Name: "admin"})
		c.Clients[1].Scopes = []string{"read", "write"}
	})
	absent := oauthtest.Absent
	for _, test := range []struct {
		name, requested string
		asserted        any
		want            string // empty: invalid_scope
	}{
		{"none requested", "", "write read", "read write"},
		{"fewer requested", "write", "read write", "write"},
		{"more requested", "read write", "read", "read"},
		{"none in common", "write", "read", ""},
		{"not the client's", "admin", "admin", ""},
		{"more than the client's", "", "read admin", "read"},
		{"not the server's", "", "root", ""},
		{"with others", "openid offline_access write x", "openid offline_access read write", "write"},
		{"only openid requested", "openid", "read", "read"},
		{"no scope asserted", "", absent, "read"},
		{"no scope asserted, more requested", "read write", absent, "read"},
		{"no scope asserted, another requested", "write", absent, ""},
		{"an empty scope asserted", "", "", ""},
		{"only openid asserted", "", "openid", ""},
		{"malformed", `re"ad`, "read", ""},
	} {
		got := post(t, f.Server, TokenPath, identityForm(f.identity(map[string]any{"scope": test.asserted}), "scope", test.requested))
		if test.want == "" && got.Error != "invalid_scope" || test.want != "" && (got.status != 200 || got.Scope != test.want) {
			t.Errorf("%s: got %d %s, want %q", test.name, got.status, got.body, test.want)
		}
	}
}

// The token is for the resource that the provider named, whatever the request names.
func TestIdentityAssertionResources(t *testing.T) {
	t.Parallel()
	const second = "https://as.example/second"
	f := newEnterprise(t)
	one, two := f.Server, f.with(func(c *Config) { c.Resources = append(c.Resources, second) })
	for _, test := range []struct {
		name      string
		server    *Server
		asserted  any
		requested string
		want      string // a resource, or an error
	}{
		{"one", one, testResource, "", testResource},
		{"one, requested too", one, testResource, testResource, testResource},
		{"with a slash", one, testResource + "/", "", testResource},
		{"in a list", one, []string{testResource, "https://other.example/mcp"}, "", testResource},
		{"none, of one", one, oauthtest.Absent, "", testResource},
		{"none, of two", two, oauthtest.Absent, "", "invalid_target"},
		{"none, of two, requested", two, oauthtest.Absent, second, second},
		{"one of two", two, second, "", second},
		{"another requested", two, second, testResource, "invalid_target"},
		{"a stranger's requested", two, second, "https://other.example/mcp", "invalid_target"},
		{"both", two, []string{testResource, second}, "", "invalid_target"},
		{"both, one requested", two, []string{testResource, second}, second, second},
		{"a stranger's", two, "https://other.example/mcp", "", "invalid_grant"},
		{"a stranger's, ours requested", two, "https://other.example/mcp", second, "invalid_grant"},
	} {
		got := post(t, test.server, TokenPath, identityForm(f.identity(map[string]any{"resource": test.asserted}), "resource", test.requested))
		if got.Error != "" || got.status != 200 {
			if got.Error != test.want {
				t.Errorf("%s: got %d %s, want %s", test.name, got.status, got.body, test.want)
			}
			continue
		}
		said, err := test.server.verify(t.Context(), got.Access)
		if err != nil || said == nil || said.Audience[0] != test.want {
			t.Errorf("%s: got %+v, %v, want %s", test.name, said, err, test.want)
		}
	}
}
