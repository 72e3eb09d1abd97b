package oauth

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"
)

// consented has the user allow what the query asks for, and returns whether they
// have when it is asked for by the next query.
func (f *fixture) consented(first, next url.Values) (bool, *Authorization, *Client) {
	f.t.Helper()
	a, _, err := f.Authorize(f.t.Context(), first.Encode())
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.Approve(f.t.Context(), testUser, a); err != nil {
		f.t.Fatal(err)
	}
	a, c, err := f.Authorize(f.t.Context(), next.Encode())
	if err != nil {
		f.t.Fatal(err)
	}
	ok, err := f.Consented(f.t.Context(), testUser, a, c)
	if err != nil {
		f.t.Fatal(err)
	}
	return ok, a, c
}

// Where any program could be the client, a consent is never remembered (RFC 8252,
// section 8.6).
func TestConsentIsRememberedForTheRecognizable(t *testing.T) {
	t.Parallel()
	const loopbackDocument = "https://native.example/client.json"
	f := newFixture(t, func(c *Config) {
		c.Clients = append(c.Clients, Client{ID: "desk", RedirectURIs: []string{"http://127.0.0.1/cb", privateURI, "https://localhost/cb"}})
		c.Registration.PrivateSchemes = []string{"cursor", "https-app"}
		c.Documents = published{
			testDocument: documentOf(testDocument),
			loopbackDocument: `{"client_id":"` + loopbackDocument + `","client_name":"Native","redirect_uris":["http://127.0.0.1/cb","http://[::1]/cb","` +
				privateURI + `","` + testRedirect + `"]}`,
		}
	})
	for _, test := range []struct {
		name, client, redirect string
		confidential           bool
		remembered             bool
	}{
		{"the operator's, on the web", "app", testRedirect, false, true},
		{"the operator's, on loopback", "desk", "http://127.0.0.1:4711/cb", false, true},
		{"the operator's, by a scheme", "desk", privateURI, false, true},
		{"the operator's, https on loopback", "desk", "https://localhost/cb", false, true},
		{"a document, on the web", testDocument, testRedirect, false, true},
		{"a document, on loopback", loopbackDocument, "http://127.0.0.1:4711/cb", false, false},
		{"a document, on loopback of IPv6", loopbackDocument, "http://[::1]:4711/cb", false, false},
		{"a document, by a scheme", loopbackDocument, privateURI, false, false},
		{"a native document, on the web", loopbackDocument, testRedirect, false, true},
		{"a stranger, on the web", "", testRedirect, false, true},
		{"a confidential stranger, on the web", "", testRedirect, true, true},
		{"a stranger, on loopback", "", "http://127.0.0.1:4711/cb", false, false},
		{"a confidential stranger, on loopback", "", "http://127.0.0.1:4711/cb", true, false},
		{"a stranger, on another loopback", "", "http://127.9.9.9/cb", false, false},
		{"a stranger, on localhost", "", "http://localhost:4711/cb", false, false},
		{"a stranger, on loopback of IPv6", "", "http://[::1]:4711/cb", false, false},
		{"a stranger, https on loopback", "", "https://127.0.0.1:8443/cb", false, false},
		{"a stranger, https on localhost", "", "https://localhost/cb", false, false},
		{"a stranger, https on localhost with a dot", "", "https://localhost./cb", false, false},
		{"a stranger, https on a name below localhost", "", "https://app.localhost/cb", false, false},
		{"a stranger, https on a short address", "", "https://127.1/cb", false, false},
		{"a stranger, https on a number", "", "https://2130706433/cb", false, false},
		{"a stranger, by a scheme", "", privateURI, false, false},
		{"a stranger, by a scheme like https", "", "https-app://client.example/cb", false, false},
	} {
		id := test.client
		if id == "" {
			method := "none"
			if test.confidential {
				method = methodPost
			}
			got := ask(t, f.Server, RegisterPath, "application/json", `{"redirect_uris":["`+test.redirect+`"],"token_endpoint_auth_method":"`+method+`"}`)
			if got.status != 201 {
				t.Errorf("%s: registering: %d %s", test.name, got.status, got.body)
				continue
			}
			id = got.ID
		}
		query := testQuery("client_id", id, "redirect_uri", test.redirect)
		ok, a, c := f.consented(query, query)
		if ok != test.remembered {
			t.Errorf("%s: remembered %t, want %t", test.name, ok, test.remembered)
		}
		want := "interaction_required"
		if test.remembered {
			want = "consent_required"
		}
		if got := f.ConsentNeeded(a, c).Err.Code; got != want {
			t.Errorf("%s: prompt=none is refused with %s, want %s", test.name, got, want)
		}
	}
}

