package caddymcpauth_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

// forget sends a request to the admin API as Caddy's admin endpoint does, and
// returns the status and what its sender gets to read.
func forget(t *testing.T, method, body string) (int, string) {
	t.Helper()
	info, err := caddy.GetModule("admin.api.mcp_auth")
	if err != nil {
		t.Fatal(err)
	}
	for _, route := range info.New().(caddy.AdminRouter).Routes() {
		if route.Pattern != "/mcp_auth/forget" {
			continue
		}
		w := httptest.NewRecorder()
		err := route.Handler.ServeHTTP(w, httptest.NewRequest(method, route.Pattern, strings.NewReader(body)))
		if err == nil {
			return w.Code, w.Body.String()
		}
		var refused caddy.APIError
		if !errors.As(err, &refused) {
			t.Fatalf("got %v, want a caddy.APIError", err)
		}
		return refused.HTTPStatus, refused.Error()
	}
	t.Fatal("no such route")
	return 0, ""
}

// The tests here are not parallel: to forget by a token's hash concerns every cache
// of the process, and what is under way meanwhile isn't kept.

// A revocation takes effect without waiting for the cache to expire.
func TestForget(t *testing.T) {
	for _, test := range []struct {
		name      string
		request   string // ISSUER, OTHER and TOKEN (ada's second) are filled in
		forgotten int
		asked     string // whose tokens are asked about again
	}{
		// Six: eve's token is there as well, as one that the issuer refused.
		{"an issuer", `{"issuer":"ISSUER"}`, 6, "ada ada bob"},
		{"a subject", `{"issuer":"ISSUER","subject":"ada"}`, 3, "ada ada"},
		{"a subject without tokens", `{"issuer":"ISSUER","subject":"eve"}`, 0, ""},
		{"another issuer's subject", `{"issuer":"OTHER","subject":"bob"}`, 0, ""},
		{"a token", `{"token_sha256":"TOKEN"}`, 1, "ada"},
		{"a token of the issuer", `{"issuer":"ISSUER","token_sha256":"TOKEN"}`, 1, "ada"},
		{"a token of another issuer", `{"issuer":"OTHER","token_sha256":"TOKEN"}`, 0, ""},
		{"another issuer", `{"issuer":"OTHER"}`, 1, "eve"},
		{"an issuer that isn't configured", `{"issuer":"https://nobody.example.com"}`, 0, ""},
		{"an issuer, but for a slash", `{"issuer":"ISSUER/"}`, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv, other := newIssuer(t), newIssuer(t)
			s := serve(t, "mcp_auth "+testResource+" {\nissuer "+srv.Issuer()+" {\njwt\nuserinfo\n}\nissuer "+other.Issuer()+" {\nuserinfo\n}\n}", nil)
			users := []string{"ada", "ada", "bob", "eve"}
			home := []*oauthtest.Server{srv, srv, srv, other}
			tokens := make([]string, len(users))
			for i, user := range users {
				tokens[i] = home[i].Opaque(map[string]any{"sub": user})
				served.check(t, s.do(t, "POST", "/mcp", bearer(tokens[i])...), "")
			}
			for _, user := range []string{"ada", "bob"} {
				served.check(t, s.do(t, "POST", "/mcp", bearer(srv.Mint(map[string]any{"sub": user}))...), "")
			}
			request := strings.NewReplacer("ISSUER", srv.Issuer(), "OTHER", other.Issuer(), "TOKEN", hashOf(tokens[1])).Replace(test.request)
			status, body := forget(t, "POST", request)
			if want := fmt.Sprintf(`{"forgotten":%d}`, test.forgotten); status != 200 || strings.TrimSpace(body) != want {
				t.Errorf("got %d %s, want 200 %s", status, body, want)
			}
			asked := ""
			for i, user := range users {
				before := home[i].Count(oauthtest.Userinfo)
				served.check(t, s.do(t, "POST", "/mcp", bearer(tokens[i])...), "")
				if home[i].Count(oauthtest.Userinfo) > before {
					asked += " " + user
				}
			}
			if got := strings.TrimSpace(asked); got != test.asked {
				t.Errorf("got the tokens of %q asked about again, want those of %q", got, test.asked)
			}
		})
	}
}

