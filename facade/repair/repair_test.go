package repair_test

import (
	"encoding/json"
	"maps"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/facade/repair"
)

// discovered returns good metadata with fields replaced.
func discovered(t *testing.T, change string) map[string]any {
	t.Helper()
	var m, more map[string]any
	const good = `{"issuer":"http://10.0.0.5:9000/o","authorization_endpoint":"http://10.0.0.5:9000/o/authorize",
		"token_endpoint":"http://10.0.0.5:9000/o/token?x=1","jwks_uri":"http://10.0.0.5:9000/keys","response_types_supported":["code"],
		"code_challenge_methods_supported":["S256"],"scopes_supported":["openid","api://x/tools"],"service_documentation":"https://docs.example/o"}`
	if err := json.Unmarshal([]byte(good), &m); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(change), &more); err != nil {
		t.Fatal(err)
	}
	for name, value := range more {
		if value == nil {
			delete(m, name)
		} else {
			m[name] = value
		}
	}
	return m
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	base := repair.Metadata{Issuer: "https://auth.example/o", Upstream: "http://10.0.0.5:9000/o"}
	with := func(f func(*repair.Metadata)) repair.Metadata {
		m := base
		f(&m)
		return m
	}
	for _, test := range []struct {
		name   string
		m      repair.Metadata
		change string
		field  string
		want   string // JSON; empty: absent
	}{
		{"issuer", base, `{}`, "issuer", `"https://auth.example/o"`},
		{"URL below the upstream", base, `{}`, "authorization_endpoint", `"https://auth.example/o/authorize"`},
		{"query kept", base, `{}`, "token_endpoint", `"https://auth.example/o/token?x=1"`},
		{"URL elsewhere on the upstream's origin", base, `{}`, "jwks_uri", `"https://auth.example/keys"`},
		{"URL elsewhere", base, `{}`, "service_documentation", `"https://docs.example/o"`},
		{"look-alike", base, `{"jwks_uri":"http://10.0.0.5:9000.evil.example/o/x"}`, "jwks_uri", `"http://10.0.0.5:9000.evil.example/o/x"`},
		{"longer path", base, `{"jwks_uri":"http://10.0.0.5:9000/other"}`, "jwks_uri", `"https://auth.example/other"`},
		{"set", with(func(m *repair.Metadata) { m.Set = map[string]any{"x": "y"} }), `{}`, "x", `"y"`},
		{"set wins", with(func(m *repair.Metadata) { m.Set = map[string]any{"jwks_uri": "https://k.example/"} }), `{}`, "jwks_uri", `"https://k.example/"`},
		{"removed", with(func(m *repair.Metadata) { m.Remove = []string{"jwks_uri"} }), `{}`, "jwks_uri", ""},
		{"registration", with(func(m *repair.Metadata) { m.RegistrationEndpoint = "https://auth.example/r" }), `{"registration_endpoint":"http://10.0.0.5:9000/r"}`, "registration_endpoint", `"https://auth.example/r"`},
		{"public clients", with(func(m *repair.Metadata) { m.RegistrationEndpoint, m.PublicClients = "https://auth.example/r", true }), `{}`, "token_endpoint_auth_methods_supported", `["client_secret_basic","none"]`},
		{"public clients beside others", with(func(m *repair.Metadata) { m.RegistrationEndpoint, m.PublicClients = "https://auth.example/r", true }), `{"token_endpoint_auth_methods_supported":["client_secret_post"]}`, "token_endpoint_auth_methods_supported", `["client_secret_post","none"]`},
		{"scopes renamed", with(func(m *repair.Metadata) { m.Scopes = map[string]string{"tools": "api://x/tools"} }), `{}`, "scopes_supported", `["openid","tools"]`},
		{"response types", base, `{"response_types_supported":null}`, "response_types_supported", `["code"]`},
		{"iss of the same name", base, `{"issuer":"https://auth.example/o","authorization_response_iss_parameter_supported":true}`, "authorization_response_iss_parameter_supported", `true`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in := discovered(t, test.change)
			before := discovered(t, test.change)
			got, err := test.m.Apply(in)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(in, before) {
				t.Error("what was discovered has been changed")
			}
			value, present := got[test.field]
			b, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			if present != (test.want != "") || present && string(b) != test.want {
				t.Errorf("%s is %s, want %s", test.field, b, test.want)
			}
		})
	}
}

