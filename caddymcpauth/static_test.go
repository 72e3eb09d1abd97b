package caddymcpauth_test

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// hashOf is what the configuration has of a key.
func hashOf(key string) string {
	hash := token.HashAPIKey(key)
	return hex.EncodeToString(hash[:])
}

func TestStatic(t *testing.T) {
	t.Parallel()
	srv := newIssuer(t)
	key := token.NewAPIKey()
	s := serve(t, "mcp_auth "+testResource+" {\nissuer "+srv.Issuer()+" {\nuserinfo\njwt\nstatic {\nkey ci "+strings.ToUpper(hashOf(key))+
		" read write {\nclaim team build\n}\nkey cron "+hashOf("other")+"\n}\n}\nscopes read\nheader X-Team {http.auth.user.team}\n}", tellIdentity)
	for _, test := range []struct {
		name, token string
		status      int
		body        string
	}{
		{"key", key, 200, `["` + testResource + `","ci","ci",["read","write"]]`},
		{"key without the scope", "other", 403, "insufficient_scope"},
		{"JWT", srv.Mint(map[string]any{"sub": "ci", "scope": "read"}), 200, `["` + srv.Issuer() + `","ci",`},
		{"unknown key", token.NewAPIKey(), 401, "invalid_token"},
		{"the hash", hashOf(key), 401, "invalid_token"},
	} {
		got := s.do(t, "POST", "/mcp", bearer(test.token)...)
		if got.StatusCode != test.status || !strings.Contains(got.body, test.body) {
			t.Errorf("%s: got %d %s, want %d and %s", test.name, got.StatusCode, got.body, test.status, test.body)
		}
	}
	for _, r := range srv.Requests() {
		if r.Endpoint == oauthtest.Userinfo && strings.Contains(r.Header.Get("Authorization"), key) {
			t.Error("the key was sent to the issuer")
		}
	}
}

func TestStaticErrors(t *testing.T) {
	t.Parallel()
	hash, other := hashOf("a"), hashOf("b")
	options := func(lines string) string {
		return guestDoorOf("https://as.example.com", "static {\n"+lines+"\n}")
	}
	for _, test := range []struct{ name, site, adapting, provisioning string }{
		{"argument", guestDoorOf("https://as.example.com", "static x"), "takes no value", ""},
		{"bare", guestDoorOf("https://as.example.com", "static"), "static needs at least one key: `caddy mcp-auth new-key` prints a key and its line", ""},
		{"unknown option", options("kye ci " + hash), "unrecognized option of static: kye (known: key)", ""},
		{"no hash", options("key ci"), "key takes a name, the SHA-256 of the key, and its scopes", ""},
		{"no name", options("key"), "key takes a name", ""},
		{"empty name", options(`key "" ` + hash), "key takes a name", ""},
		{"empty scope", options("key ci " + hash + ` ""`), "key takes a name", ""},
		{"unknown option of key", options("key ci " + hash + " {\nscope x\n}"), "unrecognized option of key: scope (known: claim)", ""},
		{"claim without value", options("key ci " + hash + " {\nclaim team\n}"), "claim takes a name and a value, for example: claim team build", ""},
		{"claim empty", options("key ci " + hash + " {\nclaim team \"\"\n}"), "claim takes a name and a value", ""},
		{"claim twice", options("key ci " + hash + " {\nclaim team a\nclaim team b\n}"), "claim team is given twice", ""},
		{"the key itself", options("key ci mcpk_hush-hush"), "", "static: key \"ci\": the hash is not a SHA-256, which has 64 hexadecimal digits: `caddy mcp-auth new-key` prints a key and its hash"},
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
		{"issuer is the resource", guestDoorOf("https://MCP.example.com/mcp/", "static {\nkey ci "+hash+"\n}"), "", "give the resource a path, such as /mcp"},
	} {
		t.Run(test.name, func(t *testing.T) { checkSiteError(t, test.site, test.adapting, test.provisioning) })
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
		routes := json.RawMessage(`[{"handle":[{"handler":"mcp_auth","resource":"` + testResource + `","issuers":[{"issuer":"https://as.example.com",
			"verifiers":[{"verifier":"static","keys":` + test.keys + `}]}]}]}]`)
		_, err := provision(t, routes)
		t.Run(test.name, func(t *testing.T) { checkError(t, err, test.want) })
	}
}
