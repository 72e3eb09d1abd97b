package oauth

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
)

// Anyone can be any number of clients, but they fill nothing without a user.
func TestStrangersAssertionsStoreNothing(t *testing.T) {
	t.Parallel()
	f := newKeyed(t)
	got := ask(t, f.Server, RegisterPath, "application/json", `{"redirect_uris":["`+testRedirect+`"],"token_endpoint_auth_method":"private_key_jwt","jwks":`+string(f.keys.JWKSDocument())+`}`)
	other := f.tokens()
	before := len(f.store.Records())
	for _, form := range []url.Values{
		{"grant_type": {authorizationCode}, "code": {"x"}, "code_verifier": {testVerifier}},
		{"grant_type": {authorizationCode}, "code": {f.code()}},
		{"grant_type": {refreshToken}, "refresh_token": {other.Refresh}},
		{"grant_type": {refreshToken}, "refresh_token": {"x"}},
		{"grant_type": {clientCredentials}},
		{"grant_type": {"x"}},
	} {
		if got := post(t, f.Server, TokenPath, with(form, f.assertion(got.ID, nil))); got.status != 400 {
			t.Errorf("%v: got %d %s, want 400", form, got.status, got.body)
		}
	}
	for _, value := range []string{other.Refresh, other.Access, "x"} {
		if got := post(t, f.Server, RevokePath, with(url.Values{"token": {value}}, f.assertion(got.ID, nil))); got.status != 200 {
			t.Errorf("revoking: got %d %s", got.status, got.body)
		}
	}
	if n := len(f.store.Keys(usedPrefix)); n != 0 {
		t.Errorf("there are %d records of assertions, and %d others after %d", n, len(f.store.Records()), before)
	}
	if !f.lives(other) {
		t.Error("a stranger ended a user's grant")
	}
}

// While a client's keys can't be had, it isn't told that it is wrong.
func TestClientKeysAway(t *testing.T) {
	t.Parallel()
	f := newKeyed(t)
	docs := published{documentID: signingDocument("")}
	f.Server = f.again(func(c *Config) { c.Documents = docs })
	code := f.code("client_id", documentID)
	redeem := redeemForm(code)
	redeem.Set("client_id", documentID)
	got := post(t, f.Server, TokenPath, with(redeem, f.assertion(documentID, nil)))
	if got.status != 503 || got.Error != "temporarily_unavailable" || got.header.Get("Retry-After") == "" {
		t.Errorf("got %d %s, want 503", got.status, got.body)
	}
	docs[documentKeys] = string(f.keys.JWKSDocument())
	if got := post(t, f.Server, TokenPath, with(redeem, f.assertion(documentID, nil))); got.status != 200 {
		t.Errorf("when they are back: got %d %s, want the code to work", got.status, got.body)
	}
}

// A client that says that it may or may not sign is taken at its word: ChatGPT's
// document does.
func TestOptionalKey(t *testing.T) {
	t.Parallel()
	f := newKeyed(t)
	docs := published{
		documentID:   signingDocument(`,"token_endpoint_auth_methods_supported":["private_key_jwt","none"]`),
		documentKeys: string(f.keys.JWKSDocument()),
	}
	f.Server = f.again(func(c *Config) { c.Documents = docs })
	redeem := func() url.Values {
		form := redeemForm(f.code("client_id", documentID, "scope", "read offline_access"))
		form.Set("client_id", documentID)
		return form
	}
	if got := post(t, f.Server, TokenPath, redeem()); got.status != 200 {
		t.Errorf("without a key: got %d %s", got.status, got.body)
	}
	for _, audience := range []string{testIssuer, testIssuer + TokenPath} {
		if got := post(t, f.Server, TokenPath, with(redeem(), f.assertion(documentID, map[string]any{"aud": audience}))); got.status != 200 {
			t.Errorf("with its key, for %s: got %d %s", audience, got.status, got.body)
		}
	}
	if got := post(t, f.Server, TokenPath, with(redeem(), f.assertion(documentID, map[string]any{"aud": "x"}))); got.Error != "invalid_client" {
		t.Errorf("with a bad assertion: got %d %s, want invalid_client", got.status, got.body)
	}
}

