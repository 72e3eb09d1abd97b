package authserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/access"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/audit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/inprocess"
)

// admin sends a request to the admin API, and decodes the answer into v.
func admin(t *testing.T, method, target, body string, v any) (status int, said string) {
	t.Helper()
	r := httptest.NewRequest(method, "/mcp_auth_server/"+target, strings.NewReader(body))
	path := r.URL.Path
	for _, route := range (adminAPI{}).Routes() {
		if route.Pattern != path {
			continue
		}
		w := httptest.NewRecorder()
		err := route.Handler.ServeHTTP(w, r)
		if refused, ok := errors.AsType[caddy.APIError](err); ok {
			return refused.HTTPStatus, refused.Err.Error()
		}
		if err != nil {
			t.Fatal(err)
		}
		if v != nil {
			if err := json.Unmarshal(w.Body.Bytes(), v); err != nil {
				t.Fatalf("%v: %s", err, w.Body)
			}
		}
		return w.Code, w.Body.String()
	}
	t.Fatalf("no route for %s", path)
	return 0, ""
}

// runs makes the site one that the admin API knows, as an issuer of its own.
func (s *site) runs(t *testing.T) *site {
	t.Helper()
	t.Cleanup(running.Register(allServers, s.Handler))
	return s
}

func ofIssuer(issuer string) func(*Handler) {
	return func(h *Handler) { h.Issuer, h.Resources = issuer, []string{issuer + "/mcp"} }
}

// whose are the users and clients of a list.
func whose(list []access.Grant) (rows []string) {
	for _, g := range list {
		rows = append(rows, g.User+" "+g.ClientName)
	}
	return rows
}

func TestAdminGrants(t *testing.T) {
	t.Parallel()
	const issuer = "https://grants.example.com"
	s := newTestSite(t, ofIssuer(issuer)).runs(t)
	s.allow(t, "ada")
	s.allow(t, "bob")
	for query, want := range map[string][]string{
		"":                          {"ada The desk", "bob The desk"},
		"&user=ada":                 {"ada The desk"},
		"&client=desk":              {"ada The desk", "bob The desk"},
		"&client=The+desk&user=bob": {"bob The desk"},
		"&user=eve":                 nil,
		"&client=agent":             nil,
		"&user=ada&client=other":    nil,
	} {
		var answer access.Grants
		if status, said := admin(t, "GET", "grants?issuer="+issuer+query, "", &answer); status != 200 || !reflect.DeepEqual(whose(answer.Grants), want) {
			t.Errorf("%s: got %d %s, want %q", query, status, said, want)
		}
	}
	var all struct{ Servers []access.Server }
	want := []access.Server{{Issuer: issuer, SignIn: []string{"2 users with a password"}, Users: 2, Clients: 1, Grants: 2}}
	if status, said := admin(t, "GET", "status?issuer="+issuer, "", &all); status != 200 || !reflect.DeepEqual(all.Servers, want) {
		t.Errorf("got %d %s, want %+v", status, said, want)
	}
	// The metrics have the same numbers.
	if err := s.measureAccess(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := accessOf(t, issuer), (map[string]float64{"users": 2, "clients": 1, "grants": 2}); !maps.Equal(got, want) {
		t.Errorf("metrics: got %v, want %v", got, want)
	}
	s.away("list")
	if err := s.measureAccess(t.Context()); err == nil {
		t.Error("a storage that is away is counted as empty")
	}
}

// accessOf returns what the metrics say of an issuer.
func accessOf(t *testing.T, issuer string) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(accessCounts)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, m := range families[0].GetMetric() {
		if labels := m.GetLabel(); labels[0].GetValue() == issuer {
			got[labels[1].GetValue()] = m.GetGauge().GetValue()
		}
	}
	return got
}

