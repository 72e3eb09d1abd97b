package oauth

import (
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/storetest"
)

const (
	behind       = "https://backend.internal/api"
	exchangeName = "urn:ietf:params:oauth:grant-type:token-exchange"
)

// withDoor adds a front door that may exchange tokens, and a server behind it.
func withDoor(c *Config) {
	c.Resources = append(c.Resources, behind)
	c.Clients = append(c.Clients,
		Client{ID: "door", Secret: "a-secret-of-the-door", TokenExchange: true},
		Client{ID: "reader", Secret: "a-secret-of-the-reader", TokenExchange: true, Scopes: []string{"read"}},
		Client{ID: "robot", Secret: "a-secret-of-the-robot", ClientCredentials: true},
	)
}

// exchangeForm is a good request of the door. fields are names and values in turn; an
// empty value leaves a field out.
func exchangeForm(subject string, fields ...string) url.Values {
	form := url.Values{
		"grant_type": {exchangeName}, "client_id": {"door"}, "client_secret": {"a-secret-of-the-door"},
		"subject_token": {subject}, "subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "resource": {behind},
	}
	for i := 0; i < len(fields); i += 2 {
		if form.Set(fields[i], fields[i+1]); fields[i+1] == "" {
			form.Del(fields[i])
		}
	}
	return form
}

func claimsIn(t *testing.T, access string) (claims map[string]any) {
	t.Helper()
	if err := json.Unmarshal(decode(t, strings.Split(access, ".")[1]), &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestExchange(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withDoor)
	subject := f.tokens("scope", "read write", "resource", testResource).Access
	for _, tc := range []struct {
		name   string
		fields []string
		scope  string
	}{
		{"all scopes", nil, "read write"},
		{"fewer", []string{"scope", "read"}, "read"},
		{"one twice", []string{"scope", "read read"}, "read"},
		{"audience instead of resource", []string{"resource", "", "audience", behind}, "read write"},
		{"a JWT for a JWT", []string{"subject_token_type", "urn:ietf:params:oauth:token-type:jwt", "requested_token_type", "urn:ietf:params:oauth:token-type:jwt"}, "read write"},
		{"a client that may have fewer", []string{"client_id", "reader", "client_secret", "a-secret-of-the-reader"}, "read"},
	} {
		got := post(t, f.Server, TokenPath, exchangeForm(subject, tc.fields...))
		if got.status != 200 || got.Scope != tc.scope || got.Refresh != "" || !strings.Contains(got.body, `"issued_token_type":"urn:ietf:params:oauth:token-type:access_token"`) {
			t.Errorf("%s: got %d %s, want the scopes %s", tc.name, got.status, got.body, tc.scope)
			continue
		}
		claims := claimsIn(t, got.Access)
		client := exchangeForm("", tc.fields...).Get("client_id")
		if claims["sub"] != "ada" || claims["aud"] != behind || claims["scope"] != tc.scope || claims["client_id"] != client || claims["act"].(map[string]any)["sub"] != client {
			t.Errorf("%s: got %v", tc.name, claims)
		}
		if a := post(t, f.Server, IntrospectPath, introspectForm(got.Access)); !a.Active || a.Scope != tc.scope {
			t.Errorf("%s: introspection says %s", tc.name, a.body)
		}
	}
}

// Access that ends while a token is being exchanged leaves no token behind: an operator
// who ends it tells front doors to refuse tokens from before, and no later ones.
func TestExchangeWhileAccessEnds(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withDoor)
	subject := f.tokens("scope", "read", "resource", testResource).Access
	var loads, last int
	f.store.Fail(func(operation, key string) error {
		if operation != "load" || !strings.HasPrefix(key, grantsPrefix) {
			return nil
		}
		if loads++; loads == last {
			for _, consent := range f.store.Keys(consentsPrefix) {
				f.store.Remove(consent)
			}
		}
		return nil
	})
	if got := post(t, f.Server, TokenPath, exchangeForm(subject)); got.status != 200 || loads == 0 {
		t.Fatalf("got %d %s, and %d loads of grants", got.status, got.body, loads)
	}
	loads, last = 0, loads
	if got := post(t, f.Server, TokenPath, exchangeForm(subject)); got.status != 400 || got.Error != "invalid_request" || got.Access != "" {
		t.Errorf("got %d %s, want invalid_request", got.status, got.body)
	}
}

