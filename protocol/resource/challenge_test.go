package resource_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
)

func TestChallenge(t *testing.T) {
	t.Parallel()
	const metadata = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp"
	tests := []struct {
		name string
		c    resource.Challenge
		want string
	}{
		{"empty", resource.Challenge{}, `Bearer`},
		{"no credentials", resource.Challenge{MetadataURL: metadata}, `Bearer resource_metadata="` + metadata + `"`},
		{"no credentials, scopes", resource.Challenge{MetadataURL: metadata, Scopes: []string{"read", "write"}}, `Bearer resource_metadata="` + metadata + `", scope="read write"`},
		{"bad token", resource.Challenge{MetadataURL: metadata, Error: "invalid_token", Description: "The token has expired."}, `Bearer error="invalid_token", error_description="The token has expired.", resource_metadata="` + metadata + `"`},
		{"step up", resource.Challenge{MetadataURL: metadata, Error: "insufficient_scope", Scopes: []string{"a:b", "c/d"}}, `Bearer error="insufficient_scope", resource_metadata="` + metadata + `", scope="a:b c/d"`},
		{"proofs accepted", resource.Challenge{MetadataURL: metadata, DPoP: &resource.DPoPChallenge{Algorithms: []string{"ES256", "PS256"}}}, `Bearer resource_metadata="` + metadata + `", DPoP algs="ES256 PS256"`},
		{
			"bad proof",
			resource.Challenge{MetadataURL: metadata, Scopes: []string{"read"}, DPoP: &resource.DPoPChallenge{Error: "invalid_dpop_proof", Description: "The proof is bad.", Algorithms: []string{"ES256"}}},
			`Bearer resource_metadata="` + metadata + `", scope="read", DPoP error="invalid_dpop_proof", error_description="The proof is bad.", algs="ES256"`,
		},
		{"quotes", resource.Challenge{Description: `say "friend", error="none"`}, `Bearer error_description="say friend, error=none"`},
		{"backslash", resource.Challenge{Description: `a\`, Scopes: []string{`b\"c`}}, `Bearer error_description="a", scope="bc"`},
		{"line breaks", resource.Challenge{Description: "a\r\nX-Admin: 1\x00"}, `Bearer error_description="aX-Admin: 1"`},
		{"not ASCII", resource.Challenge{Description: "Zoë\u2028", Error: "\xff"}, `Bearer error="", error_description="Zo"`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := tc.c.String(); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// A challenge as RFC 9110, section 11.6.1 has it, narrowed to what the clients'
// regular expressions understand.
var (
	challengeForm  = regexp.MustCompile(`^Bearer( [a-z_]+="[ !#-\[\]-~]*"(, [a-z_]+="[ !#-\[\]-~]*")*)?$`)
	challengeParam = regexp.MustCompile(`([a-z_]+)="([^"]*)"`)
)

func FuzzChallenge(f *testing.F) {
	f.Add("https://mcp.example.com/.well-known/oauth-protected-resource", "read write", "invalid_token", "The token has expired.")
	f.Add("", "", "", "")
	f.Add(`"`, `\`, "\r\nSet-Cookie: a=b", `", error="x`)
	f.Add("ä", "\xff", "\x00", "\u2028")
	f.Fuzz(func(t *testing.T, metadata, scopes, code, description string) {
		c := resource.Challenge{MetadataURL: metadata, Scopes: strings.Split(scopes, " "), Error: code, Description: description}
		got := c.String()
		if !challengeForm.MatchString(got) {
			t.Fatalf("%#v: got %q, want a well-formed challenge", c, got)
		}
		seen := make(map[string]string)
		for _, param := range challengeParam.FindAllStringSubmatch(got, -1) {
			if _, twice := seen[param[1]]; twice {
				t.Errorf("%#v: got parameter %s twice in %q", c, param[1], got)
			}
			seen[param[1]] = param[2]
		}
		for name, value := range map[string]string{"resource_metadata": metadata, "scope": scopes, "error": code, "error_description": description} {
			harmless := !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' })
			if harmless && seen[name] != value {
				t.Errorf("%#v: got %s %q, want %q", c, name, seen[name], value)
			}
		}
	})
}
