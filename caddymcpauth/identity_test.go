package caddymcpauth_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth"
)

// echoPlaceholder answers with what the placeholder in the query says.
func echoPlaceholder(w http.ResponseWriter, r *http.Request) error {
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	_, err := io.WriteString(w, repl.ReplaceAll("{http.auth.user."+r.Header.Get("X-Ask")+"}", "(empty)"))
	return err
}

func TestPlaceholders(t *testing.T) {
	t.Setenv("FRONT_DOOR_SECRET", "must not appear")
	const claims = `{
		"sub": "user-1", "client_id": "client-1", "scope": "read  write", "iss": "https://elsewhere.example.com",
		"name": "Zoë O'Neil, \"Z\"", "env": "{env.FRONT_DOOR_SECRET}", "nested_env": {"x": "{env.FRONT_DOOR_SECRET}"},
		"groups": ["a", "b c"], "groups_mixed": ["a",1], "groups_none": [], "big": 12345678901234567890, "int": 42,
		"float": 1.50, "exp_form": 1e3, "yes": true, "no": false, "null": null, "blank": "",
		"realm_access": {"roles": ["admin", "user"], "deep": {"er": "d"}, "a.b": "dotted inside"},
		"https://example.com/claim": "by URL", "a.b": "dotted", "a": {"b": "nested", "c": "other"},
		"id": "claim named id", "issuer": "claim named issuer"
	}`
	s := serve(t, guestDoor(""), echoPlaceholder)
	for _, test := range []struct{ ask, want string }{
		{"id", "user-1"},
		{"issuer", "https://as.example.com"},
		{"client_id", "client-1"},
		{"scope", "read write"},
		{"sub", "user-1"},
		{"iss", "https://elsewhere.example.com"},
		{"name", `Zoë O'Neil, "Z"`},
		{"env", "{env.FRONT_DOOR_SECRET}"},
		{"nested_env.x", "{env.FRONT_DOOR_SECRET}"},
		{"groups", "a,b c"},
		{"groups_mixed", `["a",1]`},
		{"groups_none", "(empty)"},
		{"big", "12345678901234567890"},
		{"int", "42"},
		{"float", "1.50"},
		{"exp_form", "1e3"},
		{"yes", "true"},
		{"no", "false"},
		{"null", "(empty)"},
		{"blank", "(empty)"},
		{"missing", "(empty)"},
		{"Name", "(empty)"},
		{"", "(empty)"},
		{"realm_access.roles", "admin,user"},
		{"realm_access.deep.er", "d"},
		{"realm_access.a.b", "dotted inside"},
		{"realm_access.missing", "(empty)"},
		{"name.x", "(empty)"},
		{"https://example.com/claim", "by URL"},
		{"a.b", "dotted"},
		{"a.c", "other"},
	} {
		t.Run(test.ask, func(t *testing.T) {
			got := s.do(t, "POST", "/mcp", append(bearer(guestToken(claims)), "X-Ask", test.ask)...)
			if got.body != test.want {
				t.Errorf("{http.auth.user.%s}: got %q, want %q", test.ask, got.body, test.want)
			}
		})
	}
}

// The identity of a real token, from a real issuer.
func TestIdentityOfJWT(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	s := serve(t, frontDoor(issuer.Issuer(), ""), func(w http.ResponseWriter, r *http.Request) error {
		tok, ok := caddymcpauth.FromContext(r.Context())
		if !ok {
			t.Error("no token in the request's context")
			return nil
		}
		return json.NewEncoder(w).Encode([]any{tok.Issuer, tok.Subject, tok.ClientID, tok.Scopes, tok.Audience, tok.Claims()["plan"]})
	})
	got := s.do(t, "POST", "/mcp", bearer(issuer.Mint(map[string]any{"plan": "pro"}))...)
	want := `["` + issuer.Issuer() + `","user-1","client-1",["read","write"],["` + testResource + `"],"pro"]` + "\n"
	if got.body != want {
		t.Errorf("got %d %s, want %s", got.StatusCode, got.body, want)
	}
}

