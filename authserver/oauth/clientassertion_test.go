package oauth

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// machine is a client with a key, which the operator has registered.
const machine = "machine"

// keyed is a fixture with the client machine. Its keys are those of an issuer for
// tests, because that can sign anything.
type keyed struct {
	*fixture
	keys *oauthtest.Server
}

func newKeyed(t *testing.T, change ...func(*Config)) *keyed {
	t.Helper()
	f := &keyed{fixture: &fixture{t: t}}
	f.fixture = newFixture(t)
	f.keys = oauthtest.New(t, oauthtest.Options{Now: f.clock.Now})
	f.Server = f.again(append([]func(*Config){func(c *Config) {
		source, err := PublicKeys(f.keys.JWKSDocument())
		if err != nil {
			t.Fatal(err)
		}
		c.Clients = append(c.Clients, Client{ID: machine, Keys: source, ClientCredentials: true, Introspection: true})
	}}, change...)...)
	return f
}

// assertion returns a good assertion of the client, changed by claims and opts.
func (f *keyed) assertion(client string, claims map[string]any, opts ...oauthtest.MintOption) string {
	good := map[string]any{
		"iss": client, "sub": client, "aud": testIssuer, "client_id": oauthtest.Absent, "scope": oauthtest.Absent, "iat": f.clock.Now().Unix(),
	}
	maps.Copy(good, claims)
	return f.keys.Mint(good, append([]oauthtest.MintOption{oauthtest.WithHeader("typ", "JWT")}, opts...)...)
}

// with adds an assertion to a form.
func with(form url.Values, assertion string) url.Values {
	form = maps.Clone(form)
	form.Set("client_assertion_type", token.ClientAssertionType)
	form.Set("client_assertion", assertion)
	return form
}

var machineForm = url.Values{"grant_type": {clientCredentials}, "scope": {"read"}}

// A machine gets a token that says that it is no user's.
func TestClientCredentialsByKey(t *testing.T) {
	t.Parallel()
	f := newKeyed(t)
	for name, form := range map[string]url.Values{
		"the assertion names it": with(machineForm, f.assertion(machine, nil)),
		"the request does too":   with(url.Values{"grant_type": {clientCredentials}, "client_id": {machine}}, f.assertion(machine, map[string]any{"nbf": f.clock.Now().Unix()})),
		"typ of its own":         with(machineForm, f.assertion(machine, nil, oauthtest.WithHeader("typ", "client-authentication+jwt"))),
		"no typ":                 with(machineForm, f.assertion(machine, nil, oauthtest.WithHeader("typ", oauthtest.Absent))),
		"aud in a list":          with(machineForm, f.assertion(machine, map[string]any{"aud": []string{testIssuer}})),
		"ten minutes":            with(machineForm, f.assertion(machine, map[string]any{"exp": f.clock.Now().Add(10 * time.Minute).Unix()})),
		"no iat":                 with(machineForm, f.assertion(machine, map[string]any{"iat": oauthtest.Absent})),
	} {
		got := post(t, f.Server, TokenPath, form)
		if got.status != 200 || got.Scope != "read" || got.Refresh != "" {
			t.Errorf("%s: got %d %s, want an access token for read alone", name, got.status, got.body)
			continue
		}
		said, err := f.verify(t.Context(), got.Access)
		if err != nil || said == nil || said.Subject != machine || said.ClientID != machine || said.Type != token.ClientSubject {
			t.Errorf("%s: got %+v, %v, want the client itself", name, said, err)
		}
		introspected := post(t, f.Server, IntrospectPath, with(url.Values{"token": {got.Access}}, f.assertion(machine, nil)))
		if !introspected.Active {
			t.Errorf("%s: introspected: %d %s", name, introspected.status, introspected.body)
		}
	}
}