// A consent holds for what was shown: the exact redirect URI, the resource, the
// scopes, and whether access goes on.
func TestConsentIsForWhatWasShown(t *testing.T) {
	t.Parallel()
	const other, shared = "https://client.example/other", "https://connectors.example/oauth/"
	f := newFixture(t, func(c *Config) {
		c.Resources = append(c.Resources, "https://as.example/other")
		c.Clients[0].RedirectURIs = []string{testRedirect, other, shared + "one", shared + "two", "http://127.0.0.1/cb", "http://127.0.0.1/other"}
		c.Documents = published{testDocument: `{"client_id":"` + testDocument + `","client_name":"Tool","redirect_uris":["` + testRedirect + `"],"grant_types":["authorization_code"]}`}
	})
	query := func(fields ...string) url.Values {
		return testQuery(append([]string{"resource", testResource, "scope", "read write"}, fields...)...)
	}
	for _, test := range []struct {
		name        string
		first, next url.Values
		want        bool
	}{
		{"the same", query(), query(), true},
		{"fewer scopes", query(), query("scope", "write"), true},
		{"more scopes", query("scope", "read"), query(), false},
		{"other scopes", query("scope", "read"), query("scope", "write"), false},
		{"another resource", query(), query("resource", "https://as.example/other"), false},
		{"a resource with a slash", query(), query("resource", testResource+"/"), true},
		{"another path", query(), query("redirect_uri", other), false},
		{"another connector of one host", query("redirect_uri", shared+"one"), query("redirect_uri", shared+"two"), false},
		{"another port of loopback", query("redirect_uri", "http://127.0.0.1:1/cb"), query("redirect_uri", "http://127.0.0.1:2/cb"), true},
		{"another path of loopback", query("redirect_uri", "http://127.0.0.1:1/cb"), query("redirect_uri", "http://127.0.0.1:1/other"), false},
		{"from loopback to the web", query("redirect_uri", "http://127.0.0.1:1/cb"), query(), false},
		{"from the web to loopback", query(), query("redirect_uri", "http://127.0.0.1:1/cb"), false},
		{"another client", query(), query("client_id", "backend"), false},
		{"access that goes on", query("client_id", testDocument), query("client_id", testDocument, "scope", "read write offline_access"), false},
		{"access that doesn't", query("client_id", testDocument, "scope", "read write offline_access"), query("client_id", testDocument), true},
	} {
		f.store.Clear()
		if got, _, _ := f.consented(test.first, test.next); got != test.want {
			t.Errorf("%s: got %t, want %t", test.name, got, test.want)
		}
	}
	// What was allowed at one place isn't carried along by a consent at another.
	f.store.Clear()
	f.consented(query("redirect_uri", "http://127.0.0.1:1/cb"), query())
	if got, _, _ := f.consented(query("scope", "read"), query()); got {
		t.Error("scopes allowed on loopback count on the web")
	}
	if got, _, _ := f.consented(query("scope", "write"), query()); !got {
		t.Error("two consents for one place don't add up")
	}
}

// The permissions of one consent are bounded; what gives way is asked for again.
func TestPermissionsAreBounded(t *testing.T) {
	t.Parallel()
	redirect := func(i int) string { return fmt.Sprintf("https://connectors.example/oauth/%d", i) }
	f := newFixture(t, func(c *Config) {
		for i := range maxPermissions + 5 {
			c.Clients[0].RedirectURIs = append(c.Clients[0].RedirectURIs, redirect(i))
		}
	})
	for i := range maxPermissions + 5 {
		f.code("redirect_uri", redirect(i))
	}
	list, err := f.Consents(t.Context(), "ada")
	if err != nil || len(list) != 1 || len(list[0].Permissions) != maxPermissions {
		t.Fatalf("got %d consents, %v", len(list), err)
	}
	if p := list[0].Permissions; p[0].RedirectURI != redirect(5) || p[maxPermissions-1].RedirectURI != redirect(maxPermissions+4) {
		t.Errorf("kept %s to %s", p[0].RedirectURI, p[maxPermissions-1].RedirectURI)
	}
}

// The consent page can say whether access goes on while the user is away: it goes
// by what the client will get.
func TestOfflineIsWhatIsGranted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	register := func(more string) string {
		return ask(t, f.Server, RegisterPath, "application/json", `{"redirect_uris":["`+testRedirect+`"],"token_endpoint_auth_method":"none"`+more+`}`).ID
	}
	for _, test := range []struct {
		name, id, scope string
		want            bool
	}{
		{"the operator's", "app", "read", true},
		{"the operator's, asking", "app", "read offline_access", true},
		{"a stranger that says nothing of grants", register(""), "read", true},
		{"a stranger with refresh tokens", register(`,"grant_types":["authorization_code","refresh_token"]`), "read", true},
		{"a stranger without", register(`,"grant_types":["authorization_code"]`), "read", false},
		{"a stranger without, asking", register(`,"grant_types":["authorization_code"]`), "read offline_access", true},
	} {
		a, _, err := f.Authorize(t.Context(), testQuery("client_id", test.id, "scope", test.scope).Encode())
		if err != nil {
			t.Fatal(err)
		}
		form := redeemForm(f.code("client_id", test.id, "scope", test.scope))
		form.Set("client_id", test.id)
		got := post(t, f.Server, TokenPath, form)
		if got.status != 200 || a.Offline != test.want || (got.Refresh != "") != test.want {
			t.Errorf("%s: the page says %t, the client gets %d %s, want refresh tokens: %t", test.name, a.Offline, got.status, got.body, test.want)
		}
	}
}