// An authentication before the front door doesn't answer for its user, not even
// for the claims that the token doesn't have.
func TestEarlierIdentityIsOverridden(t *testing.T) {
	t.Parallel()
	routes, err := adapt(guestDoor(""))
	if err != nil {
		t.Fatal(err)
	}
	c, err := provision(t, routes)
	if err != nil {
		t.Fatal(err)
	}
	handler := c.handlerAfter(func(repl *caddy.Replacer) {
		repl.Set("http.auth.user.id", "admin")
		repl.Set("http.auth.user.email", "admin@example.com")
	}, echoPlaceholder)
	for ask, want := range map[string]string{"id": "u", "email": "(empty)", "other": "(empty)"} {
		t.Run(ask, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/mcp", nil)
			r.Header.Set("X-Ask", ask)
			r.Header.Set("Authorization", "Bearer "+guestToken(`{"sub":"u"}`))
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if got := w.Body.String(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// Where a request meets two front doors, it is from whom the last one says: to its
// headers, in whichever form, and to later handlers alike.
func TestLaterDoorDecides(t *testing.T) {
	t.Parallel()
	first := "mcp_auth /mcp* https://mcp.example.com/mcp {\nissuer https://first.example {\nguest\n}\nforward_token\n}\n"
	second := "mcp_auth /mcp* https://mcp.example.com/mcp {\nissuer https://second.example {\nguest\n}\nheader X-Alone {http.auth.user.issuer}\nheader X-Within \"by {http.auth.user.issuer}\"\n}\n"
	s := serve(t, "mcp_auth_guard\nroute {\n"+first+second+"}", func(w http.ResponseWriter, r *http.Request) error {
		tok, _ := caddymcpauth.FromContext(r.Context())
		repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
		_, err := fmt.Fprint(w, tok.Issuer, " ", r.Header.Get("X-Alone"), " ", r.Header.Get("X-Within"), " ", repl.ReplaceAll("{http.auth.user.issuer}", ""))
		return err
	})
	const want = "https://second.example https://second.example by https://second.example https://second.example"
	if got := s.do(t, "POST", "/mcp", bearer(guestToken(`{"sub":"u"}`))...); got.body != want {
		t.Errorf("got %d %s, want %s", got.StatusCode, got.body, want)
	}
}

// A request that isn't let in has no identity.
func TestNoIdentityWithoutFrontDoor(t *testing.T) {
	t.Parallel()
	if _, ok := caddymcpauth.FromContext(t.Context()); ok {
		t.Error("got a token from a context without one")
	}
	s := serve(t, "mcp_auth /mcp* https://mcp.example.com/mcp {\nissuer https://as.example.com {\nguest\n}\n}", func(w http.ResponseWriter, r *http.Request) error {
		if _, ok := caddymcpauth.FromContext(r.Context()); ok {
			t.Error("a token outside of the matcher")
		}
		return echoPlaceholder(w, r)
	})
	if got := s.do(t, "GET", "/other", append(bearer(guestToken(`{"sub":"u"}`)), "X-Ask", "id")...); got.body != "(empty)" && got.body != "" {
		t.Errorf("identity outside of the matcher: %q", got.body)
	}
}

func TestAuthorizationHeader(t *testing.T) {
	t.Parallel()
	echo := func(w http.ResponseWriter, r *http.Request) error {
		return json.NewEncoder(w).Encode(r.Header["Authorization"])
	}
	token := guestToken(`{"sub":"u"}`)
	for _, test := range []struct{ name, options, want string }{
		{"removed", "", "null\n"},
		{"forwarded", "forward_token", `["Bearer ` + token + "\"]\n"},
		{"removed with identity headers", "header X-User {http.auth.user.id}", "null\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, guestDoor(test.options), echo)
			if got := s.do(t, "POST", "/mcp", bearer(token)...); got.body != test.want {
				t.Errorf("got %s, want %s", got.body, test.want)
			}
		})
	}
}