// After a revocation and a forget the token is bad at once.
func TestForgetRevoked(t *testing.T) {
	srv := newIssuer(t)
	s := serve(t, guestDoorOf(srv.Issuer(), "userinfo"), nil)
	token := srv.Opaque(nil)
	served.check(t, s.do(t, "POST", "/mcp", bearer(token)...), "")
	srv.Revoke(token)
	served.check(t, s.do(t, "POST", "/mcp", bearer(token)...), "") // until the cache asks again
	if status, body := forget(t, "POST", `{"token_sha256":"`+strings.ToUpper(hashOf(token))+`"}`); status != 200 || !strings.Contains(body, `:1}`) {
		t.Errorf("got %d %s, want 200 and one forgotten", status, body)
	}
	invalidToken.check(t, s.do(t, "POST", "/mcp", bearer(token)...), "")
}

// What isn't understood is refused, with a word on why. The request may contain
// a token by mistake, which the answer must not.
func TestForgetErrors(t *testing.T) {
	const secret = "secret-token-0123456789"
	for _, test := range []struct {
		name, method, body string
		status             int
		want               string
	}{
		{"GET", "GET", `{"issuer":"https://as.example.com"}`, 405, "use POST"},
		{"DELETE", "DELETE", `{"issuer":"https://as.example.com"}`, 405, "use POST"},
		{"no body", "POST", ``, 400, "reading the request"},
		{"empty object", "POST", `{}`, 400, "give an issuer, or a token's hash"},
		{"null", "POST", `null`, 400, "give an issuer, or a token's hash"},
		{"list", "POST", `[]`, 400, "reading the request"},
		{"not JSON", "POST", `issuer=https://as.example.com`, 400, "reading the request"},
		{"a token instead of JSON", "POST", secret, 400, "reading the request"},
		{"a text", "POST", `"` + secret + `"`, 400, "reading the request"},
		{"unknown field", "POST", `{"token":"` + secret + `"}`, 400, "reading the request"},
		{"other letter case", "POST", `{"Issuer":"https://as.example.com"}`, 400, "reading the request"},
		{"field twice", "POST", `{"issuer":"https://a.example.com","issuer":"https://b.example.com"}`, 400, "reading the request"},
		{"more behind it", "POST", `{"issuer":"https://a.example.com"} {"issuer":"https://b.example.com"}`, 400, "reading the request"},
		{"a number", "POST", `{"issuer":1}`, 400, "reading the request"},
		{"a list of subjects", "POST", `{"issuer":"https://as.example.com","subject":["ada"]}`, 400, "reading the request"},
		{"subject without issuer", "POST", `{"subject":"ada"}`, 400, "give an issuer, or a token's hash"},
		{"token and subject", "POST", `{"issuer":"https://as.example.com","subject":"ada","token_sha256":"` + hashOf("x") + `"}`, 400, "not both"},
		{"the token, not its hash", "POST", `{"token_sha256":"` + secret + `"}`, 400, "token_sha256 is not a SHA-256 in hexadecimal"},
		{"half a hash", "POST", `{"token_sha256":"` + hashOf("x")[:32] + `"}`, 400, "token_sha256 is not a SHA-256 in hexadecimal"},
		{"too long a hash", "POST", `{"token_sha256":"` + hashOf("x") + `00"}`, 400, "token_sha256 is not a SHA-256 in hexadecimal"},
		{"a hash as in a JWK", "POST", `{"token_sha256":"n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg"}`, 400, "token_sha256 is not a SHA-256 in hexadecimal"},
		{"oversized", "POST", `{"issuer":"https://as.example.com/` + strings.Repeat(secret, 1000) + `"}`, 400, "too large"},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, body := forget(t, test.method, test.body)
			if status != test.status || !strings.Contains(body, test.want) {
				t.Errorf("got %d %q, want %d with %q", status, body, test.status, test.want)
			}
			if strings.Contains(body, secret) {
				t.Errorf("the answer repeats the request: %q", body)
			}
			if status == http.StatusOK || len(body) > 300 {
				t.Errorf("got %d with %d bytes, want a short refusal", status, len(body))
			}
		})
	}
}
