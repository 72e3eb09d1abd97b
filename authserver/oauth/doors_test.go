package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
)

// needs is a door whose every request needs the scopes.
func needs(audience string, scopes ...string) Door {
	return Door{Resource: audience, Scopes: scopes, Admits: func(granted []string) bool {
		return !slices.ContainsFunc(scopes, func(scope string) bool { return !slices.Contains(granted, scope) })
	}}
}

// A refresh that can't bring a token of use sends the client to sign in again;
// every other one works as ever.
func TestRefreshingOfUselessTokens(t *testing.T) {
	t.Parallel()
	const other = "https://as.example/other"
	for _, test := range []struct {
		name    string
		doors   []Door
		granted string
		change  func(*Config)
		want    string // error
	}{
		{"no door is known", nil, "read", nil, ""},
		{"a door that needs nothing", []Door{needs(testResource)}, "read", nil, ""},
		{"it has what is needed", []Door{needs(testResource, "read")}, "read", nil, ""},
		{"it has more", []Door{needs(testResource, "read")}, "read write", nil, ""},
		{"it lacks what is needed", []Door{needs(testResource, "write")}, "read", nil, "invalid_grant"},
		{"it lacks a part", []Door{needs(testResource, "read", "write")}, "read", nil, "invalid_grant"},
		{"a door with a slash", []Door{needs(testResource+"/", "write")}, "read", nil, "invalid_grant"},
		{"another resource needs it", []Door{needs(other, "write")}, "read", nil, ""},
		{"one of two doors lets it in", []Door{needs(testResource, "write"), needs(testResource, "read")}, "read", nil, ""},
		{"neither of two doors does", []Door{needs(testResource, "write"), needs(testResource, "admin")}, "read", nil, "invalid_grant"},
		{"signing in would not help: the client may not have it", []Door{needs(testResource, "write")}, "read", func(c *Config) { c.Clients[0].Scopes = []string{"read"} }, ""},
		{"signing in would not help: nobody may have it", []Door{needs(testResource, "root")}, "read", nil, ""},
		{"a broader scope counts", []Door{{Resource: testResource, Admits: func(granted []string) bool {
			return slices.Contains(granted, "write") || slices.Contains(granted, "read")
		}}}, "write", nil, ""},
	} {
		f := newFixture(t, func(c *Config) {
			c.Resources = append(c.Resources, other)
			c.Scopes = append(c.Scopes, Scope{Name: "admin"})
			c.Doors = func() []Door { return slices.Clone(test.doors) }
			if test.change != nil {
				test.change(c)
			}
		})
		form := redeemForm(f.code("scope", test.granted, "resource", testResource))
		tokens := post(t, f.Server, TokenPath, form)
		if tokens.status != 200 {
			// What the user has just granted is given, of use or not.
			t.Errorf("%s: redeeming: %d %s", test.name, tokens.status, tokens.body)
			continue
		}
		got := post(t, f.Server, TokenPath, refreshForm(tokens.Refresh))
		if got.Error != test.want {
			t.Errorf("%s: got %d %s, want %q", test.name, got.status, got.body, test.want)
		}
		// Asking for fewer scopes than there are is no reason.
		if test.want == "" && strings.Contains(test.granted, " ") {
			form := refreshForm(got.Refresh)
			form.Set("scope", "write")
			if got := post(t, f.Server, TokenPath, form); got.Scope != "write" {
				t.Errorf("%s: asking for fewer: %d %s", test.name, got.status, got.body)
			}
		}
	}
}