func TestRegisteredKeys(t *testing.T) {
	t.Parallel()
	f := newKeyed(t)
	set := string(f.keys.JWKSDocument())
	private, err := json.Marshal(map[string]any{"keys": []any{f.keys.CurrentKey().PrivateJWK()}})
	if err != nil {
		t.Fatal(err)
	}
	for members, want := range map[string]bool{
		`"jwks":` + set: true,
		`"jwks":` + set + `,"token_endpoint_auth_signing_alg":"` + f.keys.CurrentKey().Algorithm + `"`: true,
		`"jwks":` + strings.Replace(set, `"keys":[`, `"keys":[{"kty":"EC","use":"enc"},`, 1):           true,
		`"x":1`:                     false,
		`"jwks":null`:               false,
		`"jwks":[]`:                 false,
		`"jwks":{}`:                 false,
		`"jwks":{"keys":[]}`:        false,
		`"jwks":{"keys":["x"]}`:     false,
		`"jwks":` + string(private): false,
		`"jwks":{"keys":[{"kty":"oct","k":"AAAA"}]}`:                                             false,
		`"jwks":{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`:                         false,
		`"jwks":` + set + `,"jwks_uri":"https://app.example/jwks"`:                               false,
		`"jwks":` + set + `,"token_endpoint_auth_signing_alg":"none"`:                            false,
		`"jwks":` + set + `,"token_endpoint_auth_signing_alg":"HS256"`:                           false,
		`"jwks":` + strings.Replace(set, `"kid":"`, `"kid":"`+strings.Repeat("x", maxSealed), 1): false,
		`"jwks_uri":"https://app.example/jwks"`:                                                  false, // documents are off
	} {
		got := ask(t, f.Server, RegisterPath, "application/json", `{"redirect_uris":["`+testRedirect+`"],"token_endpoint_auth_method":"private_key_jwt",`+members+`}`)
		switch {
		case want && (got.status != 201 || strings.Contains(got.body, "client_secret")):
			t.Errorf("%.200s: got %d %s, want it registered", members, got.status, got.body)
		case !want && (got.status != 400 || got.Error != "invalid_client_metadata"):
			t.Errorf("%.200s: got %d %s, want it refused", members, got.status, got.body)
		}
	}
	// Clients with the same metadata and keys are one client; with other keys, another.
	register := func(set []byte) string {
		return ask(t, f.Server, RegisterPath, "application/json", `{"redirect_uris":["`+testRedirect+`"],"token_endpoint_auth_method":"private_key_jwt","jwks":`+string(set)+`}`).ID
	}
	first := register(f.keys.JWKSDocument())
	f.keys.Rotate(false)
	if again := register([]byte(set)); again != first || register(f.keys.JWKSDocument()) == first {
		t.Error("the identifier doesn't depend on the keys, or on something else")
	}
	s := f.again(func(c *Config) { c.Documents = published{} })
	byURI := ask(t, s, RegisterPath, "application/json", `{"redirect_uris":["`+testRedirect+`"],"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://app.example/jwks"}`)
	if byURI.status != 201 || !strings.Contains(byURI.body, `"jwks_uri":"https://app.example/jwks"`) {
		t.Errorf("by URI: got %d %s", byURI.status, byURI.body)
	}
	if _, err := f.client(t.Context(), byURI.ID); err == nil {
		t.Error("a client whose keys can't be fetched any longer is known")
	}
}

// The metadata lists what works.
func TestKeyMethodsInMetadata(t *testing.T) {
	t.Parallel()
	f := newKeyed(t)
	off := func(c *Config) { c.Registration.Off = true }
	none := func(c *Config) { c.Clients = c.Clients[:1] }
	for _, test := range []struct {
		name          string
		change        []func(*Config)
		keyed         bool // with the client machine
		methods       []string
		introspection []string
	}{
		{"open", nil, false, []string{"none", "client_secret_basic", "client_secret_post", "private_key_jwt"}, []string{"client_secret_basic", "client_secret_post"}},
		{"closed", []func(*Config){off}, false, []string{"none", "client_secret_basic", "client_secret_post"}, []string{"client_secret_basic", "client_secret_post"}},
		{"closed, public clients only", []func(*Config){off, none}, false, []string{"none"}, nil},
		{"closed, one with a key", []func(*Config){off, none}, true, []string{"none", "private_key_jwt"}, []string{"private_key_jwt"}},
	} {
		change := test.change
		if test.keyed {
			change = append(change, func(c *Config) { c.Clients = append(c.Clients, *f.clients[machine]) })
		}
		document, err := f.again(change...).metadata()
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(document, &m); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string][]string{"token": test.methods, "revocation": test.methods, "introspection": test.introspection} {
			if got := texts(m[name+"_endpoint_auth_methods_supported"]); !slices.Equal(got, want) {
				t.Errorf("%s, %s endpoint: got %q, want %q", test.name, name, got, want)
			}
			var algs []string
			if slices.Contains(want, "private_key_jwt") {
				algs = keys.Algorithms()
			}
			if got := texts(m[name+"_endpoint_auth_signing_alg_values_supported"]); !slices.Equal(got, algs) {
				t.Errorf("%s, %s endpoint: got the algorithms %q, want %q", test.name, name, got, algs)
			}
		}
	}
}

// texts returns the strings of a list in JSON.
func texts(v any) []string {
	list, _ := v.([]any)
	var all []string
	for _, elem := range list {
		s, _ := elem.(string)
		all = append(all, s)
	}
	return all
}