// Nothing but a user's own, good token is exchanged, and only for what it has.
func TestExchangeRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withDoor)
	got := f.tokens("scope", "read", "resource", testResource)
	subject := got.Access
	once := post(t, f.Server, TokenPath, exchangeForm(subject)).Access
	robot := post(t, f.Server, TokenPath, url.Values{"grant_type": {"client_credentials"}, "client_id": {"robot"}, "client_secret": {"a-secret-of-the-robot"}, "resource": {testResource}}).Access
	for _, tc := range []struct {
		name   string
		form   url.Values
		status int
		want   string
	}{
		{"a client that may not", exchangeForm(subject, "client_id", "backend", "client_secret", "a-secret-of-the-backend"), 400, "unauthorized_client"},
		{"a public client", exchangeForm(subject, "client_id", "app", "client_secret", ""), 400, "unauthorized_client"},
		{"a wrong secret", exchangeForm(subject, "client_secret", "another"), 401, "invalid_client"},
		{"no secret", exchangeForm(subject, "client_secret", ""), 401, "invalid_client"},
		{"no token", exchangeForm(""), 400, "invalid_request"},
		{"something else", exchangeForm("nonsense"), 400, "invalid_request"},
		{"a refresh token", exchangeForm(got.Refresh), 400, "invalid_request"},
		{"a token with other claims", exchangeForm(subject[:len(subject)-10] + "AAAAAAAAAA"), 400, "invalid_request"},
		{"a client's token", exchangeForm(robot), 400, "invalid_request"},
		{"one that was exchanged", exchangeForm(once), 400, "invalid_request"},
		{"no type", exchangeForm(subject, "subject_token_type", ""), 400, "invalid_request"},
		{"an ID token by its type", exchangeForm(subject, "subject_token_type", "urn:ietf:params:oauth:token-type:id_token"), 400, "invalid_request"},
		{"for a refresh token", exchangeForm(subject, "requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"), 400, "invalid_request"},
		{"with an actor", exchangeForm(subject, "actor_token", subject), 400, "invalid_request"},
		{"more scopes", exchangeForm(subject, "scope", "read write"), 400, "invalid_scope"},
		{"other scopes", exchangeForm(subject, "scope", "write"), 400, "invalid_scope"},
		{"an unknown scope", exchangeForm(subject, "scope", "admin"), 400, "invalid_scope"},
		{"offline_access", exchangeForm(subject, "scope", "read offline_access"), 400, "invalid_scope"},
		{"for an unknown server", exchangeForm(subject, "resource", "https://other.internal/"), 400, "invalid_target"},
		{"for none", exchangeForm(subject, "resource", ""), 400, "invalid_target"},
		{"for two", exchangeForm(subject, "audience", testResource), 400, "invalid_target"},
	} {
		if a := post(t, f.Server, TokenPath, tc.form); a.status != tc.status || a.Error != tc.want || a.Access != "" {
			t.Errorf("%s: got %d %s, want %d %s", tc.name, a.status, a.body, tc.status, tc.want)
		}
	}
	if a := ask(t, f.Server, TokenPath+"?subject_token=x", "application/x-www-form-urlencoded", exchangeForm(subject).Encode()); a.status != 400 {
		t.Errorf("a token in the URL: got %d %s", a.status, a.body)
	}
}

// An exchanged token ends with the user's at the latest, with its grant, and with what
// the operator allows.
func TestExchangedTokenEnds(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withDoor)
	got := f.tokens("resource", testResource)
	f.clock.Advance(DefaultAccessTokenLifetime - time.Minute)
	once := post(t, f.Server, TokenPath, exchangeForm(got.Access))
	if had, has := claimsIn(t, got.Access)["exp"], claimsIn(t, once.Access)["exp"]; had != has || !strings.Contains(once.body, `"expires_in":60`) {
		t.Errorf("expires at %v, want with the user's at %v: %s", has, had, once.body)
	}
	active := func(s *Server, access string) bool {
		t.Helper()
		return post(t, s, IntrospectPath, introspectForm(access)).Active
	}
	if !active(f.Server, once.Access) {
		t.Fatal("it is not active")
	}
	for name, change := range map[string]func(*Config){
		"the door may no longer exchange": func(c *Config) { c.Clients[3].TokenExchange, c.Clients[3].ClientCredentials = false, true },
		"the door is gone":                func(c *Config) { c.Clients = slices.Delete(c.Clients, 3, 4) },
		"the server behind is gone":       func(c *Config) { c.Resources = []string{testResource} },
		"the user's client is gone":       func(c *Config) { c.Clients = slices.Delete(c.Clients, 0, 1) },
		"the scope is gone":               func(c *Config) { c.Scopes, c.Clients[4].Scopes = []Scope{{Name: "write"}}, nil },
	} {
		if active(f.again(withDoor, change), once.Access) {
			t.Errorf("%s: it is active", name)
		}
	}
	// The door can't end the user's grant with it; the user's client can.
	revoke := url.Values{"client_id": {"door"}, "client_secret": {"a-secret-of-the-door"}, "token": {once.Access}}
	if a := post(t, f.Server, RevokePath, revoke); a.status != 200 || !active(f.Server, got.Access) {
		t.Errorf("the door ends the user's grant: %d %s", a.status, a.body)
	}
	if a := post(t, f.Server, RevokePath, url.Values{"client_id": {"app"}, "token": {got.Refresh}}); a.status != 200 {
		t.Fatalf("revoking: got %d %s", a.status, a.body)
	}
	if active(f.Server, once.Access) {
		t.Error("it is active after its grant has ended")
	}
	if a := post(t, f.Server, TokenPath, exchangeForm(got.Access)); a.Error != "invalid_request" {
		t.Errorf("the token of a grant that has ended: got %d %s", a.status, a.body)
	}
	f.clock.Advance(2 * time.Minute)
	if a := post(t, f.Server, TokenPath, exchangeForm(f.tokens("resource", testResource).Access)); a.status != 200 {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if a := post(t, f.Server, TokenPath, exchangeForm(got.Access)); a.Error != "invalid_request" {
		t.Errorf("an expired token: got %d %s", a.status, a.body)
	}
}

func TestExchangeIsAdvertised(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*Config)
		want   bool
	}{
		"a client that may": {withDoor, true},
		"none":              {func(*Config) {}, false},
	} {
		f := newFixture(t, tc.change)
		w := httptest.NewRecorder()
		f.serveMetadata(w)
		var m struct {
			Grants []string `json:"grant_types_supported"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil || slices.Contains(m.Grants, exchangeName) != tc.want {
			t.Errorf("%s: got %v, %v", name, m.Grants, err)
		}
	}
	config := Config{Issuer: testIssuer, Resources: []string{testResource}, Scopes: []Scope{{Name: "read"}}, Store: storetest.New(), Secret: testMaster("x"), Clients: []Client{{ID: "public", TokenExchange: true, RedirectURIs: []string{testRedirect}}}}
	if _, err := New(config); err == nil || !strings.Contains(err.Error(), "token_exchange need a secret") {
		t.Errorf("a public client: got %v", err)
	}
}
