package token_test

import (
	"maps"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

const claimSet = `{
	"name": "Zo\u00eb \"Z\" {env.SECRET}",
	"groups": ["a", "b,c"],
	"empty": [],
	"mixed": ["a", 1],
	"n": 1.50,
	"big": 12345678901234567890,
	"yes": true,
	"null": null,
	"blank": "",
	"realm_access": {
		"roles": ["user", "admin"],
		"deep": {"er": "value"},
		"null": null
	},
	"realm_access.roles": "whole",
	"a": {"b": {"c": 1}, "b.c": 2},
	"a.b": {"d": 3},
	"https://example.com/claims.tenant": "t1"
}`

func TestClaimText(t *testing.T) {
	t.Parallel()
	tok := token.New(token.Token{}, []byte(claimSet))
	for name, want := range map[string]string{
		"name":                               `Zoë "Z" {env.SECRET}`,
		"NAME":                               "",
		"groups":                             "a,b,c",
		"empty":                              "",
		"mixed":                              `["a",1]`,
		"n":                                  "1.50",
		"big":                                "12345678901234567890",
		"yes":                                "true",
		"null":                               "",
		"blank":                              "",
		"missing":                            "",
		"":                                   "",
		".":                                  "",
		"realm_access":                       `{"roles":["user","admin"],"deep":{"er":"value"},"null":null}`,
		"realm_access.roles":                 "whole",
		"realm_access.deep.er":               "value",
		"realm_access.deep.er.x":             "",
		"realm_access.null":                  "",
		"realm_access.":                      "",
		"realm_access.deep":                  `{"er":"value"}`,
		"a.b.c":                              "2",
		"a.b.d":                              "3",
		"https://example.com/claims.tenant":  "t1",
		"https://example.com/claims.tenant.": "",
		"name.0":                             "",
		"groups.0":                           "",
	} {
		if got := tok.ClaimText(name); got != want {
			t.Errorf("ClaimText(%q): got %q, want %q", name, got, want)
		}
	}
	if got := (&token.Token{}).ClaimText("name"); got != "" {
		t.Errorf("token without claims: got %q, want nothing", got)
	}
}

// Claims end up in headers: no line break of the issuer's JSON may get there.
func TestClaimTextOneLine(t *testing.T) {
	t.Parallel()
	tok := token.New(token.Token{}, []byte("{\"a\":{\r\n\"b\" :\n[1,\t2]},\"c\":[\n1\n]}"))
	for name, want := range map[string]string{"a": `{"b":[1,2]}`, "a.b": "[1,2]", "c": "[1]"} {
		if got := tok.ClaimText(name); got != want {
			t.Errorf("ClaimText(%q): got %q, want %q", name, got, want)
		}
	}
	// The claims themselves stay as they were: ClaimText may be called twice.
	if got, want := tok.ClaimText("a"), `{"b":[1,2]}`; got != want {
		t.Errorf("second call: got %q, want %q", got, want)
	}
}

func TestClaimsAreCopies(t *testing.T) {
	t.Parallel()
	tok := token.New(token.Token{}, []byte(claimSet))
	first := tok.Claims()
	if got, want := len(first), 14; got != want {
		t.Errorf("got %d claims, want %d", got, want)
	}
	if got, want := first["n"], any(1.5); got != want {
		t.Errorf("claim n: got %v (%[1]T), want %v (%[2]T)", got, want)
	}
	first["groups"].([]any)[0] = "changed"
	first["realm_access"].(map[string]any)["roles"] = "changed"
	first["sub"] = "changed"
	maps.DeleteFunc(first, func(name string, _ any) bool { return name == "yes" })
	second := tok.Claims()
	if got := second["groups"].([]any)[0]; got != "a" {
		t.Errorf("claim groups after a change to a copy: got %v, want a", got)
	}
	if _, ok := second["realm_access"].(map[string]any)["roles"].([]any); !ok {
		t.Errorf("claim realm_access.roles after a change to a copy: got %v, want a list", second["realm_access"])
	}
	if _, ok := second["sub"]; ok || second["yes"] != true {
		t.Errorf("after a change to a copy: got sub %v, yes %v, want none, true", second["sub"], second["yes"])
	}
	if got := (&token.Token{}).Claims(); got != nil {
		t.Errorf("token without claims: got %v, want nil", got)
	}
}
