package caddymcpauth_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// What every user needs by require is asked for at the first sign-in, wherever that
// begins: otherwise the next request would send the user there again.
func TestRequiredScopes(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	for _, tc := range []struct {
		name, options string
		// first is asked for at first, call by a call of delete_x, and advertised is in
		// the metadata.
		first, call, advertised string
	}{
		{"none", "", "", "mcp:delete", ""},
		{"one", "require scope mcp:use", "mcp:use", "mcp:use mcp:delete", "mcp:use"},
		{"after those of scopes, before those of offer", "scopes mcp:read\noffer mcp:extra\nrequire scope mcp:use", "mcp:read mcp:use mcp:extra", "mcp:read mcp:use mcp:delete mcp:extra", "mcp:read mcp:use mcp:extra"},
		{"several lines", "require scope a b\nrequire claim groups acme\nrequire scope b c", "a b c", "a b c mcp:delete", "a b c"},
		{"the alternative with the fewest", "require scope a b or scope c", "c", "c mcp:delete", "c"},
		{"an alternative without scopes", "require scope a or claim groups acme", "", "mcp:delete", ""},
		{"an alternative of API keys", "require key ci or scope a", "a", "a mcp:delete", "a"},
		{"API keys only", "require key ci", "", "mcp:delete", ""},
		{"with a group", "require scope a and claim groups acme", "a", "a mcp:delete", "a"},
		{"advertised otherwise", "scopes_supported x\nrequire scope a", "a", "a mcp:delete", "x"},
		{"the same twice", "scopes a\noffer a\nrequire scope a", "a", "a mcp:delete", "a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			site := frontDoor(issuer.Issuer()+" {\njwt\nstatic {\nkey ci "+hashOf("test")+"\n}\n}", "anonymous\nsecurity_schemes\ntools docs_* anonymous\ntools delete_* need scope mcp:delete\n"+tc.options)
			s := serve(t, site, func(w http.ResponseWriter, _ *http.Request) error {
				w.Header().Set("Content-Type", "application/json")
				_, err := w.Write([]byte(`{"jsonrpc":"2.0","id":7,"result":{"tools":[{"name":"delete_x"}]}}`))
				return err
			})
			for what, got := range map[string]struct {
				answer answer
				want   string
			}{
				"a page":             {s.do(t, "GET", "/mcp"), tc.first},
				"a bad token":        {s.do(t, "POST", "/mcp", bearer("bad")...), tc.first},
				"a resource":         {s.anonymously(t, rpc("resources/read", `{"uri":"file:///x"}`)), tc.first},
				"what can't be read": {s.anonymously(t, "{"), tc.first},
				"a call":             {s.anonymously(t, toolCall("delete_x", "{}")), tc.call},
			} {
				if scope := challengeParams(t, got.answer.Header)["scope"]; got.answer.StatusCode != 401 || scope != got.want {
					t.Errorf("%s: got %d and the scope %q, want 401 and %q", what, got.answer.StatusCode, scope, got.want)
				}
			}
			if got := s.anonymously(t, toolCall("docs_x", "{}")); got.StatusCode != 200 {
				t.Errorf("an anonymous call: got %d %s", got.StatusCode, got.body)
			}
			var metadata struct {
				Scopes []string `json:"scopes_supported"`
			}
			if got := s.do(t, "GET", wellKnown); json.Unmarshal([]byte(got.body), &metadata) != nil || !slices.Equal(metadata.Scopes, strings.Fields(tc.advertised)) {
				t.Errorf("the metadata has %q, want %q", metadata.Scopes, tc.advertised)
			}
			// What a list says of the tool is what its call asks for, without what is only
			// offered.
			var said struct {
				Result struct {
					Tools []struct {
						Schemes []struct {
							Scopes []string `json:"scopes"`
						} `json:"securitySchemes"`
					} `json:"tools"`
				} `json:"result"`
			}
			list := s.anonymously(t, rpc("tools/list", "{}"))
			if err := json.Unmarshal([]byte(list.body), &said); err != nil || len(said.Result.Tools) != 1 || len(said.Result.Tools[0].Schemes) != 1 {
				t.Fatalf("the list: %v, %s", err, list.body)
			}
			want := slices.DeleteFunc(strings.Fields(tc.call), func(scope string) bool { return scope == "mcp:extra" })
			if got := said.Result.Tools[0].Schemes[0].Scopes; !slices.Equal(got, want) {
				t.Errorf("the list has the scopes %q, want %q", got, want)
			}
		})
	}
}

// A token that lacks what scopes and require ask for learns of all that in one
// challenge.
func TestRequiredScopesAtOnce(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	s := serve(t, frontDoor(issuer.Issuer(), "scopes mcp:read\nrequire scope mcp:use\ntools delete_* need scope mcp:delete"), nil)
	for _, tc := range []struct{ name, granted, scope string }{
		{"nothing granted", "", "mcp:read mcp:use"},
		{"what scopes asks for", "mcp:read", "mcp:read mcp:use mcp:delete"},
		{"but for the call", "mcp:read mcp:use", "mcp:read mcp:use mcp:delete"},
	} {
		got := s.post(t, issuer.Mint(map[string]any{"scope": tc.granted}), toolCall("delete_x", "{}"))
		if scope := challengeParams(t, got.Header)["scope"]; got.StatusCode != 403 || scope != tc.scope {
			t.Errorf("%s: got %d and the scope %q, want 403 and %q", tc.name, got.StatusCode, scope, tc.scope)
		}
	}
}
