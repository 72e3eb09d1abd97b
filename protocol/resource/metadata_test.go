package resource_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
)

func TestParseField(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		words []string
		want  any
	}{
		{"jwks_uri", []string{"https://h/jwks"}, "https://h/jwks"},
		{"bearer_methods_supported", []string{"header"}, []string{"header"}},
		{"resource_signing_alg_values_supported", []string{"RS256", "ES256"}, []string{"RS256", "ES256"}},
		{"resource_name", []string{"My tools"}, "My tools"},
		{"resource_name#fr", []string{"Mes outils"}, "Mes outils"},
		{"resource_name#ja-Kana-JP", []string{"ツール"}, "ツール"},
		{"resource_name", []string{"true"}, "true"},
		{"resource_documentation", []string{"https://h/docs?a=b#c"}, "https://h/docs?a=b#c"},
		{"resource_documentation#de", []string{"https://h/de"}, "https://h/de"},
		{"resource_policy_uri", []string{"https://h/policy"}, "https://h/policy"},
		{"resource_tos_uri", []string{"https://h/tos"}, "https://h/tos"},
		{"authorization_details_types_supported", []string{"payment"}, []string{"payment"}},
		{"signed_metadata", []string{"eyJ.e30.x"}, "eyJ.e30.x"},
		{"x_contact", []string{"ops@example.com"}, "ops@example.com"},
		{"x_flag", []string{"true"}, "true"},
		{"x_list", []string{"a", "b"}, []string{"a", "b"}},
	}
	for _, tc := range tests {
		t.Run(tc.name+" "+tc.words[0], func(t *testing.T) {
			t.Parallel()
			got, err := resource.ParseField(tc.name, tc.words)
			if err != nil || !reflect.DeepEqual(got, tc.want) {
				t.Fatalf("got %#v (%v), want %#v", got, err, tc.want)
			}
			if err := resource.CheckField(tc.name, got); err != nil {
				t.Errorf("CheckField(%#v): got %v, want no error", got, err)
			}
		})
	}
}

func TestParseFieldErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		what, name string
		words      []string
		want       string
	}{
		{"resource", "resource", []string{"https://h"}, "it is the resource itself"},
		{"resource in a language", "resource#fr", []string{"https://h"}, "it is the resource itself"},
		{"authorization_servers", "authorization_servers", []string{"https://h"}, "it follows from the issuers"},
		{"scopes_supported", "scopes_supported", []string{"read"}, "use scopes_supported on its own"},
		{"no value", "resource_name", nil, "needs a value"},
		{"empty value", "resource_name", []string{""}, "needs a value"},
		{"empty value in a list", "bearer_methods_supported", []string{"header", ""}, "needs a value"},
		{"no name", "", []string{"a"}, "needs a value"},
		{"no name, two words", "", []string{"a", "b"}, "needs a value"},
		{"two words for a text", "resource_name", []string{"My", "tools"}, "quote it"},
		{"two words for a URL", "jwks_uri", []string{"https://h/a", "https://h/b"}, "takes one value"},
		{"algorithms of proofs", "dpop_signing_alg_values_supported", []string{"ES256"}, "it follows from dpop"},
		{"proofs required", "dpop_bound_access_tokens_required", []string{"true"}, "it follows from dpop"},
		{"certificates", "tls_client_certificate_bound_access_tokens", []string{"true"}, "it follows from client_certificates"},
		{"relative URL", "resource_documentation", []string{"/docs"}, "absolute https URL"},
		{"other scheme", "resource_policy_uri", []string{"javascript:alert(1)"}, "absolute https URL"},
		{"no URL", "resource_tos_uri", []string{"tos"}, "absolute https URL"},
	}
	for _, tc := range tests {
		t.Run(tc.what, func(t *testing.T) {
			t.Parallel()
			if got, err := resource.ParseField(tc.name, tc.words); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %#v (%v), want an error with %q", got, err, tc.want)
			}
		})
	}
}