func TestAdminEnds(t *testing.T) {
	t.Parallel()
	const issuer = "https://ends.example.com"
	s := newTestSite(t, ofIssuer(issuer)).runs(t)
	ended := func(subject, client string) bool {
		return inprocess.Ended(issuer, subject, client, func() (time.Time, bool) { return s.clock, true })
	}
	s.allow(t, "ada")
	s.allow(t, "bob")
	core, logs := observer.New(zapcore.InfoLevel)
	s.audited = audit.To(zap.New(core), issuer)
	audited := func(want string) {
		t.Helper()
		for _, entry := range logs.TakeAll() {
			f := entry.ContextMap()
			if f["method"] != audit.Operator {
				continue // ada's own
			}
			if got := fmt.Sprint(f["issuer"], f["event"], f["outcome"], f["user"], f["client_id"]); got != want {
				t.Errorf("the audit log has %s, want %s", got, want)
			}
			want = ""
		}
		if want != "" {
			t.Errorf("the audit log hasn't %s", want)
		}
	}

	var answer access.AllEnded
	status, said := admin(t, "POST", "revoke", `{"issuer":"`+issuer+`","user":"ada","client":"The desk"}`, &answer)
	if want := []access.Ended{{Issuer: issuer, User: "ada", Client: "desk", Consents: 1, Grants: 1}}; status != 200 || !reflect.DeepEqual(answer.Ended, want) {
		t.Errorf("revoke: got %d %s, want %+v", status, said, want)
	}
	if !ended("ada", "desk") || ended("ada", "other") || ended("bob", "desk") {
		t.Error("revoke: front doors were told of the wrong tokens")
	}
	audited(fmt.Sprint(issuer, "revocation", "ok", "ada", "desk"))
	s.allow(t, "ada")
	answer = access.AllEnded{}
	status, said = admin(t, "POST", "sign_out", `{"issuer":"`+issuer+`","user":"ada"}`, &answer)
	if want := []access.Ended{{Issuer: issuer, User: "ada", Sessions: 2, Consents: 1, Grants: 1}}; status != 200 || !reflect.DeepEqual(answer.Ended, want) {
		t.Errorf("sign_out: got %d %s, want %+v", status, said, want)
	}
	if !ended("ada", "other") || ended("bob", "desk") {
		t.Error("sign_out: front doors were told of the wrong tokens")
	}
	audited(fmt.Sprint(issuer, "sign_out", "ok", "ada", nil))
	var left access.Grants
	if _, said := admin(t, "GET", "grants?issuer="+issuer, "", &left); !reflect.DeepEqual(whose(left.Grants), []string{"bob The desk"}) {
		t.Errorf("left is %s", said)
	}
	// What can't be ended isn't said to be.
	logs.TakeAll()
	s.away("delete")
	if status, said := admin(t, "POST", "sign_out", `{"issuer":"`+issuer+`","user":"bob"}`, nil); status != 503 {
		t.Errorf("sign_out while the store fails: got %d %s, want 503", status, said)
	}
	audited(fmt.Sprint(issuer, "sign_out", "error", "bob", nil))
	if !ended("bob", "desk") {
		t.Error("sign_out while the store fails: front doors weren't told")
	}
}

// A user who has removed every record of themselves, on the account page, may have kept an
// access token.
func TestAdminEndsTokensWithoutRecords(t *testing.T) {
	t.Parallel()
	const issuer, other = "https://norecords.example.com", "https://elsewhere.example.com"
	s := newTestSite(t, ofIssuer(issuer)).runs(t)
	newTestSite(t, ofIssuer(other)).runs(t)
	ended := func(issuer, subject string) bool {
		return inprocess.Ended(issuer, subject, "desk", func() (time.Time, bool) { return s.clock, true })
	}
	if status, said := admin(t, "POST", "sign_out", `{"issuer":"`+issuer+`","user":"ada"}`, nil); status != 404 {
		t.Errorf("got %d %s, want 404", status, said)
	}
	if !ended(issuer, "ada") {
		t.Error("front doors weren't told")
	}
	if ended(issuer, "bob") || ended(other, "ada") {
		t.Error("front doors were told of the wrong tokens")
	}
}

