package logto_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/facade/logto"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
)

// tenant is a Logto that does as the test says and notes what it was asked.
type tenant struct {
	*httptest.Server

	mu       sync.Mutex
	answers  map[string]http.HandlerFunc // by method and path
	requests []string
	bodies   map[string]string
	tokens   int
}

func newTenant(t *testing.T) *tenant {
	t.Helper()
	l := &tenant{bodies: make(map[string]string)}
	l.answers = map[string]http.HandlerFunc{
		"POST /oidc/token": func(w http.ResponseWriter, r *http.Request) {
			id, secret, _ := r.BasicAuth() // form-encoded: RFC 6749, section 2.3.1
			w.Header().Set("Content-Type", "application/json")
			if id != "m2m" || secret != "m2m+secret" || r.FormValue("resource") != l.URL+"/api" || r.FormValue("scope") != "all" {
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, `{"error":"invalid_client","error_description":"m2m secret is wrong"}`)
				return
			}
			l.tokens++
			_, _ = io.WriteString(w, `{"access_token":"token`+string(rune('0'+l.tokens))+`","token_type":"Bearer","expires_in":3600}`)
		},
		"POST /api/applications":                          reply(200, `{"id":"app1","secret":"internal:no use"}`),
		"POST /api/applications/app1/user-consent-scopes": reply(201, ``),
		"GET /api/applications/app1/secrets":              reply(200, `[{"value":"hush"}]`),
		"DELETE /api/applications/app1":                   reply(204, ``),
	}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		what := r.Method + " " + r.URL.EscapedPath()
		l.requests = append(l.requests, what)
		if r.URL.Path != "/oidc/token" {
			if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer token") {
				t.Errorf("%s has Authorization %q", what, r.Header.Get("Authorization"))
			}
			b, _ := io.ReadAll(r.Body)
			l.bodies[what] = string(b)
		}
		if answer := l.answers[what]; answer != nil {
			answer(w, r)
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(l.Close)
	return l
}

