package repair_test

import (
	"encoding/json"
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
		"rewritten issuer that sends iss": {`{"authorization_response_iss_parameter_supported":true}`, "mcp_auth_facade http://10.0.0.5:9000/o"},
		"no authorization endpoint":       {`{"authorization_endpoint":null}`, "metadata authorization_endpoint"},
		"token endpoint of another type":  {`{"token_endpoint":7}`, "metadata token_endpoint"},
		"no PKCE":                         {`{"code_challenge_methods_supported":null}`, "code_challenge_methods_supported S256"},
		"PKCE plain":                      {`{"code_challenge_methods_supported":["plain"]}`, "code_challenge_methods_supported S256"},
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
	} {
		if bad.Check() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzCheckPKCE(f *testing.F) {
	f.Add("response_type=code&code_challenge=x&code_challenge_method=S256")
	f.Add("response_type=code&code_challenge=x&code_challenge_method=S256&code_challenge_method=plain")
	f.Add("response_type=code&code_challenge=x&code_challenge_method=plain&request=y")
	f.Fuzz(func(t *testing.T, query string) {
		parameters, err := url.ParseQuery(query)
		if err != nil || repair.CheckPKCE(parameters) != nil {
			return
		}
		for name, want := range map[string]string{"response_type": "code", "code_challenge_method": "S256"} {
			if len(parameters[name]) != 1 || parameters.Get(name) != want {
				t.Errorf("%q passes", query)
			}
		}
		if parameters.Get("code_challenge") == "" || parameters.Has("request") {
			t.Errorf("%q passes", query)
		}
	})
}
