package verifiers_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth/verifiers"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// hashOf is what the configuration has of a key.
func hashOf(key string) string {
	hash := token.HashAPIKey(key)
	return hex.EncodeToString(hash[:])
}

func TestStaticErrors(t *testing.T) {
	t.Parallel()
	hash, other := hashOf("a"), hashOf("b")
	options := func(lines string) issuer {
		return issuerWith("https://as.example.com", "static {\n"+lines+"\n}")
	}
	for _, test := range []struct {
		name                   string
		issuer                 issuer
		adapting, provisioning string
	}{
		{"argument", issuerWith("https://as.example.com", "static x"), "takes no value", ""},
		{"bare", issuerWith("https://as.example.com", "static"), "static needs at least one key: `caddy mcp-auth new-key` prints a key and its line", ""},
		{"unknown option", options("kye ci " + hash), "unrecognized option of static: kye (known: key)", ""},
		{"no hash", options("key ci"), "key takes a name, the SHA-256 of the key, and its scopes", ""},
		{"no name", options("key"), "key takes a name", ""},
		{"empty name", options(`key "" ` + hash), "key takes a name", ""},
		{"empty scope", options("key ci " + hash + ` ""`), "key takes a name", ""},
		{"unknown option of key", options("key ci " + hash + " {\nscope x\n}"), "unrecognized option of key: scope (known: claim)", ""},
		{"claim without value", options("key ci " + hash + " {\nclaim team\n}"), "claim takes a name and a value, for example: claim team build", ""},
		{"claim empty", options("key ci " + hash + " {\nclaim team \"\"\n}"), "claim takes a name and a value", ""},
		{"claim twice", options("key ci " + hash + " {\nclaim team a\nclaim team b\n}"), "claim team is given twice", ""},
		{"the key itself", options("key ci mcpk_hush-hush"), "", "key \"ci\": the hash is not a SHA-256, which has 64 hexadecimal digits: `caddy mcp-auth new-key` prints a key and its hash"},
		{"hash too short", options("key ci " + hash[:62]), "", "the hash is not a SHA-256"},
		{"hash too long", options("key ci " + hash + "00"), "", "the hash is not a SHA-256"},
		{"hash not hexadecimal", options("key ci " + strings.Repeat("g", 64)), "", "the hash is not a SHA-256"},
		{"hash with an unset placeholder", options("key ci {env.NOT_SET}"), "", `key "ci": sha256: `},
		{"hash of nothing", options("key ci " + hashOf("")), "", "the hash is that of nothing"},
		{"name twice", options("key ci " + hash + "\nkey ci " + other), "", `key "ci" is given twice: give each a name of its own`},
		{"hash twice", options("key ci " + hash + "\nkey cron " + strings.ToUpper(hash)), "", `keys "ci" and "cron" are the same`},
		{"scope with a comma", options("key ci " + hash + " read, write"), "", `scope "read," ends in a comma`},
		{"claim sub", options("key ci " + hash + " {\nclaim sub root\n}"), "", "claim sub cannot be set"},
		{"claim with an unset placeholder", options("key ci " + hash + " {\nclaim team {env.NOT_SET}\n}"), "", "claim team: "},
		{"issuer is the resource", issuerWith("https://MCP.example.com/mcp/", "static {\nkey ci "+hash+"\n}"), "", "give the resource a path, such as /mcp"},
	} {
		t.Run(test.name, func(t *testing.T) { checkError(t, test.issuer, test.adapting, test.provisioning) })
	}
}

func TestStaticErrorsOfJSON(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, keys, want string }{
		{"no keys", `[]`, "no keys"},
		{"null", `null`, "no keys"},
		{"null key", `[null]`, "key 0 is null"},
		{"no name", `[{"sha256":"` + hashOf("a") + `"}]`, "key 0 has no name"},
		{"no hash", `[{"name":"ci"}]`, "the hash is not a SHA-256"},
		{"empty claim", `[{"name":"ci","sha256":"` + hashOf("a") + `","claims":{"x":""}}]`, "a claim without name or value"},
		{"the key", `[{"name":"ci","key":"secret"}]`, "unknown field"},
	} {
		var static verifiers.Static
		err := caddy.StrictUnmarshalJSON([]byte(`{"keys":`+test.keys+`}`), &static)
		if err == nil {
			_, err = static.TokenVerifier(verifiers.IssuerInfo{Issuer: "https://as.example.com", Resource: testResource})
		}
		t.Run(test.name, func(t *testing.T) {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want in it %q", err, test.want)
			}
		})
	}
}
