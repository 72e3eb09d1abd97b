package integration_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

// Two issuers of opaque tokens: with prefixes neither is shown a token of the
// other, good or not. Without them Caddy warns.
func TestTokenPrefixLeaksNothing(t *testing.T) {
	t.Parallel()
	a := oauthtest.New(t, oauthtest.Options{ClientSecret: "secret"})
	b := oauthtest.New(t, oauthtest.Options{ClientSecret: "secret"})
	c := newCaddy(t)
	site := func(prefixA, prefixB string) string {
		var s strings.Builder
		s.WriteString("mcp_auth /mcp* SITE/mcp {\n")
		for _, issuer := range []struct{ url, prefix string }{{a.Issuer(), prefixA}, {b.Issuer(), prefixB}} {
			fmt.Fprintf(&s, "issuer %s {\nintrospection {\nclient_id front-door\nclient_secret secret\n%s\n}\n}\n", issuer.url, issuer.prefix)
		}
		return s.String() + "}\nhandle {\nrespond in\n}\n"
	}
	c.start(c.caddyfile(site("token_prefix opaque-", "token_prefix b_")))
	if c.log.contains("see each other's opaque tokens") {
		t.Error("a warning, although each has its prefix")
	}
	try := func(what, token string, want int) {
		t.Helper()
		if got := c.do("POST", "/mcp", "{}", "Authorization", "Bearer "+token); got.status != want {
			t.Errorf("%s: got %d %q, want %d", what, got.status, got.body, want)
		}
	}
	try("a's", a.Opaque(map[string]any{"aud": c.URL + "/mcp"}), 200)
	try("a's, unknown", "opaque-x", 401)
	try("b's, unknown", "b_x", 401)
	if n, m := a.Count(oauthtest.Introspection), b.Count(oauthtest.Introspection); n != 2 || m != 1 {
		t.Errorf("a was asked %d times, b %d times; want 2 and 1", n, m)
	}
	try("nobody's", "x", 401)
	try("an API key that isn't known", "mcpk_x", 401)
	if n, m := a.Count(oauthtest.Introspection), b.Count(oauthtest.Introspection); n != 2 || m != 1 {
		t.Errorf("tokens of nobody: a was asked %d times, b %d times; want 2 and 1", n, m)
	}
	c.reload(site("", ""))
	c.logs("see each other's opaque tokens")
}