func TestInside(t *testing.T) {
	t.Parallel()
	m := repair.Metadata{Issuer: "https://auth.example/o", Upstream: "http://10.0.0.5:9000/o"}
	for address, want := range map[string]string{
		"https://auth.example/o/reg?x":   "http://10.0.0.5:9000/o/reg?x",
		"https://auth.example/reg":       "http://10.0.0.5:9000/reg",
		"https://other.example/o/reg":    "https://other.example/o/reg",
		"http://10.0.0.5:9000/o/reg":     "http://10.0.0.5:9000/o/reg",
		"https://auth.example.evil/o/re": "https://auth.example.evil/o/re",
	} {
		if got := m.Inside(address); got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
}

func TestMetadataRefuses(t *testing.T) {
	t.Parallel()
	m := repair.Metadata{Issuer: "https://auth.example/o", Upstream: "http://10.0.0.5:9000/o"}
	for name, test := range map[string]struct{ change, want string }{
		"a server that doesn't know its public name": {`{"authorization_response_iss_parameter_supported":true}`, "with ENDPOINT=https://auth.example, "},
		"a server that knows its loopback name":      {`{"issuer":"http://localhost:3001/o","authorization_response_iss_parameter_supported":true}`, "with ENDPOINT=https://auth.example, "},
		"rewritten issuer that sends iss":            {`{"issuer":"https://tenant.example/o","authorization_response_iss_parameter_supported":true}`, "mcp_auth_facade https://tenant.example/o"},
		"pushed requests only":                       {`{"require_pushed_authorization_requests":true}`, "switch that off at the server"},
		"signed requests only":                       {`{"require_signed_request_object":true}`, "remove require_signed_request_object"},
		"no authorization endpoint":                  {`{"authorization_endpoint":null}`, "metadata authorization_endpoint"},
		"token endpoint of another type":             {`{"token_endpoint":7}`, "metadata token_endpoint"},
		"no PKCE":                                    {`{"code_challenge_methods_supported":null}`, "code_challenge_methods_supported S256"},
		"PKCE plain":                                 {`{"code_challenge_methods_supported":["plain"]}`, "code_challenge_methods_supported S256"},
	} {
		if _, err := m.Apply(discovered(t, test.change)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want the cure %q", name, err, test.want)
		}
	}
	if _, err := m.Apply(nil); err == nil {
		t.Error("nothing at all is complete")
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	r := repair.Requests{
		Strip:  []string{"resource"},
		Add:    map[string]string{"audience": "https://api.example"},
		Scopes: map[string]string{"tools": "api://x/tools"},
	}
	if err := r.Check(); err != nil {
		t.Fatal(err)
	}
	got := url.Values{"resource": {"a", "b"}, "scope": {"openid tools other"}, "audience": {"evil"}, "state": {"s"}}
	done := r.Apply(got)
	want := url.Values{"scope": {"openid api://x/tools other"}, "audience": {"https://api.example"}, "state": {"s"}}
	if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(done, []string{"added audience", "mapped scope", "removed resource"}) {
		t.Errorf("got %v, %q", got, done)
	}
	for name, bad := range map[string]repair.Requests{
		"PKCE stripped":   {Strip: []string{"code_challenge"}},
		"state stripped":  {Strip: []string{"state"}},
		"client set":      {Add: map[string]string{"client_id": "x"}},
		"redirect set":    {Add: map[string]string{"redirect_uri": "https://evil.example"}},
		"scope set":       {Add: map[string]string{"scope": "admin"}},
		"empty value":     {Add: map[string]string{"audience": ""}},
		"malformed scope": {Scopes: map[string]string{"a b": "c"}},
		"scopes in turn":  {Scopes: map[string]string{"a": "b", "b": "c"}},
	} {
		if bad.Check() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestCheckAuthorization(t *testing.T) {
	t.Parallel()
	good := url.Values{
		"client_id": {"c"}, "response_type": {"code"}, "code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
	}
	if err := repair.CheckAuthorization(good); err != nil {
		t.Errorf("refused: %v", err)
	}
	for name, change := range map[string][2]string{
		"no client":                   {"client_id", ""},
		"implicit":                    {"response_type", "token"},
		"hybrid":                      {"response_type", "code id_token"},
		"none":                        {"response_type", ""},
		"no PKCE":                     {"code_challenge", ""},
		"a short challenge":           {"code_challenge", "E9Melhoa"},
		"a long challenge":            {"code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cMx"},
		"a challenge with padding":    {"code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-c="},
		"a challenge of another kind": {"code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM"},
		"a challenge with a break":    {"code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-c\n"},
		"plain":                       {"code_challenge_method", "plain"},
		"S256 in small letters":       {"code_challenge_method", "s256"},
		"no method":                   {"code_challenge_method", ""},
		"a request object":            {"request", "x"},
		"an empty request object":     {"request", ""},
		"a pushed request":            {"request_uri", "urn:x"},
	} {
		parameters := maps.Clone(good)
		parameters[change[0]] = []string{change[1]}
		if repair.CheckAuthorization(parameters) == nil {
			t.Errorf("%s: passes", name)
		}
	}
}

// Clients are told of nothing that they would be refused.
func TestMetadataWithdraws(t *testing.T) {
	t.Parallel()
	m := repair.Metadata{Issuer: "https://auth.example/o", Upstream: "http://10.0.0.5:9000/o", OnlyQuery: true}
	got, err := m.Apply(discovered(t, `{
		"pushed_authorization_request_endpoint":"http://10.0.0.5:9000/o/par", "require_pushed_authorization_requests":false,
		"request_parameter_supported":true, "request_uri_parameter_supported":true, "require_request_uri_registration":true,
		"request_object_signing_alg_values_supported":["RS256"], "require_signed_request_object":false,
		"device_authorization_endpoint":"http://10.0.0.5:9000/o/device",
		"backchannel_authentication_endpoint":"http://10.0.0.5:9000/o/ciba", "backchannel_token_delivery_modes_supported":["poll"],
		"response_types_supported":["code","token","code id_token"], "response_modes_supported":["query","fragment","form_post","query.jwt"],
		"grant_types_supported":["authorization_code","implicit","refresh_token","password","client_credentials","urn:ietf:params:oauth:grant-type:device_code","urn:openid:params:grant-type:ciba"],
		"mtls_endpoint_aliases":{"token_endpoint":"https://mtls.example/token","pushed_authorization_request_endpoint":"https://mtls.example/par","device_authorization_endpoint":"https://mtls.example/device"}
	}`))
	if err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]string{
		"pushed_authorization_request_endpoint": "", "require_pushed_authorization_requests": "", "require_signed_request_object": "",
		"require_request_uri_registration": "", "request_object_signing_alg_values_supported": "", "device_authorization_endpoint": "",
		"backchannel_authentication_endpoint": "", "backchannel_token_delivery_modes_supported": "",
		"request_parameter_supported": "false", "request_uri_parameter_supported": "false",
		"response_types_supported": `["code"]`, "response_modes_supported": `["query"]`,
		"grant_types_supported": `["authorization_code","refresh_token","client_credentials"]`,
		"mtls_endpoint_aliases": `{"token_endpoint":"https://mtls.example/token"}`,
	} {
		value, present := got[field]
		b, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if present != (want != "") || present && string(b) != want {
			t.Errorf("%s is %s, want %s", field, b, want)
		}
	}
	// Without the field, OpenID Connect has request_uri supported.
	if got, err := m.Apply(discovered(t, `{}`)); err != nil || got["request_uri_parameter_supported"] != false {
		t.Errorf("request_uri_parameter_supported is %v, %v, want false", got["request_uri_parameter_supported"], err)
	}
	for _, set := range []map[string]any{
		{"pushed_authorization_request_endpoint": "https://auth.example/par"},
		{"request_uri_parameter_supported": true},
		{"request_parameter_supported": true},
		{"device_authorization_endpoint": "https://auth.example/device"},
		{"require_pushed_authorization_requests": false},
	} {
		m := repair.Metadata{Set: set}
		if m.Check() == nil {
			t.Errorf("%v can be set", set)
		}
	}
	if err := (&repair.Metadata{Set: map[string]any{"request_uri_parameter_supported": false, "jwks_uri": "https://auth.example/jwks"}}).Check(); err != nil {
		t.Error(err)
	}
}

// Clients refuse a whole answer for a member that is empty or null.
func TestRegistration(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ in, want string }{
		"empty, null, of another type": {
			`{"client_id":"c","client_secret":"","client_uri":"","logo_uri":null,"scope":null,"grant_types":null,"contacts":[],"client_name":7,"redirect_uris":"x","response_types":["code",""],"client_secret_expires_at":null}`,
			`{"client_id":"c","redirect_uris":["https://a.example/cb"],"response_types":["code"],"token_endpoint_auth_method":"none"}`,
		},
		"a secret that expires nobody knows when": {
			`{"client_id":"c","client_secret":"s","token_endpoint_auth_method":"client_secret_post","redirect_uris":["https://a.example/cb"]}`,
			`{"client_id":"c","client_secret":"s","client_secret_expires_at":0,"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"client_secret_post"}`,
		},
		"null": {
			`{"client_id":"c","client_secret":"s","client_secret_expires_at":null,"client_id_issued_at":null}`,
			`{"client_id":"c","client_secret":"s","client_secret_expires_at":0,"redirect_uris":["https://a.example/cb"]}`,
		},
		"texts and negative numbers": {
			`{"client_id":"c","client_secret":"s","client_secret_expires_at":-1,"client_id_issued_at":"1700000000"}`,
			`{"client_id":"c","client_id_issued_at":1700000000,"client_secret":"s","client_secret_expires_at":0,"redirect_uris":["https://a.example/cb"]}`,
		},
		"an expiry": {
			`{"client_id":"c","client_secret":"s","client_secret_expires_at":1900000000}`,
			`{"client_id":"c","client_secret":"s","client_secret_expires_at":1900000000,"redirect_uris":["https://a.example/cb"]}`,
		},
		"a method without a secret": {
			`{"client_id":"c","token_endpoint_auth_method":"client_secret_basic"}`,
			`{"client_id":"c","redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"none"}`,
		},
		"the way to change the client": {
			`{"client_id":"c","registration_access_token":"t","registration_client_uri":"https://auth.example/reg/c","jwks_uri":"http://169.254.169.254/","x":1}`,
			`{"client_id":"c","redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"none"}`,
		},
	} {
		var in map[string]any
		if err := json.Unmarshal([]byte(test.in), &in); err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(repair.Registration(in, []string{"https://a.example/cb"}))
		if err != nil || string(b) != test.want {
			t.Errorf("%s: got %s, %v, want %s", name, b, err, test.want)
		}
	}
}
