package facade

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// newServer runs a server behind the façade, and returns its address.
func newServer(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// registering is a façade that passes registrations on, and the server that gets
// them.
type registering struct {
	*site
	status int
	answer string
	got    map[string]any
}

func newRegistering(t *testing.T) *registering {
	t.Helper()
	r := &registering{status: 201, answer: `{"client_id":"c"}`}
	up := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.got = nil
		_ = json.Unmarshal(body, &r.got)
		w.WriteHeader(r.status)
		_, _ = io.WriteString(w, r.answer)
	}))
	r.site = newSite(t, "preset django-oauth-toolkit\nregister forward\nscope map tools internal.tools")
	r.Metadata["registration_endpoint"] = up + "/reg"
	return r
}

func (r *registering) register(body string) (int, map[string]any) {
	r.t.Helper()
	r.limits = newLimits(r.now)
	w := r.do(request("POST", "/o/oauth/register", body, "Content-Type", "application/json"))
	var answer map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		r.t.Fatalf("got %d %s", w.Code, w.Body)
	}
	return w.Code, answer
}

// The server gets what was judged, and nothing else.
func TestForwardSendsWhatWasJudged(t *testing.T) {
	t.Parallel()
	r := newRegistering(t)
	const full = `{"redirect_uris":["http://127.0.0.1:1/cb","cursor://x/cb"],"client_name":"n","client_uri":"https://a.example","scope":"tools  x",
		"token_endpoint_auth_method":"none","application_type":"native","grant_types":["authorization_code","refresh_token","client_credentials","password"],
		"response_types":["code","token"],"redirect_uri":"https://evil.example","Redirect_URIs":["https://evil.example"],"jwks_uri":"http://169.254.169.254/",
		"jwks":{"keys":[]},"logo_uri":"http://10.0.0.1/","sector_identifier_uri":"http://10.0.0.1/","post_logout_redirect_uris":["https://evil.example"],
		"request_uris":["https://evil.example"],"initiate_login_uri":"https://evil.example","backchannel_logout_uri":"http://10.0.0.1/",
		"software_statement":"x","require_pushed_authorization_requests":true,"client_id":"victim","client_secret":"s","authorization_details_types":["x"],"skip_consent":true}`
	for name, test := range map[string]struct{ body, want string }{
		"everything": {full, `{"application_type":"native","client_name":"n","client_uri":"https://a.example","grant_types":["authorization_code","refresh_token"],` +
			`"redirect_uris":["http://127.0.0.1:1/cb"],"response_types":["code"],"scope":"internal.tools x","token_endpoint_auth_method":"none"}`},
		"little": {
			`{"redirect_uris":["https://a.example/cb"]}`,
			`{"grant_types":["authorization_code","refresh_token"],"redirect_uris":["https://a.example/cb"],"response_types":["code"]}`,
		},
		"no refresh": {
			`{"redirect_uris":["https://a.example/cb"],"grant_types":["authorization_code"],"scope":["a"],"application_type":"service"}`,
			`{"grant_types":["authorization_code"],"redirect_uris":["https://a.example/cb"],"response_types":["code"]}`,
		},
	} {
		status, answer := r.register(test.body)
		got, err := json.Marshal(r.got)
		if status != 201 || err != nil || string(got) != test.want {
			t.Errorf("%s: got %d %v, the server got\n%s, want\n%s", name, status, answer, got, test.want)
		}
	}
	if status, answer := r.register(`{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://a.example/jwks"}`); status != 400 || answer["error"] != "invalid_client_metadata" {
		t.Errorf("keys: got %d %v", status, answer)
	}
}