func reply(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func (l *tenant) api(t *testing.T) *logto.API {
	t.Helper()
	api, err := logto.New(logto.Config{
		Endpoint: l.URL + "/", ClientID: "m2m", ClientSecret: "m2m secret",
		UserScopes: []string{"profile"}, ResourceScopes: []string{"scope1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

func TestCreate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		kind, secret string
		want         []string
	}{
		{logto.Native, "", []string{"POST /oidc/token", "POST /api/applications", "POST /api/applications/app1/user-consent-scopes"}},
		{logto.Traditional, "hush", []string{"POST /oidc/token", "POST /api/applications", "POST /api/applications/app1/user-consent-scopes", "GET /api/applications/app1/secrets"}},
	} {
		l := newTenant(t)
		app, err := l.api(t).Create(t.Context(), logto.Application{Name: "n", Type: test.kind, RedirectURIs: []string{"https://a.example/cb"}})
		if err != nil || app.ID != "app1" || app.Secret != test.secret {
			t.Errorf("%s: got %+v, %v", test.kind, app, err)
		}
		if !slices.Equal(l.requests, test.want) {
			t.Errorf("%s: got %q, want %q", test.kind, l.requests, test.want)
		}
		for what, want := range map[string]string{
			"POST /api/applications":                          `{"name":"n","type":"` + test.kind + `","isThirdParty":true,"oidcClientMetadata":{"redirectUris":["https://a.example/cb"],"postLogoutRedirectUris":[]}}`,
			"POST /api/applications/app1/user-consent-scopes": `{"userScopes":["profile"],"resourceScopes":["scope1"]}`,
		} {
			if !sameJSON(t, l.bodies[what], want) {
				t.Errorf("%s: got %s, want %s", what, l.bodies[what], want)
			}
		}
	}
}

// What can't be completed is undone: an application without scopes would get
// nothing, and nobody would know why.
func TestCreateIsUndone(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		what        string
		answer      http.HandlerFunc
		unavailable bool
	}{
		"unknown scope":     {"POST /api/applications/app1/user-consent-scopes", reply(422, `{"code":"application.user_consent_scopes_not_found"}`), false},
		"scopes: 503":       {"POST /api/applications/app1/user-consent-scopes", reply(503, `<html>`), true},
		"scopes: 404":       {"POST /api/applications/app1/user-consent-scopes", reply(404, ``), true},
		"no secret":         {"GET /api/applications/app1/secrets", reply(200, `[]`), true},
		"an empty secret":   {"GET /api/applications/app1/secrets", reply(200, `[{"value":""}]`), true},
		"secrets: not JSON": {"GET /api/applications/app1/secrets", reply(200, `<html>`), true},
	} {
		l := newTenant(t)
		l.answers[test.what] = test.answer
		app, err := l.api(t).Create(t.Context(), logto.Application{Type: logto.Traditional})
		if err == nil || app.ID != "" {
			t.Errorf("%s: got %+v, %v", name, app, err)
		}
		if _, unavailable := errors.AsType[*outbound.UnavailableError](err); unavailable != test.unavailable {
			t.Errorf("%s: got %v, want unavailable %t", name, err, test.unavailable)
		}
		if last := l.requests[len(l.requests)-1]; last != "DELETE /api/applications/app1" {
			t.Errorf("%s: the last request is %s, want the removal", name, last)
		}
	}

	l := newTenant(t)
	l.answers["POST /api/applications/app1/user-consent-scopes"] = reply(500, ``)
	l.answers["DELETE /api/applications/app1"] = reply(500, ``)
	if _, err := l.api(t).Create(t.Context(), logto.Application{Type: logto.SPA}); err == nil || !strings.Contains(err.Error(), "removing an application") {
		t.Errorf("an application that stays: got %v", err)
	}
}

func TestCreateFails(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"refused":       {reply(400, `{"message":"secret things"}`), "answered 400"},
		"away":          {reply(503, `secret things`), "answered 503"},
		"elsewhere":     {reply(404, ``), "answered 404"},
		"forbidden":     {reply(403, ``), "answered 403: does the machine-to-machine application have the role `Logto Management API access`?"},
		"not JSON":      {reply(200, `secret things`), "not what it should be"},
		"no id":         {reply(200, `{}`), "no id"},
		"no string":     {reply(200, `{"id":7}`), "not what it should be"},
		"two ids":       {reply(200, `{"id":"a","id":"b"}`), "not what it should be"},
		"larger than 1": {reply(200, `{"id":"a","x":"`+strings.Repeat("x", 1<<20)+`"}`), "larger than 1048576 bytes"},
		"redirected": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.2:1/", http.StatusTemporaryRedirect)
		}, "redirect"},
	} {
		l := newTenant(t)
		l.answers["POST /api/applications"] = test.answer
		app, err := l.api(t).Create(t.Context(), logto.Application{Type: logto.Native})
		if err == nil || !strings.Contains(err.Error(), test.want) || app.ID != "" {
			t.Errorf("%s: got %+v, %v, want an error with %q", name, app, err, test.want)
		} else if strings.Contains(err.Error(), "secret things") {
			t.Errorf("%s: the error quotes the answer: %v", name, err)
		}
		if slices.Contains(l.requests, "DELETE /api/applications/app1") {
			t.Errorf("%s: something was removed", name)
		}
	}
}

