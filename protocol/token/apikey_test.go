package token_test

import (
	"crypto/sha256"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

func TestAPIKeys(t *testing.T) {
	t.Parallel()
	ci, cron := token.NewAPIKey(), token.NewAPIKey()
	v, err := token.NewAPIKeys(mcpResource, []token.APIKey{
		{Name: "ci", Hash: token.HashAPIKey(ci), Scopes: []string{"read", "write"}, Claims: map[string]string{"team": "build"}},
		{Name: "cron", Hash: token.HashAPIKey(cron)},
		{Name: "old", Hash: token.HashAPIKey("a key of another form")},
	})
	if err != nil {
		t.Fatal(err)
	}
	hash := token.HashAPIKey(ci)
	for _, tc := range []struct{ name, raw, want string }{
		{"first", ci, "ci"},
		{"second", cron, "cron"},
		{"last", "a key of another form", "old"},
		{"empty", "", ""},
		{"prefix", token.APIKeyPrefix, ""},
		{"a new one", token.NewAPIKey(), ""},
		{"cut short", ci[:len(ci)-1], ""},
		{"longer", ci + "A", ""},
		{"first character changed", "M" + ci[1:], ""},
		{"last character changed", ci[:len(ci)-1] + "~", ""},
		{"in upper case", strings.ToUpper(ci), ""},
		{"its hash", string(hash[:]), ""},
		{"its name", "ci", ""},
	} {
		tok, err := v.Verify(t.Context(), &token.Presented{Raw: tc.raw})
		if tc.want == "" {
			if got := outcome(tok, err); got != "inactive" {
				t.Errorf("%s: got %s, want inactive", tc.name, got)
			}
			continue
		}
		if err != nil || tok.Subject != tc.want || tok.ClientID != tc.want {
			t.Errorf("%s: got %+v (%v), want the subject and client %s", tc.name, tok, err, tc.want)
			continue
		}
		checkQuiet(t, tc.raw, tok, err)
		if tok.Issuer != mcpResource || !slices.Equal(tok.Audience, []string{mcpResource}) || !tok.Expiry.IsZero() {
			t.Errorf("%s: got issuer %q, audience %q, expiry %v, want the resource and no expiry", tc.name, tok.Issuer, tok.Audience, tok.Expiry)
		}
		if !v.StillGood(t.Context(), tok) {
			t.Errorf("%s: not still good", tc.name)
		}
	}
	tok, err := v.Verify(t.Context(), &token.Presented{Raw: ci})
	if err != nil || !slices.Equal(tok.Scopes, []string{"read", "write"}) {
		t.Errorf("got the scopes %q (%v), want read, write", tok.Scopes, err)
	}
	for claim, want := range map[string]string{"team": "build", "sub": "ci", "client_id": "ci", "iss": mcpResource, "aud": mcpResource, "scope": "read write", "exp": ""} {
		if got := tok.ClaimText(claim); got != want {
			t.Errorf("claim %s: got %q, want %q", claim, got, want)
		}
	}
}

func TestAPIKeysLeaveJWTs(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{})
	v, err := token.NewAPIKeys(mcpResource, []token.APIKey{{Name: "ci", Hash: token.HashAPIKey("x")}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := token.Present(srv.Mint(nil))
	if err != nil || v.Accepts(p) {
		t.Errorf("a JWT is accepted (%v)", err)
	}
}

func TestNewAPIKeysErrors(t *testing.T) {
	t.Parallel()
	key := func(name string) token.APIKey { return token.APIKey{Name: name, Hash: token.HashAPIKey(name)} }
	claim := func(name, value string) []token.APIKey {
		k := key("ci")
		k.Claims = map[string]string{name: value}
		return []token.APIKey{k}
	}
	scopes := func(list ...string) []token.APIKey {
		k := key("ci")
		k.Scopes = list
		return []token.APIKey{k}
	}
	for _, tc := range []struct {
		name string
		keys []token.APIKey
		want string
	}{
		{"none", nil, "no keys"},
		{"no name", []token.APIKey{key("")}, "key 0 has no name"},
		{"name with a line break", []token.APIKey{key("a\nb")}, "the name contains a control character"},
		{"name not UTF-8", []token.APIKey{key("a\xff")}, "not valid UTF-8"},
		{"no hash", []token.APIKey{{Name: "ci"}}, "the hash is that of nothing"},
		{"hash of nothing", []token.APIKey{{Name: "ci", Hash: sha256.Sum256(nil)}}, "the hash is that of nothing"},
		{"name twice", []token.APIKey{key("ci"), key("cron"), {Name: "ci", Hash: token.HashAPIKey("x")}}, `key "ci" is given twice`},
		{"hash twice", []token.APIKey{key("ci"), {Name: "cron", Hash: token.HashAPIKey("ci")}}, `keys "ci" and "cron" are the same`},
		{"scope with a comma", scopes("read,", "write"), "ends in a comma"},
		{"scope with a quote", scopes(`a"b`), "separate scopes by spaces"},
		{"empty scope", scopes(""), `key "ci": empty`},
		{"claim without name", claim("", "x"), "a claim without name or value"},
		{"claim without value", claim("team", ""), "a claim without name or value"},
		{"claim iss", claim("iss", "x"), "claim iss cannot be set"},
		{"claim sub", claim("sub", "x"), "claim sub cannot be set"},
		{"claim aud", claim("aud", "x"), "claim aud cannot be set"},
		{"claim exp", claim("exp", "x"), "claim exp cannot be set"},
		{"claim client_id", claim("client_id", "x"), "claim client_id cannot be set"},
		{"claim azp", claim("azp", "x"), "claim azp cannot be set"},
		{"claim scope", claim("scope", "x"), "claim scope cannot be set"},
		{"claim scp", claim("scp", "x"), "claim scp cannot be set"},
		{"claim Sub", claim("Sub", "x"), "claim Sub cannot be set"},
		{"claim that folds to sub", claim("\u017fub", "x"), "cannot be set"},
	} {
		_, err := token.NewAPIKeys(mcpResource, tc.keys)
		if err == nil {
			t.Errorf("%s: got no error", tc.name)
		}
		checkCause(t, err, tc.want)
	}
	if _, err := token.NewAPIKeys("", []token.APIKey{key("ci")}); err == nil {
		t.Error("no resource: got no error")
	}
}

func TestNewAPIKey(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for range 100 {
		key := token.NewAPIKey()
		random, ok := strings.CutPrefix(key, token.APIKeyPrefix)
		if !ok || len(random) != 43 || seen[key] {
			t.Fatalf("got %q", key)
		}
		seen[key] = true
		if p, err := token.Present(key); err != nil || p.JWS != nil {
			t.Errorf("%q is not an opaque token: %v", key, err)
		}
	}
}