// What the server refuses is refused with its words, not put off.
func TestForwardRefusals(t *testing.T) {
	t.Parallel()
	r := newRegistering(t)
	const trusted = `Policy 'Trusted Hosts' rejected request to client-registration service. Details: Host not trusted.`
	for name, test := range map[string]struct {
		status       int
		answer       string
		want         int
		code, saying string
	}{
		"Keycloak's policy":    {403, `{"error":"insufficient_scope","error_description":"` + trusted + `"}`, 400, "invalid_client_metadata", trusted},
		"a redirect URI":       {400, `{"error":"invalid_redirect_uri","error_description":"no"}`, 400, "invalid_redirect_uri", ": no"},
		"a statement":          {400, `{"error":"unapproved_software_statement"}`, 400, "unapproved_software_statement", "unapproved"},
		"a token is needed":    {401, `{"error":"invalid_token","error_description":"x\"y\\z<\u202e>"}`, 400, "invalid_client_metadata", "x'y/z<?>"},
		"a page":               {404, `<html>`, 400, "invalid_client_metadata", "refuses the registration."},
		"of other types":       {400, `{"error":7,"error_description":{}}`, 400, "invalid_client_metadata", "refuses the registration."},
		"too many":             {429, `{"error":"slow_down"}`, 503, "temporarily_unavailable", ""},
		"broken":               {500, `{"error":"invalid_redirect_uri"}`, 503, "temporarily_unavailable", ""},
		"no client":            {201, `{}`, 503, "temporarily_unavailable", ""},
		"an identifier's type": {201, `{"client_id":7}`, 503, "temporarily_unavailable", ""},
		"twice":                {201, `{"client_id":"a","client_id":"b"}`, 503, "temporarily_unavailable", ""},
		"oversized":            {201, `{"client_id":"a","x":"` + strings.Repeat("x", 70_000) + `"}`, 503, "temporarily_unavailable", ""},
	} {
		r.status, r.answer = test.status, test.answer
		status, answer := r.register(`{"redirect_uris":["https://a.example/cb"]}`)
		description, _ := answer["error_description"].(string)
		if status != test.want || answer["error"] != test.code || !strings.Contains(description, test.saying) {
			t.Errorf("%s: got %d %v, want %d %s %q", name, status, answer, test.want, test.code, test.saying)
		}
	}
	r.status, r.answer = 201, `{"client_id":"c","client_secret":"s","client_uri":"","scope":"internal.tools","registration_access_token":"t","client_secret_expires_at":null}`
	if status, answer := r.register(`{"redirect_uris":["https://a.example/cb"]}`); status != 201 || answer["client_secret_expires_at"] != 0.0 || answer["client_uri"] != nil ||
		answer["registration_access_token"] != nil || answer["scope"] != "tools" {
		t.Errorf("got %d %v", status, answer)
	}
}

// Who registers learns which redirect URI it is about, and so does the log.
func TestRefusedRedirectURIIsNamed(t *testing.T) {
	t.Parallel()
	s := newSite(t, shared)
	for uri, named := range map[string]string{
		"https://evil.example/cb":        "'https://evil.example/cb'",
		"javascript:alert(1)":            "'javascript:alert(1)'",
		"https://a.example/cb#x":         "'https://a.example/cb#x'",
		`https://a.example/\\\"\u202e\n`: `'https://a.example//'?'`,
	} {
		w := s.do(request("POST", "/o/oauth/register", `{"redirect_uris":["`+claude+`","`+uri+`"]}`, "Content-Type", "application/json"))
		var answer map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 400 || answer["error"] != "invalid_redirect_uri" || !strings.Contains(answer["error_description"], named) {
			t.Errorf("%s: got %d %s, want it named", uri, w.Code, w.Body)
		}
		if strings.ContainsAny(answer["error_description"], "\"\\\n") {
			t.Errorf("%s: %q is no error_description", uri, answer["error_description"])
		}
	}
	w := s.do(request("GET", "/o/authorize/?"+good("redirect_uri", "https://evil.example/cb").Encode(), ""))
	if w.Code != 400 || !strings.Contains(w.Body.String(), "https://evil.example/cb") {
		t.Errorf("authorization: got %d %s", w.Code, w.Body)
	}
	for name, r := range map[string]*http.Request{
		"two types":       request("POST", "/o/oauth/register", "{}", "Content-Type", "application/json", "Content-Type", "application/json"),
		"compressed":      request("POST", "/o/oauth/register", "{}", "Content-Type", "application/json", "Content-Encoding", "gzip"),
		"another charset": request("POST", "/o/oauth/register", "{}", "Content-Type", "application/json; charset=utf-16"),
		"another method":  request("POST", "/o/oauth/register", "{}", "Content-Type", "application/json", "X-HTTP-Method-Override", "DELETE"),
		"a form":          request("POST", "/o/oauth/register", "{}", "Content-Type", formType),
		"text":            request("POST", "/o/oauth/register", `{"redirect_uris":"x"}`, "Content-Type", "text/plain"),
	} {
		if w := s.do(r); w.Code != 400 || !strings.Contains(w.Body.String(), "invalid_client_metadata") {
			t.Errorf("%s: got %d %s", name, w.Code, w.Body)
		}
	}
}