// A token that isn't taken any more is replaced, once.
func TestAccessToken(t *testing.T) {
	t.Parallel()
	l := newTenant(t)
	create := l.answers["POST /api/applications"]
	l.answers["POST /api/applications"] = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer token1" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		create(w, r)
	}
	api := l.api(t)
	for range 2 {
		if app, err := api.Create(t.Context(), logto.Application{Type: logto.Native}); err != nil || app.ID != "app1" {
			t.Errorf("got %+v, %v", app, err)
		}
	}
	if l.tokens != 2 {
		t.Errorf("%d tokens, want 2: the one that is good is kept", l.tokens)
	}

	l.answers["POST /api/applications"] = reply(401, ``)
	if _, err := api.Create(t.Context(), logto.Application{Type: logto.Native}); err == nil {
		t.Error("no token is taken, but there is no error")
	}
	if l.tokens != 3 {
		t.Errorf("%d tokens, want 3: tried again once", l.tokens)
	}
}

func TestWrongCredentials(t *testing.T) {
	t.Parallel()
	l := newTenant(t)
	api, err := logto.New(logto.Config{Endpoint: l.URL, ClientID: "m2m", ClientSecret: "another"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = api.Create(t.Context(), logto.Application{Type: logto.Native})
	if _, unavailable := errors.AsType[*outbound.UnavailableError](err); !unavailable || !strings.Contains(err.Error(), `401 "invalid_client"`) {
		t.Errorf("got %v", err)
	} else if strings.Contains(err.Error(), "m2m secret") {
		t.Errorf("the error quotes the answer: %v", err)
	}
	l.Close()
	if _, err = api.Create(t.Context(), logto.Application{Type: logto.Native}); err == nil {
		t.Error("nobody is there, but there is no error")
	}
}

func TestRenew(t *testing.T) {
	t.Parallel()
	l := newTenant(t)
	api := l.api(t)
	app, exists, err := api.Renew(t.Context(), logto.Application{ID: "app1", Type: logto.Traditional})
	if err != nil || !exists || app.Secret != "hush" {
		t.Errorf("got %+v, %t, %v", app, exists, err)
	}
	if !slices.Contains(l.requests, "POST /api/applications/app1/user-consent-scopes") {
		t.Error("it doesn't get the scopes of today")
	}
	if app, exists, err := api.Renew(t.Context(), logto.Application{ID: "../users", Type: logto.Native}); err != nil || exists || app.ID != "" {
		t.Errorf("removed: got %+v, %t, %v", app, exists, err)
	}
	if last := l.requests[len(l.requests)-1]; last != "POST /api/applications/..%2Fusers/user-consent-scopes" {
		t.Errorf("asked for %s", last)
	}
	l.answers["POST /api/applications/app1/user-consent-scopes"] = reply(503, ``)
	if _, exists, err := api.Renew(t.Context(), logto.Application{ID: "app1", Type: logto.Native}); err == nil || exists {
		t.Errorf("nobody can say: got %t, %v", exists, err)
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	l := newTenant(t)
	api := l.api(t)
	for _, id := range []string{"app1", "gone"} {
		if err := api.Delete(t.Context(), id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	l.answers["DELETE /api/applications/app1"] = reply(500, ``)
	if err := api.Delete(t.Context(), "app1"); err == nil {
		t.Error("it stays, but there is no error")
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := logto.Config{Endpoint: "https://tenant.logto.app", ClientID: "a", ClientSecret: "b"}
	for name, change := range map[string]func(*logto.Config){
		"no endpoint":             func(c *logto.Config) { c.Endpoint = "" },
		"endpoint in the clear":   func(c *logto.Config) { c.Endpoint = "http://tenant.logto.app" },
		"tokens in the clear":     func(c *logto.Config) { c.TokenEndpoint = "http://admin.logto.app/oidc/token" },
		"no client":               func(c *logto.Config) { c.ClientID = "" },
		"no secret of the client": func(c *logto.Config) { c.ClientSecret = "" },
	} {
		config := good
		change(&config)
		if _, err := logto.New(config); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := logto.New(good); err != nil {
		t.Error(err)
	}
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	if err := errors.Join(json.Unmarshal([]byte(a), &x), json.Unmarshal([]byte(b), &y)); err != nil {
		t.Error(err)
	}
	return reflect.DeepEqual(x, y)
}
