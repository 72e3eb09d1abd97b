package discovery_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
)

func TestParseField(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		words string
		want  any // nil: an error
		cure  string
	}{
		{"code_challenge_methods_supported", "S256", []string{"S256"}, ""},
		{"scopes_supported", "a b", []string{"a", "b"}, ""},
		{"prompt_values_supported", "none", []string{"none"}, ""},
		{"x_methods_supported", "one", []string{"one"}, ""},
		{"authorization_response_iss_parameter_supported", "true", true, ""},
		{"client_id_metadata_document_supported", "false", false, ""},
		{"request_parameter_supported", "false", false, ""},
		{"require_pushed_authorization_requests", "false", false, ""},
		{"backchannel_logout_supported", "true", true, ""},
		{"token_endpoint", "https://auth.example.com/token", "https://auth.example.com/token", ""},
		{"token_endpoint", "{env.TOKEN_ENDPOINT}", "{env.TOKEN_ENDPOINT}", ""},
		{"service_documentation", "https://auth.example.com/docs", "https://auth.example.com/docs", ""},
		{"x_text", "a", "a", ""},
		{"x_flag", "true", true, ""},
		{"x_list", "a b", []string{"a", "b"}, ""},

		{"token_endpoint", "/token", nil, "absolute URL"},
		{"token_endpoint", "https://a.example/token https://b.example/token", nil, "takes one value"},
		{"client_id_metadata_document_supported", "yes", nil, "true or false"},
		{"authorization_response_iss_parameter_supported", "1", nil, "true or false"},
		{"issuer", "https://auth.example.com", nil, "it is the issuer itself"},
		{"", "a", nil, "needs a value"},
		{"scopes_supported", "", nil, "needs a value"},
	}
	for _, tc := range tests {
		t.Run(tc.name+" "+tc.words, func(t *testing.T) {
			t.Parallel()
			got, err := discovery.ParseField(tc.name, strings.Fields(tc.words))
			if tc.want == nil {
				if err == nil || !strings.Contains(err.Error(), tc.cure) {
					t.Fatalf("got %v, %v, want an error with %q", got, err, tc.cure)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %#v, %v, want %#v", got, err, tc.want)
			}
		})
	}
}

// A configuration in JSON may have a text where the field is a list or a flag: what
// is served has the field's type all the same.
func TestFieldValue(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ field, value, want string }{
		"text for a list":    {"code_challenge_methods_supported", `"S256"`, `["S256"]`},
		"text for a flag":    {"client_id_metadata_document_supported", `"true"`, `true`},
		"as it should be":    {"grant_types_supported", `["authorization_code"]`, `["authorization_code"]`},
		"extension":          {"x", `{"a":1}`, `{"a":1}`},
		"null":               {"scopes_supported", `null`, ``},
		"number":             {"scopes_supported", `1`, ``},
		"list of numbers":    {"scopes_supported", `[1]`, ``},
		"empty list":         {"scopes_supported", `[]`, ``},
		"empty element":      {"scopes_supported", `[""]`, ``},
		"number for a flag":  {"client_id_metadata_document_supported", `1`, ``},
		"flag for an URL":    {"token_endpoint", `true`, ``},
		"list for a text":    {"signed_metadata", `["a"]`, ``},
		"list for a link":    {"op_tos_uri", `["https://a.example"]`, ``},
		"empty":              {"service_documentation", `""`, ``},
		"issuer":             {"issuer", `"https://auth.example.com"`, ``},
		"relative jwks_uri":  {"jwks_uri", `"/jwks"`, ``},
		"unknown, and empty": {"x", `""`, ``},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var value any
			if err := json.Unmarshal([]byte(tc.value), &value); err != nil {
				t.Fatal(err)
			}
			got, err := discovery.FieldValue(tc.field, value)
			if tc.want == "" {
				if err == nil {
					t.Errorf("got %#v, want an error", got)
				}
				return
			}
			text, errJSON := json.Marshal(got)
			if err != nil || errJSON != nil || string(text) != tc.want {
				t.Errorf("got %s, %v, %v, want %s", text, err, errJSON, tc.want)
			}
		})
	}
}