func TestAdminMistakes(t *testing.T) {
	t.Parallel()
	const issuer = "https://mistakes.example.com"
	s := newTestSite(t, ofIssuer(issuer)).runs(t)
	s.allow(t, "ada")
	with := func(fields string) string { return `{"issuer":"` + issuer + `"` + fields + `}` }
	for _, test := range []struct {
		name, method, target, body string
		status                     int
		said                       string
	}{
		{"a user for nobody", "POST", "sign_out", with(""), 400, "name a user"},
		{"a client to sign out", "POST", "sign_out", with(`,"user":"ada","client":"desk"`), 400, "no client"},
		{"no client to revoke", "POST", "revoke", with(`,"user":"ada"`), 400, "sign_out"},
		{"an unknown user", "POST", "sign_out", with(`,"user":"eve"`), 404, `nobody called "eve"`},
		{"another client", "POST", "revoke", with(`,"user":"ada","client":"agent"`), 404, "has no access"},
		{"another server", "POST", "sign_out", `{"issuer":"https://other.example.com","user":"ada"}`, 404, "no mcp_auth_server"},
		{"a field too many", "POST", "sign_out", with(`,"user":"ada","really":true`), 400, "reading the request"},
		{"no JSON", "POST", "sign_out", "ada", 400, "reading the request"},
		{"too long", "POST", "sign_out", with(`,"user":"` + strings.Repeat("a", maxAdminRequest) + `"`), 400, "reading the request"},
		{"GET to change something", "GET", "sign_out?user=ada", "", 405, "use POST"},
		{"POST to look", "POST", "grants", "{}", 405, "use GET"},
		{"an unknown filter", "GET", "grants?name=ada", "", 400, "issuer, user and client"},
		{"a filter twice", "GET", "grants?user=ada&user=bob", "", 400, "once each"},
	} {
		if status, said := admin(t, test.method, test.target, test.body, nil); status != test.status || !strings.Contains(said, test.said) {
			t.Errorf("%s: got %d %s, want %d and %q", test.name, status, said, test.status, test.said)
		}
	}
	s.away("list")
	for _, target := range []string{"grants?issuer=" + issuer, "status?issuer=" + issuer} {
		if status, said := admin(t, "GET", target, "", nil); status != http.StatusServiceUnavailable {
			t.Errorf("%s without the storage: got %d %s, want 503", target, status, said)
		}
	}
	if status, said := admin(t, "POST", "sign_out", with(`,"user":"ada"`), nil); status != http.StatusServiceUnavailable {
		t.Errorf("without the storage: got %d %s, want 503", status, said)
	}
}

// During a reload, there are two configurations of a server.
func TestAdminDuringReload(t *testing.T) {
	t.Parallel()
	const issuer = "https://reload.example.com"
	before := newTestSite(t, ofIssuer(issuer)).runs(t)
	after := newTestSite(t, ofIssuer(issuer)).runs(t)
	servers, err := (&adminRequest{Issuer: issuer}).servers()
	if err != nil || len(servers) != 1 || servers[0] != after.Handler || servers[0] == before.Handler {
		t.Errorf("got %v, %v, want the latest", servers, err)
	}
}

// allow has the user sign in with another browser and allow the desk access, which
// gets a token.
func (s *site) allow(t *testing.T, user string) {
	t.Helper()
	const callback = "https://desk.example/callback"
	page := s.person().get(request("desk", callback)).follow().signIn(user)
	if page.button("allow") {
		page = page.press("decision", "allow")
	}
	to, err := url.Parse(page.location)
	if err != nil || to.Query().Get("code") == "" {
		t.Fatalf("got %d %q %s, want a code", page.status, page.location, page.text())
	}
	form := url.Values{"grant_type": {"authorization_code"}, "client_id": {"desk"}, "code": {to.Query().Get("code")}, "code_verifier": {testVerifier}, "redirect_uri": {callback}}
	r := httptest.NewRequest("POST", oauth.TokenPath, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	s.server.ServeHTTP(w, r)
	if w.Code != 200 {
		t.Fatalf("redeeming: %d %s", w.Code, w.Body)
	}
}
