package caddymcpauth_test

import (
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

func TestScopes(t *testing.T) {
	t.Parallel()
	const hierarchy = "\nscope_implies admin write\nscope_implies write read\nscope_implies a b\nscope_implies b a"
	for _, test := range []struct {
		name, options string
		granted       string
		want          wantAnswer
		challenge     string
	}{
		{"none needed", "", "", served, ""},
		{"exact", "scopes read write", "read write", served, ""},
		{"more than needed", "scopes read", "write read other", served, ""},
		{"one of two", "scopes read write", "read", insufficientScope, "read write"},
		{"prefix", "scopes read", "reader", insufficientScope, "read"},
		{"none", "scopes read", "", insufficientScope, "read"},
		{"broader", "scopes read" + hierarchy, "write", served, ""},
		{"much broader", "scopes read write" + hierarchy, "admin", served, ""},
		{"narrower", "scopes write" + hierarchy, "read", insufficientScope, "write"},
		{"circle", "scopes b" + hierarchy, "a", served, ""},
		{"other circle", "scopes b" + hierarchy, "admin", insufficientScope, "b"},
		{"broader beside a missing one", "scopes read other" + hierarchy, "admin", insufficientScope, "read other"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, guestDoor(test.options), nil)
			got := s.do(t, "POST", "/mcp", bearer(guestToken(`{"sub":"u","scope":"`+test.granted+`"}`))...)
			test.want.check(t, got, test.challenge)
		})
	}
}

func TestSeveralIssuers(t *testing.T) {
	t.Parallel()
	a, b, unknown := newIssuer(t), newIssuer(t), newIssuer(t)
	s := serve(t, frontDoor(a.Issuer(), "issuer "+b.Issuer()), nil)
	kid := oauthtest.WithHeader("kid", a.CurrentKey().ID)

	for _, test := range []struct {
		name, token string
		want        wantAnswer
		// requests that each has seen by then
		a, b int
	}{
		{"issuer that isn't configured", unknown.Mint(nil), invalidToken, 0, 0},
		{"opaque, and nobody judges these", "opaque", invalidToken, 0, 0},
		{"without issuer", a.Mint(map[string]any{"iss": oauthtest.Absent}), invalidToken, 0, 0},
		{"issuer with a slash at the end", a.Mint(map[string]any{"iss": a.Issuer() + "/"}), invalidToken, 0, 0},
		{"second issuer", b.Mint(nil), served, 0, 2},
		{"second issuer again", b.Mint(nil), served, 0, 2},
		{"first issuer", a.Mint(nil), served, 2, 2},
		{"first issuer's name, second one's key", b.Mint(map[string]any{"iss": a.Issuer()}, kid), invalidToken, 3, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.want.check(t, s.do(t, "POST", "/mcp", bearer(test.token)...), "")
			if n := a.Count(oauthtest.Any); n != test.a {
				t.Errorf("the first issuer was asked %d times, want %d", n, test.a)
			}
			if n := b.Count(oauthtest.Any); n != test.b {
				t.Errorf("the second issuer was asked %d times, want %d", n, test.b)
			}
		})
	}
	if n := unknown.Count(oauthtest.Any); n != 0 {
		t.Errorf("the issuer that isn't configured was asked %d times", n)
	}
}

// The audience is the resource, a slash at the end or not, unless said
// otherwise.
func TestAudience(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	byDefault := serve(t, frontDoor(issuer.Issuer(), ""), nil)
	listed := serve(t, "mcp_auth "+testResource+" {\nissuer "+issuer.Issuer()+" {\naudience api://mcp https://gateway.example.com\n}\n}", nil)
	for _, test := range []struct {
		name            string
		aud             any
		resource, other wantAnswer
	}{
		{"the resource", testResource, served, invalidToken},
		{"the resource with a slash", testResource + "/", served, invalidToken},
		{"the resource among others", []string{"x", testResource}, served, invalidToken},
		{"a listed one", "api://mcp", invalidToken, served},
		{"another listed one", []string{"https://gateway.example.com"}, invalidToken, served},
		{"its origin", "https://mcp.example.com", invalidToken, invalidToken},
		{"below it", testResource + "/x", invalidToken, invalidToken},
		{"none", []string{}, invalidToken, invalidToken},
	} {
		t.Run(test.name, func(t *testing.T) {
			token := bearer(issuer.Mint(map[string]any{"aud": test.aud}))
			test.resource.check(t, byDefault.do(t, "POST", "/mcp", token...), "")
			test.other.check(t, listed.do(t, "POST", "/mcp", token...), "")
		})
	}
}
