package check_test

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth/check"
)

// Each defect is found, and nothing else.
func TestDefects(t *testing.T) {
	t.Parallel()
	const asPath = "/.well-known/oauth-authorization-server/as"
	// as replaces the authorization server's metadata.
	as := func(change func(w *world, doc map[string]any)) func(*world) {
		return func(w *world) {
			doc := w.serverMetadata()
			change(w, doc)
			w.override[asPath] = func(rw http.ResponseWriter, _ *http.Request) { writeJSON(rw, doc) }
		}
	}
	prm := func(change func(w *world, doc map[string]any)) func(*world) {
		return func(w *world) {
			doc := w.resourceMetadata()
			change(w, doc)
			w.override[wellKnownPath] = func(rw http.ResponseWriter, _ *http.Request) { writeJSON(rw, doc) }
		}
	}
	answer := func(key string, h http.HandlerFunc) func(*world) {
		return func(w *world) { w.override[key] = h }
	}
	challenge := func(make func(w *world) string) func(*world) {
		return func(w *world) {
			w.override["POST /mcp"] = status(401, "WWW-Authenticate", make(w),
				"Access-Control-Allow-Origin", "http://localhost:6274", "Access-Control-Expose-Headers", "www-authenticate")
		}
	}
	tests := []struct {
		name  string
		setup func(*world)
		want  []string
	}{
		{"none", func(*world) {}, nil},
		{"open to anybody", answer("/mcp", status(200, "Access-Control-Allow-Origin", "*", "Access-Control-Expose-Headers", "*",
			"Access-Control-Allow-Headers", "authorization, content-type, mcp-protocol-version")), []string{"error post_not_challenged", "error get_not_challenged"}},
		{"405 before 401", answer("GET /mcp", status(405)), []string{"error get_not_challenged"}},
		{"redirect", answer("GET /mcp", status(307, "Location", "/mcp/")), []string{"error get_not_challenged"}},
		{"no challenge", challenge(func(*world) string { return "" }), []string{"error challenge_missing"}},
		{"Basic first", challenge(func(w *world) string {
			return `Basic realm="x", Bearer resource_metadata="` + w.URL + wellKnownPath + `"`
		}), []string{"error challenge_not_bearer"}},
		{
			"not quoted", challenge(func(w *world) string { return "Bearer resource_metadata=" + w.URL + wellKnownPath }),
			[]string{"error challenge_not_quoted", "warning resource_metadata_not_named"},
		},
		{"no resource_metadata", challenge(func(*world) string { return `Bearer scope="read"` }), []string{"warning resource_metadata_not_named"}},
		{
			"resource_metadata in the clear", challenge(func(*world) string { return `Bearer resource_metadata="http://mcp.example.com/x"` }),
			[]string{"error resource_metadata_misplaced"},
		},
		{
			"resource_metadata that is not there", challenge(func(w *world) string { return `Bearer resource_metadata="` + w.URL + `/x"` }),
			[]string{"error resource_metadata_misplaced"},
		},
		{"no CORS on the 401", answer("POST /mcp", func(w http.ResponseWriter, r *http.Request) {
			status(401, "WWW-Authenticate", `Bearer resource_metadata="http://`+r.Host+wellKnownPath+`"`)(w, r)
		}), []string{"warning cors_challenge_unreadable"}},
		{"challenge not exposed", answer("POST /mcp", func(w http.ResponseWriter, r *http.Request) {
			status(401, "WWW-Authenticate", `Bearer resource_metadata="http://`+r.Host+wellKnownPath+`"`, "Access-Control-Allow-Origin", "*")(w, r)
		}), []string{"warning cors_challenge_unreadable"}},
		{"preflight needs a token", answer("OPTIONS /mcp", status(401)), []string{"warning preflight_refused"}},
		{"preflight by a star", answer("OPTIONS /mcp", status(204, "Access-Control-Allow-Origin", "*", "Access-Control-Allow-Headers", "*")), []string{"warning preflight_refused"}},

		{"no metadata", answer(wellKnownPath, status(404)), []string{"error resource_metadata_not_found"}},
		{"metadata is a page", answer(wellKnownPath, page), []string{"error resource_metadata_not_found"}},
		{"metadata redirected to another origin", answer(wellKnownPath, status(302, "Location", "http://127.0.0.2:1/")), []string{"error resource_metadata_not_found"}},
		{"another resource", prm(func(_ *world, doc map[string]any) { doc["resource"] = "https://mcp.example.org/mcp" }), []string{"error resource_mismatch"}},
		{"a slash at the end", prm(func(w *world, doc map[string]any) { doc["resource"] = w.URL + "/mcp/" }), []string{"error resource_mismatch"}},
		{"no authorization server", prm(func(_ *world, doc map[string]any) { doc["authorization_servers"] = []string{} }), []string{"error no_authorization_servers"}},
		{"an authorization server in the clear", prm(func(_ *world, doc map[string]any) { doc["authorization_servers"] = []string{"http://auth.example.com"} }), []string{"error issuer_invalid"}},
		{"offline_access", prm(func(_ *world, doc map[string]any) { doc["scopes_supported"] = []string{"offline_access"} }), []string{"warning offline_access_advertised"}},
		{"tokens in the body only", prm(func(_ *world, doc map[string]any) { doc["bearer_methods_supported"] = []string{"body"} }), []string{"error bearer_header_not_supported"}},

		{"no server metadata", answer(asPath, status(404)), []string{"error server_metadata_not_found"}},
		{"server metadata is a page", answer(asPath, page), []string{"error server_metadata_not_json"}},
		{"server metadata broken", answer(asPath, status(500)), []string{"error server_metadata_unreachable"}},
		{"issuer with a slash", as(func(w *world, doc map[string]any) { doc["issuer"] = w.URL + "/as/" }), []string{"error issuer_mismatch"}},
		{"no PKCE", as(func(_ *world, doc map[string]any) { delete(doc, "code_challenge_methods_supported") }), []string{"error pkce_not_supported"}},
		{"no registration", as(func(_ *world, doc map[string]any) { delete(doc, "registration_endpoint") }), []string{"warning dynamic_registration_not_supported"}},
		{"no iss", as(func(_ *world, doc map[string]any) { delete(doc, "authorization_response_iss_parameter_supported") }), []string{"warning iss_parameter_not_supported"}},
		{"a token endpoint without CORS", answer("OPTIONS /as/token", status(404)), []string{"warning token_preflight_refused"}},
		{"registration without CORS", answer("OPTIONS /as/register", status(204)), []string{"warning registration_preflight_refused"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			tc.setup(w)
			report, got := run(t, w.URL+"/mcp")
			if !slices.Equal(got, tc.want) {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
			if report.Kind != check.Resource {
				t.Errorf("got kind %s", report.Kind)
			}
		})
	}
}

// An authorization server that says what is wrong with it is quoted.
func TestSaysWhy(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"error":"temporarily_unavailable","error_description":"mend\nme"}`: `answered 503: clients give up here; it says "mend\nme"`,
		`{"error_description":7}`: "clients give up here",
		`<html>`:                  "clients give up here",
	} {
		w := newWorld(t)
		w.override["/.well-known/oauth-authorization-server/as"] = func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(rw, body)
		}
		report, got := run(t, w.URL+"/mcp")
		if !slices.Equal(got, []string{"error server_metadata_unreachable"}) {
			t.Errorf("%s: got %q", body, got)
		}
		if last := report.Findings[len(report.Findings)-1]; !strings.HasSuffix(last.Message, want) {
			t.Errorf("%s: got %q, want it to end with %q", body, last.Message, want)
		}
	}
}

func TestNoCORSOnMetadata(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.override[wellKnownPath] = func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/plain")
		_ = json.NewEncoder(rw).Encode(w.resourceMetadata())
	}
	want := []string{"warning resource_metadata_content_type", "warning resource_metadata_unreadable"}
	if _, got := run(t, w.URL+"/mcp"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