// The metadata lists what is needed; the rest can be had all the same.
func TestMetadata(t *testing.T) {
	t.Parallel()
	const other = "https://as.example/other"
	metadata := func(s *Server, path string) (m map[string]any) {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, testIssuer+path, nil))
		if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil || w.Code != 200 {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
		return m
	}
	for _, test := range []struct {
		name      string
		resources []string
		doors     []Door
		want      string
	}{
		{"no door is known", []string{testResource}, nil, "read write admin"},
		{"one", []string{testResource}, []Door{needs(testResource, "write")}, "write"},
		{"in the server's order", []string{testResource}, []Door{needs(testResource, "admin", "read")}, "read admin"},
		{"two of one resource", []string{testResource}, []Door{needs(testResource, "read"), needs(testResource, "write")}, "read write"},
		{"of each resource", []string{testResource, other}, []Door{needs(testResource, "read"), needs(other+"/", "admin")}, "read admin"},
		{"one resource is elsewhere", []string{testResource, other}, []Door{needs(testResource, "read")}, "read write admin"},
		{"of another server's resource", []string{testResource}, []Door{needs(testResource, "read"), needs("https://elsewhere.example/mcp", "write")}, "read"},
		{"nothing needed", []string{testResource}, []Door{needs(testResource)}, "read"},
		{"what nobody may have", []string{testResource}, []Door{needs(testResource, "root", "write")}, "write"},
		{"only what nobody may have", []string{testResource}, []Door{needs(testResource, "root")}, "read"},
	} {
		f := newFixture(t, func(c *Config) {
			c.Resources = test.resources
			c.Scopes = append(c.Scopes, Scope{Name: "admin"})
			c.Doors = func() []Door { return slices.Clone(test.doors) }
		})
		for _, path := range f.MetadataPaths() {
			var got []string
			for _, name := range metadata(f.Server, path)["scopes_supported"].([]any) {
				got = append(got, name.(string))
			}
			if want := append(strings.Fields(test.want), OfflineAccess); !slices.Equal(got, want) {
				t.Errorf("%s: %s lists %q, want %q", test.name, path, got, want)
			}
		}
		if a, _, err := f.Authorize(t.Context(), testQuery("scope", "read write admin", "resource", testResource).Encode()); err != nil || len(a.Scopes) != 3 {
			t.Errorf("%s: asking for the rest: %+v, %v", test.name, a, err)
		}
	}
}

// What is advertised works, and what doesn't work isn't advertised.
func TestMetadataIsTrue(t *testing.T) {
	t.Parallel()
	document := func(change func(*Config)) map[string]any {
		f := newFixture(t, change)
		b, err := f.metadata()
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	has := func(list any, value string) bool {
		values, _ := list.([]any)
		return slices.Contains(values, any(value))
	}
	full := document(func(c *Config) {
		c.Clients[1].ClientCredentials = true
		c.Documents = published{}
	})
	bare := document(func(c *Config) {
		c.Clients = c.Clients[:2]
		c.Documents = published{}
		c.Registration.Off = true
	})
	for _, m := range []map[string]any{full, bare} {
		for _, name := range []string{
			"pushed_authorization_request_endpoint", "userinfo_endpoint", "end_session_endpoint", "device_authorization_endpoint",
			"dpop_signing_alg_values_supported", "claims_supported", "acr_values_supported",
		} {
			if _, ok := m[name]; ok {
				t.Errorf("it advertises %s", name)
			}
		}
		if m["request_uri_parameter_supported"] != false {
			// OpenID Connect Discovery, section 3: left out means true.
			t.Error("it says by silence that request_uri is supported")
		}
	}
	if !has(full["grant_types_supported"], clientCredentials) || full["introspection_endpoint"] == nil || full["registration_endpoint"] == nil || full["client_id_metadata_document_supported"] != true {
		t.Errorf("what works is not advertised: %v", full)
	}
	if has(bare["grant_types_supported"], clientCredentials) || bare["introspection_endpoint"] != nil || bare["registration_endpoint"] != nil || bare["client_id_metadata_document_supported"] != nil {
		t.Errorf("what doesn't work is advertised: %v", bare)
	}
	// No client could revoke by a secret if none has one.
	public := document(func(c *Config) { c.Clients = c.Clients[:1]; c.Registration.Off = true })
	if has(public["token_endpoint_auth_methods_supported"], methodBasic) || has(public["revocation_endpoint_auth_methods_supported"], methodPost) {
		t.Errorf("secrets are advertised, and no client has one: %v", public)
	}
}

// cutOff are documents that no network leads to.
type cutOff struct{ published }

func (cutOff) Reachable() bool { return false }

func (cutOff) Fetch(context.Context, string) ([]byte, error) {
	return nil, &outbound.UnavailableError{Err: errors.New("no route")}
}

// Where documents can't be fetched they aren't advertised, and a client that comes
// with one is told what is out of reach.
func TestDocumentsOutOfReach(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.Documents = cutOff{} })
	if b, err := f.metadata(); err != nil || strings.Contains(string(b), "client_id_metadata_document_supported") || !strings.Contains(string(b), RegisterPath) {
		t.Errorf("the metadata says %s, %v", b, err)
	}
	_, _, err := f.Authorize(t.Context(), testQuery("client_id", testDocument).Encode())
	refused, _ := errors.AsType[*AuthorizationError](err)
	if refused == nil || refused.RedirectTo != "" || refused.Err.Status != 503 || refused.Err.Unreachable != "tool.example" {
		t.Errorf("got %v, want 503 that names the host", err)
	}
	if got := ask(t, f.Server, RegisterPath, "application/json", `{"redirect_uris":["`+testRedirect+`"]}`); got.status != 201 {
		t.Errorf("registering: %d %s", got.status, got.body)
	}
}