// Each breaks only the rule that it is named after.
func TestClientAssertionRefused(t *testing.T) {
	t.Parallel()
	f := newKeyed(t, func(c *Config) {
		c.Clients = append(c.Clients, Client{ID: "narrow", Keys: c.Clients[3].Keys, SigningAlg: "PS256", ClientCredentials: true})
	})
	at := func(d time.Duration) int64 { return f.clock.Now().Add(d).Unix() }
	type claims = map[string]any
	for _, test := range []struct {
		name   string
		claims claims
		opt    oauthtest.MintOption
	}{
		{"another issuer than the client", claims{"iss": "app"}, nil},
		{"no iss", claims{"iss": oauthtest.Absent}, nil},
		{"another subject than the client", claims{"sub": "app"}, nil},
		{"no sub", claims{"sub": oauthtest.Absent}, nil},
		{"a client that isn't known", claims{"iss": "nobody", "sub": "nobody"}, nil},
		{"a client with a secret", claims{"iss": "backend", "sub": "backend"}, nil},
		{"a client with nothing", claims{"iss": "app", "sub": "app"}, nil},
		{"aud of another server", claims{"aud": "https://other.example"}, nil},
		{"aud the token endpoint", claims{"aud": testIssuer + TokenPath}, nil},
		{"aud the issuer and the token endpoint", claims{"aud": []string{testIssuer, testIssuer + TokenPath}}, nil},
		{"aud with a slash", claims{"aud": testIssuer + "/"}, nil},
		{"aud the resource", claims{"aud": testResource}, nil},
		{"no aud", claims{"aud": oauthtest.Absent}, nil},
		{"expired", claims{"exp": at(0)}, nil},
		{"no exp", claims{"exp": oauthtest.Absent}, nil},
		{"exp in eleven minutes", claims{"exp": at(11 * time.Minute)}, nil},
		{"iat in the future", claims{"iat": at(time.Minute)}, nil},
		{"nbf in the future", claims{"nbf": at(time.Minute)}, nil},
		{"no jti", claims{"jti": oauthtest.Absent}, nil},
		{"cnf", claims{"cnf": claims{"jkt": "x"}}, nil},
		{"typ of an access token", nil, oauthtest.WithHeader("typ", "at+jwt")},
		{"typ of an ID-JAG", nil, oauthtest.WithHeader("typ", "oauth-id-jag+jwt")},
		{"typ of a DPoP proof", nil, oauthtest.WithHeader("typ", "dpop+jwt")},
		{"alg none", nil, oauthtest.Unsigned()},
		{"HS256 with the public key", nil, oauthtest.WithSecret("HS256", f.keys.CurrentKey().PublicPEM())},
		{"another's key", nil, oauthtest.WithKey(f.keys.NewKey("ES256", "other"))},
		{"another's key under the same kid", nil, oauthtest.WithKey(f.keys.NewKey(f.keys.CurrentKey().Algorithm, f.keys.CurrentKey().ID))},
		{"another algorithm than the client registered", claims{"iss": "narrow", "sub": "narrow"}, nil},
	} {
		var opts []oauthtest.MintOption
		if test.opt != nil {
			opts = append(opts, test.opt)
		}
		got := post(t, f.Server, TokenPath, with(machineForm, f.assertion(machine, test.claims, opts...)))
		if got.status != 401 || got.Error != "invalid_client" || got.header.Get("WWW-Authenticate") != "" {
			t.Errorf("%s: got %d %s, want invalid_client", test.name, got.status, got.body)
		}
	}
	if n := len(f.store.Keys(usedPrefix)); n != 0 {
		t.Errorf("refused assertions left %d records", n)
	}
	for _, raw := range []string{"x", "a.b", "a.b.c", "e30.e30.", strings.Repeat("A", 20<<10)} {
		if got := post(t, f.Server, TokenPath, with(machineForm, raw)); got.status != 401 || got.Error != "invalid_client" {
			t.Errorf("%.10q: got %d %s", raw, got.status, got.body)
		}
	}
}

