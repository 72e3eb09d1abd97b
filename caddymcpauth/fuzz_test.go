package caddymcpauth

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Whatever the header says, what comes out is one token of the characters allowed,
// or a refusal.
func FuzzBearer(f *testing.F) {
	for _, seed := range []string{
		"", "Bearer", "Bearer ", "Bearer x", "bearer x", "Bearer  x=", "Bearer a, Bearer b", "Bearer a b",
		"Basic dTpw", "DPoP x", "dpop x", "DPoP", "Bearer\tx", "Bearer x\x00", "Bearer =", "Bearer é", `Bearer "x"`,
	} {
		f.Add(seed, "")
	}
	f.Add("Bearer x", "access_token=y")
	f.Fuzz(func(t *testing.T, header, query string) {
		r := &http.Request{URL: &url.URL{RawQuery: query}, Header: http.Header{"Authorization": {header}}}
		const rfc6750 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
		for table, allowed := range map[*characters]string{&token68: rfc6750, &opaqueToken: rfc6750 + "!#$%&'()*:<=>?@[]^`{|}"} {
			raw, _, ref := credentials(r, table, true)
			if (raw == "") != (ref != nil) {
				t.Fatalf("%q: got %q and refusal %v", header, raw, ref)
			}
			if strings.Trim(strings.TrimRight(raw, "="), allowed) != "" {
				t.Fatalf("%q: accepted %q", header, raw)
			}
			if raw != "" && !strings.HasSuffix(strings.TrimRight(header, " "), " "+raw) {
				t.Fatalf("%q: made %q of it", header, raw)
			}
		}
	})
}

// A parameter that net/url sees, we see.
func FuzzHasQueryToken(f *testing.F) {
	for _, seed := range []string{
		"", "access_token", "access_token=x", "a=b&access_token=x", "a=b;access_token=x", "%61ccess_token=x",
		"access+token=x", "my_access_token=x", "x=access_token", "access_token%zz=x", "&&;;=",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		got := hasQueryToken(query)
		values, _ := url.ParseQuery(query)
		if values.Has("access_token") && !got {
			t.Fatalf("%q: not seen", query)
		}
		if got && !strings.ContainsAny(query, "aA%") {
			t.Fatalf("%q: seen where there is none", query)
		}
	})
}

// Any text in the place of the directive gives a handler or an error.
func FuzzCaddyfile(f *testing.F) {
	for _, seed := range []string{
		"", "mcp_auth", "mcp_auth https://mcp.example.com/mcp {\nissuer https://as.example.com\n}",
		"mcp_auth https://mcp.example.com/mcp {\nissuer https://as.example.com {\njwt {\nleeway 5s\nalgorithms ES256\n}\ndiscovery off\nmetadata jwks_uri https://x\naudience a b\n}\n}",
		"mcp_auth x {\nscopes a b\nscopes_supported\nscope_implies a b\nmetadata a#b c\norigins x\nheader X-User {http.auth.user.id}\nforward_token\n}",
		"mcp_auth x {\nissuer {\n{\n}\n}", "mcp_auth x {\nissuer y {\njwt {\n}\njwt\n}\n}", "mcp_auth x {\nmetadata\n}", "mcp_auth {", "a {\n}\nb",
		"mcp_auth /mcp* https://mcp.example.com/mcp {\nissuer https://as.example.com\nheader X-User x\n}", "mcp_auth @x y", "mcp_auth * y", "mcp_auth /mcp y",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tokens, err := caddyfile.Tokenize([]byte(text), "Caddyfile")
		if err != nil {
			t.Skip()
		}
		values, err := parseDirective(httpcaddyfile.Helper{Dispenser: caddyfile.NewDispenser(tokens)})
		if err != nil {
			return
		}
		route := values[1].Value.(caddyhttp.Route) // after the guard
		var h Handler
		if err := caddy.StrictUnmarshalJSON(route.HandlersRaw[0], &struct {
			*Handler
			Name string `json:"handler"`
		}{Handler: &h}); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if _, err := parseResource(h.Resource); err != nil || len(h.Issuers) == 0 {
			t.Fatalf("%q: accepted without resource or issuer", text)
		}
	})
}

// What a handler makes of a path doesn't depend on anything but the path.
func FuzzIsMetadata(f *testing.F) {
	for _, seed := range []string{"/.well-known/oauth-protected-resource/mcp", "/mcp", "/.well-known/oauth-protected-resource/%6dcp", "//"} {
		f.Add(seed)
	}
	h := new(Handler)
	var err error
	if h.resource, err = parseResource("https://mcp.example.com/mcp"); err != nil {
		f.Fatal(err)
	}
	const root = "/.well-known/oauth-protected-resource"
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Host != "" {
			t.Skip()
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.URL = u
		path, _, _ := strings.Cut(target, "?")
		want := path == root || path == root+"/mcp" || path == root+"/mcp/"
		if got := h.isMetadata(r); got != want {
			t.Fatalf("%q: got %t, want %t", target, got, want)
		}
	})
}