// What comes from JSON has types of its own.
func TestCheckField(t *testing.T) {
	t.Parallel()
	tests := []struct {
		what, name string
		value      any
		want       string // part of the error; empty: none
	}{
		{"text", "resource_name", "x", ""},
		{"list", "bearer_methods_supported", []any{"header"}, ""},
		{"empty list", "bearer_methods_supported", []any{}, ""},
		{"extension object", "x_contact", map[string]any{"a": 1.0}, ""},
		{"extension number", "x_n", 1.0, ""},
		{"extension list", "x_l", []any{1.0, "a"}, ""},
		{"text is a number", "resource_name", 1.0, "must be a string"},
		{"text in a language is a list", "resource_name#fr", []any{"a"}, "must be a string"},
		{"URL is a list", "jwks_uri", []any{"https://h/jwks"}, "absolute https URL"},
		{"URL is a flag", "resource_documentation", true, "absolute https URL"},
		{"proofs required", "dpop_bound_access_tokens_required", false, "it follows from dpop"},
		{"certificates", "tls_client_certificate_bound_access_tokens", true, "it follows from client_certificates"},
		{"list is a text", "bearer_methods_supported", "header", "list of strings"},
		{"list with a number", "resource_signing_alg_values_supported", []any{"ES256", 1.0}, "list of strings"},
		{"null", "resource_name", nil, "needs a value"},
		{"null extension", "x", nil, "needs a value"},
		{"empty", "x", "", "needs a value"},
		{"no name", "", "a", "needs a value"},
		{"reserved", "resource", "https://h", "it is the resource itself"},
		{"reserved in a language", "scopes_supported#fr", []any{"a"}, "cannot be set"},
	}
	for _, tc := range tests {
		t.Run(tc.what, func(t *testing.T) {
			t.Parallel()
			err := resource.CheckField(tc.name, tc.value)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want an error with %q (empty: none)", err, tc.want)
			}
		})
	}
}

func TestMetadataJSON(t *testing.T) {
	t.Parallel()
	id, err := resource.Parse("https://MCP.example.com/mcp/")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		m    resource.Metadata
		want string
	}{
		{
			"least",
			resource.Metadata{Resource: id, AuthorizationServers: []string{"https://as.example"}},
			`{"authorization_servers":["https://as.example"],"bearer_methods_supported":["header"],"resource":"https://MCP.example.com/mcp/"}`,
		},
		{
			"scopes and fields",
			resource.Metadata{
				Resource: id, AuthorizationServers: []string{"https://b.example", "https://a.example/oidc"}, ScopesSupported: []string{"write", "read"},
				Fields: map[string]any{"resource_name": "Tools", "resource_name#fr": "Outils", "bearer_methods_supported": []string{}},
			},
			`{"authorization_servers":["https://b.example","https://a.example/oidc"],"bearer_methods_supported":[],"resource":"https://MCP.example.com/mcp/","resource_name":"Tools","resource_name#fr":"Outils","scopes_supported":["write","read"]}`,
		},
		{
			"bound tokens",
			resource.Metadata{Resource: id, AuthorizationServers: []string{"https://as.example"}, ProofAlgorithms: []string{"ES256"}, ProofsRequired: true, CertificateBound: true},
			`{"authorization_servers":["https://as.example"],"bearer_methods_supported":["header"],"dpop_bound_access_tokens_required":true,"dpop_signing_alg_values_supported":["ES256"],"resource":"https://MCP.example.com/mcp/","tls_client_certificate_bound_access_tokens":true}`,
		},
		{
			"fields don't override what follows from elsewhere",
			resource.Metadata{
				Resource: id, AuthorizationServers: []string{"https://as.example"},
				Fields: map[string]any{"resource": "https://evil.example", "authorization_servers": []string{"https://evil.example"}},
			},
			`{"authorization_servers":["https://as.example"],"bearer_methods_supported":["header"],"resource":"https://MCP.example.com/mcp/"}`,
		},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := tc.m.JSON()
			if err != nil || string(got) != tc.want {
				t.Errorf("got  %s (%v)\nwant %s", got, err, tc.want)
			}
		})
	}
}

func TestMetadataJSONEscapes(t *testing.T) {
	t.Parallel()
	id, err := resource.Parse("https://mcp.example.com/mcp")
	if err != nil {
		t.Fatal(err)
	}
	name := "</script><script>\u2028 \" \\"
	got, err := resource.Metadata{Resource: id, Fields: map[string]any{"resource_name": name}}.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(string(got), "<>") {
		t.Errorf("got %s, want nothing in it that HTML would take for its own", got)
	}
	var back map[string]any
	if err := json.Unmarshal(got, &back); err != nil || back["resource_name"] != name {
		t.Errorf("got back %q (%v), want %q", back["resource_name"], err, name)
	}
}