// There is one way to authenticate in a request, and it is in the body.
func TestClientAssertionAlone(t *testing.T) {
	t.Parallel()
	f := newKeyed(t)
	good := func() url.Values { return with(machineForm, f.assertion(machine, nil)) }
	set := func(name, value string) url.Values {
		form := good()
		form.Set(name, value)
		return form
	}
	drop := func(name string) url.Values {
		form := good()
		form.Del(name)
		return form
	}
	for _, test := range []struct {
		name, query, authorization string
		form                       url.Values
		want                       string
	}{
		{"with a secret", "", "", set("client_secret", "x"), "invalid_request"},
		{"with Basic", "", "Basic bWFjaGluZTp4", good(), "invalid_request"},
		{"with Bearer", "", "Bearer x", good(), "invalid_request"},
		{"without a type", "", "", drop("client_assertion_type"), "invalid_request"},
		{"without an assertion", "", "", drop("client_assertion"), "invalid_request"},
		{"another type", "", "", set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"), "invalid_client"},
		{"another client", "", "", set("client_id", "app"), "invalid_client"},
		{"in the URL", "?client_assertion=x", "", good(), "invalid_request"},
		{"twice", "", "", url.Values{"grant_type": {clientCredentials}, "client_assertion_type": {token.ClientAssertionType}, "client_assertion": {f.assertion(machine, nil), f.assertion(machine, nil)}}, "invalid_request"},
		{"not at all", "", "", url.Values{"grant_type": {clientCredentials}, "client_id": {machine}}, "invalid_client"},
		{"a secret instead", "", "", url.Values{"grant_type": {clientCredentials}, "client_id": {machine}, "client_secret": {"a-secret-of-the-backend"}}, "invalid_client"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, testIssuer+TokenPath+test.query, strings.NewReader(test.form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if test.authorization != "" {
			r.Header.Set("Authorization", test.authorization)
		}
		w := httptest.NewRecorder()
		f.ServeHTTP(w, r)
		if w.Code < 400 || w.Code >= 500 || !strings.Contains(w.Body.String(), `"`+test.want+`"`) {
			t.Errorf("%s: got %d %s, want %s", test.name, w.Code, w.Body, test.want)
		}
	}
}

// An assertion works once, whichever server on the store it is sent to, and whatever
// the request with it was.
func TestClientAssertionOnce(t *testing.T) {
	t.Parallel()
	f := newKeyed(t)
	other := f.again(func(c *Config) {
		c.Clients = append(c.Clients, Client{ID: machine, Keys: f.clients[machine].Keys, ClientCredentials: true, Introspection: true})
	})
	raw := f.assertion(machine, nil)
	if got := post(t, f.Server, TokenPath, with(machineForm, raw)); got.status != 200 {
		t.Fatalf("first: %d %s", got.status, got.body)
	}
	for name, s := range map[string]*Server{"here": f.Server, "at another server": other} {
		for _, path := range []string{TokenPath, RevokePath, IntrospectPath} {
			form := maps.Clone(machineForm)
			form.Set("token", "x")
			if got := post(t, s, path, with(form, raw)); got.status != 401 || got.Error != "invalid_client" {
				t.Errorf("again %s, at %s: got %d %s, want invalid_client", name, path, got.status, got.body)
			}
		}
	}
	// Another client's jti is another one.
	if got := post(t, f.Server, TokenPath, with(machineForm, f.assertion(machine, map[string]any{"jti": "1"}))); got.status != 200 {
		t.Errorf("another jti: %d %s", got.status, got.body)
	}
	// At once, one of them gets a token.
	raw = f.assertion(machine, nil)
	var wg sync.WaitGroup
	results := make([]int, 8)
	for i := range results {
		wg.Go(func() {
			s := f.Server
			if i%2 == 0 {
				s = other
			}
			results[i] = post(t, s, TokenPath, with(machineForm, raw)).status
		})
	}
	wg.Wait()
	if got := len(slices.DeleteFunc(results, func(status int) bool { return status != 200 })); got != 1 {
		t.Errorf("at once: got %d tokens, want 1", got)
	}
	// Records of what has expired are removed.
	f.clock.Advance(sweepInterval)
	if err := f.Sweep(t.Context()); err != nil || len(f.store.Keys(usedPrefix)) != 0 {
		t.Errorf("swept: %v, %v", f.store.Keys(usedPrefix), err)
	}
}

// A client that sends too many has to wait for its own to expire; others don't.
func TestClientAssertionMemory(t *testing.T) {
	t.Parallel()
	f := newKeyed(t, func(c *Config) {
		c.Clients = append(c.Clients, Client{ID: "other", Keys: c.Clients[3].Keys, ClientCredentials: true})
	})
	full := used{IDs: make(map[string]int64), Until: f.clock.Now().Add(2 * time.Minute)}
	for i := range maxClientAssertions {
		full.IDs[usedID(string(rune(i)))] = f.clock.Now().Add(time.Minute).Unix()
	}
	record, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	f.store.Put(usedPrefix+hashed("client\n"+machine), record)
	got := post(t, f.Server, TokenPath, with(machineForm, f.assertion(machine, nil)))
	if got.status != 429 || got.header.Get("Retry-After") != "120" {
		t.Errorf("full: got %d %s, Retry-After %s, want 429 and 120", got.status, got.body, got.header.Get("Retry-After"))
	}
	if got := post(t, f.Server, TokenPath, with(machineForm, f.assertion("other", nil))); got.status != 200 {
		t.Errorf("another client: got %d %s", got.status, got.body)
	}
	f.clock.Advance(2*time.Minute + time.Second)
	if got := post(t, f.Server, TokenPath, with(machineForm, f.assertion(machine, nil))); got.status != 200 {
		t.Errorf("after they have expired: got %d %s", got.status, got.body)
	}
	b := f.store.Records()[usedPrefix+hashed("client\n"+machine)]
	if len(b) > 200 {
		t.Errorf("the record still has %d bytes", len(b))
	}
	// What can't be found out is no reason to accept it, nor to refuse it for good.
	f.store.Fail(func(_, key string) error {
		if strings.HasPrefix(key, usedPrefix) {
			return errStore
		}
		return nil
	})
	if got := post(t, f.Server, TokenPath, with(machineForm, f.assertion(machine, nil))); got.status != 503 || got.Access != "" {
		t.Errorf("without the store: got %d %s, want 503", got.status, got.body)
	}
	f.store.Fail(nil)
	f.store.Put(usedPrefix+hashed("client\n"+machine), []byte("{"))
	if got := post(t, f.Server, TokenPath, with(machineForm, f.assertion(machine, nil))); got.status != 200 {
		t.Errorf("a damaged record: got %d %s", got.status, got.body)
	}
}

const (
	documentID   = "https://app.example/client.json"
	documentKeys = "https://app.example/jwks.json"
)

// signingDocument is the metadata of a client that signs.
func signingDocument(more string) string {
	return `{"client_id":"` + documentID + `","client_name":"App","redirect_uris":["` + testRedirect + `"],"token_endpoint_auth_method":"private_key_jwt",` +
		`"jwks_uri":"` + documentKeys + `"` + more + `}`
}

// Clients that nobody registered by hand sign in with their keys, by document or
// registration; without the right key, nobody is them.
func TestSigningClients(t *testing.T) {
	t.Parallel()
	f := newKeyed(t)
	docs := published{documentID: signingDocument(""), documentKeys: string(f.keys.JWKSDocument())}
	f.Server = f.again(func(c *Config) {
		c.Documents = docs
		c.Clients = append(c.Clients, Client{ID: "desk", Keys: f.clients[machine].Keys, RedirectURIs: []string{testRedirect}})
	})
	register := func(members string) string {
		got := ask(t, f.Server, RegisterPath, "application/json", `{"redirect_uris":["`+testRedirect+`"],"token_endpoint_auth_method":"private_key_jwt",`+members+`}`)
		if got.status != 201 || got.Secret != "" || !strings.Contains(got.body, `"private_key_jwt"`) {
			t.Fatalf("registering: %d %s", got.status, got.body)
		}
		return got.ID
	}
	for name, id := range map[string]string{
		"document":           documentID,
		"registered, keys":   register(`"jwks":` + string(f.keys.JWKSDocument())),
		"registered, by URI": register(`"jwks_uri":"` + documentKeys + `"`),
		"the operator's":     "desk",
	} {
		code := f.code("client_id", id, "scope", "read offline_access")
		redeem := redeemForm(code)
		redeem.Del("client_id")
		for wrong, form := range map[string]url.Values{
			"no assertion":   redeemForm(code),
			"another's key":  with(redeem, f.assertion(id, nil, oauthtest.WithKey(f.keys.NewKey("ES256", "other")))),
			"another client": with(redeem, f.assertion("app", nil)),
			"a secret":       {"grant_type": {authorizationCode}, "client_id": {id}, "client_secret": {"x"}, "code": {code}},
		} {
			if wrong == "no assertion" {
				form.Set("client_id", id)
			}
			if got := post(t, f.Server, TokenPath, form); got.Error != "invalid_client" {
				t.Errorf("%s, %s: got %d %s, want invalid_client", name, wrong, got.status, got.body)
			}
		}
		if n := len(f.store.Keys(usedPrefix)); n != 0 {
			t.Errorf("%s: there are %d records before a user's code came", name, n)
		}
		raw := f.assertion(id, nil)
		got := post(t, f.Server, TokenPath, with(redeem, raw))
		if got.status != 200 || got.Refresh == "" {
			t.Errorf("%s: got %d %s", name, got.status, got.body)
			continue
		}
		refresh := url.Values{"grant_type": {refreshToken}, "refresh_token": {got.Refresh}}
		if again := post(t, f.Server, TokenPath, with(refresh, raw)); again.Error != "invalid_client" {
			t.Errorf("%s: the same assertion again: got %d %s", name, again.status, again.body)
		}
		if !post(t, f.Server, IntrospectPath, introspectForm(got.Access)).Active {
			t.Errorf("%s: its token isn't active", name)
		}
		stolen := maps.Clone(refresh)
		stolen.Set("client_id", id)
		if got := post(t, f.Server, TokenPath, stolen); got.Error != "invalid_client" {
			t.Errorf("%s: a stolen refresh token: got %d %s, want invalid_client", name, got.status, got.body)
		}
		if got = post(t, f.Server, TokenPath, with(refresh, f.assertion(id, nil))); got.status != 200 {
			t.Errorf("%s: refreshing: %d %s", name, got.status, got.body)
		}
		// The operator's clients name the issuer. Others may do as RFC 7523 says.
		refresh.Set("refresh_token", got.Refresh)
		for _, audience := range []any{testIssuer + RevokePath, "https://other.example/oauth/token", []string{testIssuer, testIssuer + TokenPath}} {
			if got := post(t, f.Server, TokenPath, with(refresh, f.assertion(id, map[string]any{"aud": audience}))); got.Error != "invalid_client" {
				t.Errorf("%s: aud %v: got %d %s, want invalid_client", name, audience, got.status, got.body)
			}
		}
		if byEndpoint := post(t, f.Server, TokenPath, with(refresh, f.assertion(id, map[string]any{"aud": testIssuer + TokenPath}))); (byEndpoint.status == 200) != (id != "desk") {
			t.Errorf("%s: aud the token endpoint: got %d %s", name, byEndpoint.status, byEndpoint.body)
		} else if byEndpoint.status == 200 {
			got = byEndpoint
		}
		if gone := post(t, f.Server, RevokePath, with(url.Values{"token": {got.Refresh}}, f.assertion(id, nil))); gone.status != 200 {
			t.Errorf("%s: revoking: %d %s", name, gone.status, gone.body)
		}
		if post(t, f.Server, IntrospectPath, introspectForm(got.Access)).Active {
			t.Errorf("%s: it is active after it was revoked", name)
		}
		f.store.Clear()
	}
}
