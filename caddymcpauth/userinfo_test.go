package caddymcpauth_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/adapttest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

// guestDoorOf is a front door with an issuer that has only the given verifier.
func guestDoorOf(issuer, verifier string) string {
	return "mcp_auth " + testResource + " {\n\tissuer " + issuer + " {\n" + verifier + "\n\t}\n}"
}

// tellIdentity answers with who the request is from.
func tellIdentity(w http.ResponseWriter, r *http.Request) error {
	tok, ok := caddymcpauth.FromContext(r.Context())
	if !ok {
		return json.NewEncoder(w).Encode("nobody")
	}
	return json.NewEncoder(w).Encode([]any{tok.Issuer, tok.Subject, tok.ClientID, tok.Scopes})
}

// warnings provisions the site and returns the log of level WARN and above.
func warnings(t *testing.T, body string) string {
	t.Helper()
	routes, err := adapt(body)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(map[string]any{"apps": map[string]any{"http": map[string]any{"servers": map[string]any{"srv0": map[string]any{"routes": routes}}}}})
	if err != nil {
		t.Fatal(err)
	}
	log, err := adapttest.Logged(t, raw)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func TestUserinfo(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{Personality: oauthtest.Logto})
	s := serve(t, guestDoorOf(srv.Issuer(), "jwt\nuserinfo {\nrequire email_verified true\n}"), tellIdentity)
	good := srv.Opaque(map[string]any{"sub": "u1"})
	for _, test := range []struct {
		name, token string
		fault       oauthtest.Fault
		status      int
		body        string
	}{
		{"opaque", good, nil, 200, `"u1"`},
		{"JWT", srv.Mint(map[string]any{"sub": "u2"}), nil, 200, `"u2"`},
		{"garbage", "garbage", nil, 401, "invalid_token"},
		{"without the claim", srv.Opaque(map[string]any{"email_verified": false}), nil, 401, "invalid_token"},
		{"endpoint down", srv.Opaque(nil), oauthtest.Status(500), 503, "temporarily_unavailable"},
	} {
		srv.SetFault(oauthtest.Userinfo, test.fault)
		got := s.do(t, "POST", "/mcp", bearer(test.token)...)
		if got.StatusCode != test.status || !strings.Contains(got.body, test.body) {
			t.Errorf("%s: got %d %s, want %d and %s", test.name, got.StatusCode, got.body, test.status, test.body)
		}
	}
	for _, r := range srv.Requests() {
		if r.Endpoint == oauthtest.Userinfo && strings.Count(r.Header.Get("Authorization"), ".") == 2 {
			t.Error("a JWT was sent to userinfo")
		}
	}
}

// Where no audience is checked, the log says so, once, without being asked.
func TestWarnings(t *testing.T) {
	for _, test := range []struct{ name, verifier, want string }{
		{"userinfo", "userinfo", "any token of this issuer is accepted, whatever it was issued for"},
		{"github", "github {\nendpoint https://api.example.com\ninsecure_any_application\n}", "insecure_any_application is on"},
		{"github with an application", "github {\nendpoint https://api.example.com\nclient_id a\nclient_secret hush-hush\n}", ""},
		{"static", "static {\nkey ci " + strings.Repeat("0a", 32) + "\n}", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			log := warnings(t, guestDoorOf("https://as.example.com", test.verifier))
			if test.want == "" {
				if strings.Contains(log, "mcp_auth") {
					t.Errorf("got the log %s", log)
				}
				return
			}
			if strings.Count(log, test.want) != 1 {
				t.Errorf("got the log %s, want once in it %q", log, test.want)
			}
			for _, field := range []string{`"issuer":"https://as.example.com"`, `"resource":"` + testResource + `"`, `"level":"warn"`} {
				if !strings.Contains(log, field) {
					t.Errorf("got the log %s, want in it %s", log, field)
				}
			}
		})
	}
}