func TestRevokeConsent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tokens := f.tokens()
	list, err := f.Consents(t.Context(), "ada")
	if err != nil || len(list) != 1 || !slices.Equal(list[0].Scopes[testResource], []string{"read"}) {
		t.Fatalf("got %+v, %v", list, err)
	}
	for name, id := range map[string][2]string{"another user's": {"bob", list[0].ID}, "one that there isn't": {"ada", "x"}} {
		if c, err := f.RevokeConsent(t.Context(), id[0], id[1]); c != nil || err != nil {
			t.Errorf("%s: got %+v, %v", name, c, err)
		}
	}
	if c, err := f.RevokeConsent(t.Context(), "ada", list[0].ID); c == nil || err != nil {
		t.Fatalf("got %+v, %v", c, err)
	}
	if got := post(t, f.Server, TokenPath, refreshForm(tokens.Refresh)); got.Error != "invalid_grant" {
		t.Errorf("refreshing: %d %s, want invalid_grant", got.status, got.body)
	}
	if got := post(t, f.Server, IntrospectPath, introspectForm(tokens.Access)); got.Active {
		t.Errorf("introspected %s", got.body)
	}
	// A new consent doesn't bring the old tokens back.
	f.code()
	if got := post(t, f.Server, TokenPath, refreshForm(tokens.Refresh)); got.Error != "invalid_grant" {
		t.Errorf("after another consent: %d %s, want invalid_grant", got.status, got.body)
	}
}

// max_age and prompt say which sign-ins count.
func TestSignInIsRecentEnough(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	now := f.clock.Now()
	for _, test := range []struct {
		name   string
		fields []string
		age    time.Duration // of the sign-in, when the request comes
		want   bool
	}{
		{"nothing asked", nil, 1000 * time.Hour, true},
		{"just in time", []string{"max_age", "60"}, time.Minute, true},
		{"too old", []string{"max_age", "60"}, time.Minute + time.Second, false},
		{"made after the request", []string{"max_age", "60"}, -10 * time.Minute, true},
		{"max_age=0", []string{"max_age", "0"}, time.Second, false},
		{"max_age=0, made after the request", []string{"max_age", "0"}, -time.Second, true},
		{"max_age empty", []string{"max_age", ""}, 1000 * time.Hour, true},
		{"max_age huge", []string{"max_age", "99999999999999999999999999"}, 1000 * time.Hour, true},
		{"max_age of an age", []string{"max_age", "9223372036854775807"}, 1000 * time.Hour, true},
		{"leading zeros", []string{"max_age", "0060"}, time.Hour, false},
		{"prompt=login", []string{"prompt", "login"}, time.Second, false},
		{"prompt=login, made after the request", []string{"prompt", "login"}, -time.Second, true},
		{"prompt=login with max_age", []string{"prompt", "login", "max_age", "60"}, time.Second, false},
		{"prompt=select_account", []string{"prompt", "select_account"}, time.Second, false},
		{"prompt=none, too old", []string{"prompt", "none", "max_age", "60"}, time.Hour, false},
	} {
		a, c, err := f.Authorize(t.Context(), testQuery(test.fields...).Encode())
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		user := testUser
		user.SignedIn = now.Add(-test.age)
		if got := a.Accepts(user.SignedIn); got != test.want {
			t.Errorf("%s: accepted %t, want %t", test.name, got, test.want)
		}
		// No page can give a code for another one.
		_, err = f.Approve(t.Context(), user, a)
		if refused, _ := errors.AsType[*AuthorizationError](err); (err == nil) != test.want || err != nil && refused.Err.Code != "login_required" {
			t.Errorf("%s: approving: %v", test.name, err)
		}
		if refused := f.InteractionNeeded(a, c, "login_required"); refused.Ask || refused.RedirectTo == "" {
			t.Errorf("%s: got %+v", test.name, refused)
		}
	}
	for _, age := range []string{"-1", "+1", "1.5", "x", "0x10", " 1", "1e3"} {
		_, _, err := f.Authorize(t.Context(), testQuery("max_age", age).Encode())
		if refused, _ := errors.AsType[*AuthorizationError](err); refused == nil || refused.Err.Code != "invalid_request" || refused.RedirectTo == "" {
			t.Errorf("max_age=%s: got %v, want invalid_request", age, err)
		}
	}
}
