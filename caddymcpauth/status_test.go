package caddymcpauth_test

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/inprocess"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

// adminStatus asks the admin API for the status.
func adminStatus(t *testing.T, method string) (status int, body string) {
	t.Helper()
	info, err := caddy.GetModule("admin.api.mcp_auth")
	if err != nil {
		t.Fatal(err)
	}
	for _, route := range info.New().(caddy.AdminRouter).Routes() {
		if route.Pattern == "/mcp_auth/status" {
			w := httptest.NewRecorder()
			err := route.Handler.ServeHTTP(w, httptest.NewRequest(method, route.Pattern, nil))
			if refused, ok := errors.AsType[caddy.APIError](err); ok {
				return refused.HTTPStatus, ""
			}
			return w.Code, w.Body.String()
		}
	}
	t.Fatal("no such route")
	return 0, ""
}

// statusOf is what the status says of a door and of an issuer.
func statusOf(t *testing.T, resource, issuer string) (door, iss map[string]any) {
	t.Helper()
	status, body := adminStatus(t, "GET")
	var all struct{ Doors, Issuers []map[string]any }
	if err := json.Unmarshal([]byte(body), &all); err != nil || status != 200 {
		t.Fatalf("got %d %s", status, body)
	}
	for _, d := range all.Doors {
		if d["resource"] == resource {
			door = d
		}
	}
	for _, i := range all.Issuers {
		if i["issuer"] == issuer {
			iss = i
		}
	}
	return door, iss
}

func TestStatus(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	const resource = "https://status.example.com/mcp"
	defer inprocess.RegisterSignIn(issuer.Issuer(), []string{"2 users with a password"})()
	s := serve(t, "mcp_auth "+resource+" {\n\tissuer "+issuer.Issuer()+"\n\tissuer https://other.example.com\n\tscopes read\n\trequire claim groups acme\n\ttools x\n\tanonymous\n}", nil)
	door, iss := statusOf(t, resource, issuer.Issuer())
	want := map[string]any{
		"resource": resource, "issuers": []any{issuer.Issuer(), "https://other.example.com"}, "scopes": []any{"read"},
		"sign_in": []any{"2 users with a password", "users of https://other.example.com"},
		"require": []any{"claim groups acme"}, "rules": 1.0, "anonymous": true,
	}
	if !reflect.DeepEqual(door, want) {
		t.Errorf("got the door %v, want %v", door, want)
	}
	keys := iss["keys"].(map[string]any)
	if keys["fetched"] != nil || keys["count"] != 0.0 || issuer.Count(oauthtest.JWKS) != 0 {
		t.Errorf("at first: got %v, want nothing, and no fetch", iss)
	}

	token := issuer.Mint(map[string]any{"aud": resource, "groups": "acme"})
	for range 3 {
		s.do(t, "POST", "/mcp", bearer(token)...)
	}
	_, iss = statusOf(t, resource, issuer.Issuer())
	keys = iss["keys"].(map[string]any)
	fetched, err := time.Parse(time.RFC3339, keys["fetched"].(string))
	if err != nil || time.Since(fetched) > testPatience || keys["count"] == 0.0 {
		t.Errorf("got the keys %v, %v", keys, err)
	}
	caches := iss["caches"].(map[string]any)
	if caches["entries"] != 1.0 || caches["hits"] != 2.0 || caches["misses"] != 1.0 {
		t.Errorf("got the caches %v, want one entry, two hits and a miss", caches)
	}
	if status, _ := adminStatus(t, "POST"); status != 405 {
		t.Errorf("POST: got %d, want 405", status)
	}
}

// An issuer that fails says so.
func TestStatusOfOutage(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	const resource = "https://outage.example.com/mcp"
	s := serve(t, "mcp_auth "+resource+" {\n\tissuer "+issuer.Issuer()+"\n}", nil)
	issuer.SetFault(oauthtest.Any, oauthtest.Status(500))
	if got := s.do(t, "GET", "/mcp", bearer(issuer.Mint(map[string]any{"aud": resource}))...); got.StatusCode != 503 {
		t.Fatalf("got %d, want 503", got.StatusCode)
	}
	_, iss := statusOf(t, resource, issuer.Issuer())
	metadata := iss["metadata"].(map[string]any)
	if metadata["failures"] != 1.0 || !strings.Contains(metadata["error"].(string), "500") || metadata["fetched"] != nil {
		t.Errorf("got %v, want a failure", iss)
	}
}
