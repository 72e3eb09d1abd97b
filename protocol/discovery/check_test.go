package discovery_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
)

const checkedIssuer = "https://auth.example.com"

// goodDocument has all that clients need.
func goodDocument() map[string]any {
	return map[string]any{
		"issuer":                                         checkedIssuer,
		"authorization_endpoint":                         "https://auth.example.com/authorize",
		"token_endpoint":                                 "https://auth.example.com/token",
		"registration_endpoint":                          "https://auth.example.com/register",
		"response_types_supported":                       []string{"code"},
		"grant_types_supported":                          []string{"authorization_code"},
		"code_challenge_methods_supported":               []string{"S256"},
		"scopes_supported":                               []string{"read"},
		"authorization_response_iss_parameter_supported": true,
		"client_id_metadata_document_supported":          true,
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	type set = map[string]any
	tests := []struct {
		name   string
		change set // nil removes a field
		want   []string
	}{
		{"all there", nil, nil},
		{"grant types absent mean authorization_code", set{"grant_types_supported": nil}, nil},
		{"no issuer", set{"issuer": nil}, []string{"error invalid_server_metadata"}},
		{"no authorization endpoint", set{"authorization_endpoint": nil}, []string{"error invalid_server_metadata"}},
		{"no token endpoint", set{"token_endpoint": nil}, []string{"error invalid_server_metadata"}},
		{"no response types", set{"response_types_supported": nil}, []string{"error invalid_server_metadata"}},
		{"response types not a list", set{"response_types_supported": 1}, []string{"error invalid_server_metadata"}},
		{"a number in a list", set{"grant_types_supported": []any{"authorization_code", 1}}, []string{"error invalid_server_metadata"}},
		{"token endpoint in the clear", set{"token_endpoint": "http://auth.example.com/token"}, []string{"error invalid_server_metadata"}},
		{"registration endpoint not a URL", set{"registration_endpoint": "/register"}, []string{"error invalid_server_metadata"}},
		{"another issuer", set{"issuer": "https://auth.example.org"}, []string{"error issuer_mismatch"}},
		{"an issuer with a slash", set{"issuer": checkedIssuer + "/"}, []string{"error issuer_mismatch"}},
		{"implicit only", set{"response_types_supported": []string{"token"}}, []string{"error code_response_type_not_supported"}},
		{"hybrid only", set{"response_types_supported": []string{"code id_token"}}, []string{"error code_response_type_not_supported"}},
		{"client credentials only", set{"grant_types_supported": []string{"client_credentials"}}, []string{"error authorization_code_grant_not_supported"}},
		{"no grant types", set{"grant_types_supported": []string{}}, []string{"error authorization_code_grant_not_supported"}},
		{"no PKCE", set{"code_challenge_methods_supported": nil}, []string{"error pkce_not_supported"}},
		{"no PKCE methods", set{"code_challenge_methods_supported": []string{}}, []string{"error pkce_not_supported"}},
		{"plain only", set{"code_challenge_methods_supported": []string{"plain"}}, []string{"error s256_code_challenge_method_not_supported"}},
		{"PKCE as a text", set{"code_challenge_methods_supported": "S256"}, []string{"error invalid_server_metadata"}},
		{"a flag as a text", set{"authorization_response_iss_parameter_supported": "true"}, []string{"error invalid_server_metadata"}},
		{"a list of another field as a text", set{"token_endpoint_auth_methods_supported": "none"}, []string{"error invalid_server_metadata"}},
		{"an extension of any type", set{"x_example": 5}, nil},
		{"no registration, but metadata documents", set{"registration_endpoint": nil}, nil},
		{"neither", set{"registration_endpoint": nil, "client_id_metadata_document_supported": nil}, []string{"warning dynamic_registration_not_supported"}},
		{"no metadata documents", set{"client_id_metadata_document_supported": false}, nil},
		{"no iss", set{"authorization_response_iss_parameter_supported": nil}, []string{"warning iss_parameter_not_supported"}},
		{"no scopes", set{"scopes_supported": nil}, nil},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			doc := goodDocument()
			maps.Copy(doc, tc.change)
			maps.DeleteFunc(doc, func(_ string, v any) bool { return v == nil })
			body, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			m, err := discovery.ReadMetadata(body)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range m.Check(checkedIssuer) {
				if (f.Cure == "") != (f.Level == discovery.OK) {
					t.Errorf("%s %s: got the cure %q", f.Level, f.Code, f.Cure)
				}
				if f.Level != discovery.OK {
					got = append(got, string(f.Level)+" "+f.Code)
				}
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// The codes of mcp-auth, for a server that has everything.
func TestCheckSuccesses(t *testing.T) {
	t.Parallel()
	body, err := json.Marshal(goodDocument())
	if err != nil {
		t.Fatal(err)
	}
	m, err := discovery.ReadMetadata(body)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range m.Check(checkedIssuer) {
		got = append(got, f.Code)
	}
	for _, want := range []string{
		"server_metadata_valid", "code_response_type_supported", "authorization_code_grant_supported",
		"pkce_supported", "s256_code_challenge_method_supported", "dynamic_registration_supported",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("got %q, want %s among them", got, want)
		}
	}
}

func TestReadMetadataErrors(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "null", "[]", `"a"`, "<!DOCTYPE html>", `{"issuer":"a","issuer":"b"}`, "{} {}"} {
		if m, err := discovery.ReadMetadata([]byte(body)); err == nil {
			t.Errorf("%q: got %v, want an error", body, m)
		}
	}
}

// What a server says can't draw on an operator's terminal.
func TestQuote(t *testing.T) {
	t.Parallel()
	got := discovery.Quote("a\x1b[2J\u202e\n" + strings.Repeat("é", 500))
	if strings.ContainsAny(got, "\x1b\u202e\n") || len(got) > 1000 {
		t.Errorf("got %q", got)
	}
}

// Findings are for metadata that is new or has changed.
func TestOnMetadata(t *testing.T) {
	t.Parallel()
	server := oauthtest.New(t, oauthtest.Options{})
	now := time.Now()
	told := make(chan *discovery.Metadata, 10)
	iss, err := discovery.New(discovery.Config{
		Issuer:     server.Issuer(),
		Metadata:   map[string]any{"x_by_hand": "yes"},
		OnMetadata: func(m *discovery.Metadata) { told <- m },
		Now:        func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(iss.Close)
	fetch := func() {
		t.Helper()
		now = now.Add(48 * time.Hour) // longer than metadata is usable
		if _, err := iss.Metadata(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	server.SetFault(oauthtest.Metadata, oauthtest.Status(500))
	if _, err := iss.Metadata(t.Context()); err == nil {
		t.Fatal("got no error")
	}
	if len(told) != 0 {
		t.Fatal("told of metadata that there isn't")
	}
	server.SetFault(oauthtest.Metadata, nil)
	fetch()
	fetch()
	if len(told) != 1 {
		t.Fatalf("told %d times, want once", len(told))
	}
	if got := (<-told).Text("x_by_hand"); got != "yes" {
		t.Errorf("got %q, want the field set by hand", got)
	}
	server.SetFault(oauthtest.Metadata, oauthtest.Rewrite(map[string]any{"x": "new"}))
	fetch()
	if len(told) != 1 {
		t.Errorf("told %d times of the change, want once", len(told))
	}
}
