package facade

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// tenant is a Logto with a Management API.
type tenant struct {
	*site
	apps *applications

	mu     sync.Mutex
	made   []string
	status int // of what makes an application; 0 for one that does
}

func newTenant(t *testing.T) *tenant {
	t.Helper()
	l := new(tenant)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oidc/token", func(w http.ResponseWriter, _ *http.Request) {
		_ = writeJSON(w, 200, map[string]any{"access_token": "t", "token_type": "Bearer", "expires_in": 3600})
	})
	mux.HandleFunc("POST /api/applications", func(w http.ResponseWriter, _ *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.status != 0 {
			w.WriteHeader(l.status)
			_, _ = io.WriteString(w, `{"message":"no"}`)
			return
		}
		l.made = append(l.made, fmt.Sprintf("app%d", len(l.made)))
		_ = writeJSON(w, 200, map[string]any{"id": l.made[len(l.made)-1]})
	})
	mux.HandleFunc("POST /api/applications/{id}/user-consent-scopes", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201) })
	mux.HandleFunc("GET /api/applications/{id}/secrets", func(w http.ResponseWriter, r *http.Request) {
		_ = writeJSON(w, 200, []any{map[string]any{"value": "secret of " + r.PathValue("id")}})
	})
	mux.HandleFunc("DELETE /api/applications/{id}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	up := newServer(t, mux)
	l.site = newSite(t, "preset logto\ndiscovery off\nmetadata authorization_endpoint "+issuer+"/auth\nmetadata token_endpoint "+issuer+"/token\n"+
		"metadata code_challenge_methods_supported S256\nprivate_schemes cursor\nregister logto {\nendpoint "+up+"\nclient_id m2m\nclient_secret s\n}")
	l.apps = l.registrar.(*applications)
	// What is noted in the background is noted before the storage goes away.
	t.Cleanup(func() {
		for range cap(l.apps.noting) {
			l.apps.noting <- struct{}{}
		}
	})
	return l
}

func (l *tenant) register(body string) (int, map[string]any) {
	l.t.Helper()
	l.limits = newLimits(l.now)
	w := l.do(request("POST", "/o/oauth/register", body, "Content-Type", "application/json"))
	var answer map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		l.t.Fatalf("got %d %s", w.Code, w.Body)
	}
	return w.Code, answer
}

// noted waits until what is in use has been stored.
func (l *tenant) noted() {
	for range maxNoting {
		l.apps.noting <- struct{}{}
	}
	for range maxNoting {
		<-l.apps.noting
	}
}

// Strangers with the same metadata share an application only if there is no
// secret to it.
func TestSecretsAreNotShared(t *testing.T) {
	t.Parallel()
	l := newTenant(t)
	for name, test := range map[string]struct {
		body   string
		shared bool
	}{
		"confidential":          {`{"client_name":"n","redirect_uris":["https://a.example/cb"]}`, false},
		"confidential, by form": {`{"client_name":"n","redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"client_secret_post"}`, false},
		"another method":        {`{"client_name":"n","redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"private_key_jwt"}`, false},
		"public":                {`{"client_name":"n","redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"none"}`, true},
		"native":                {`{"client_name":"n","redirect_uris":["http://127.0.0.1:7/cb"]}`, true},
		"a private scheme":      {`{"client_name":"n","redirect_uris":["cursor://x/cb"],"token_endpoint_auth_method":"client_secret_basic"}`, true},
	} {
		_, first := l.register(test.body)
		_, second := l.register(test.body)
		if first["client_id"] == nil || (first["client_id"] == second["client_id"]) != test.shared {
			t.Errorf("%s: got %v and %v", name, first, second)
		}
		if secret := first["client_secret"]; secret != nil && (secret == second["client_secret"] || test.shared) || (secret == nil) != test.shared {
			t.Errorf("%s: the secrets are %v and %v", name, secret, second["client_secret"])
		}
	}
	l.status = 422
	if status, answer := l.register(`{"client_name":"other","redirect_uris":["https://a.example/cb"]}`); status != 400 || answer["error"] != "invalid_client_metadata" {
		t.Errorf("refused by Logto: got %d %v", status, answer)
	}
	l.status = 403
	if status, answer := l.register(`{"client_name":"other","redirect_uris":["https://a.example/cb"]}`); status != 503 || answer["error"] != "temporarily_unavailable" {
		t.Errorf("without the role: got %d %v", status, answer)
	}
}

// Clients with the same metadata are one to Logto, and so it has to ask each time
// where any program could be the client.
func TestReusedClientsAreAskedFor(t *testing.T) {
	t.Parallel()
	l := newTenant(t)
	_, answer := l.register(`{"client_name":"n","redirect_uris":["http://127.0.0.1:7/cb"]}`)
	id := answer["client_id"].(string)
	for name, test := range map[string]struct{ redirect, prompt, want string }{
		"loopback":              {"http://127.0.0.1:9/cb", "", "consent"},
		"by name":               {"http://localhost:9/cb", "", "consent"},
		"a private scheme":      {"cursor://x/cb", "", "consent"},
		"asked for":             {"http://127.0.0.1:9/cb", "consent", "consent"},
		"something else":        {"http://127.0.0.1:9/cb", "login", "login consent"},
		"a web site":            {"https://a.example/cb", "", ""},
		"a web site, silently":  {"https://a.example/cb", "none", "none"},
		"what nobody registers": {"other://x/cb", "", ""},
		"another host":          {"http://a.example/cb", "", ""},

		// What a server that parses addresses, rather than compare them exactly,
		// takes for the client's; and the only one there is, if none is named.
		"left out":                 {"", "", "consent"},
		"capital letters":          {"HTTP://LOCALHOST:9/cb", "", "consent"},
		"a short address":          {"http://127.1:9/cb", "", "consent"},
		"a number":                 {"http://2130706433:9/cb", "", "consent"},
		"backslashes":              {`http:\\127.0.0.1:9\cb`, "", "consent"},
		"no slashes":               {"http:127.0.0.1:9/cb", "", "consent"},
		"a dot at the end":         {"http://localhost.:9/cb", "", "consent"},
		"a fragment":               {"http://127.0.0.1:9/cb#", "", "consent"},
		"a user":                   {"http://@127.0.0.1:9/cb", "", "consent"},
		"escapes":                  {"http://%31%32%37.0.0.1:9/cb", "", "consent"},
		"the scheme in capitals":   {"CURSOR://x/cb", "", "consent"},
		"a scheme with a fragment": {"cursor://x/cb#", "", "consent"},
	} {
		l.behind.got = nil
		w := l.do(request("GET", "/o/auth?"+good("client_id", id, "redirect_uri", test.redirect, "prompt", test.prompt).Encode(), ""))
		if w.Code != http.StatusTeapot || len(l.behind.got) != 1 {
			t.Errorf("%s: got %d", name, w.Code)
			continue
		}
		u, err := url.Parse(l.behind.got[0].target)
		if err != nil || u.Query().Get("prompt") != test.want {
			t.Errorf("%s: the server got %s, %v, want the prompt %q", name, u, err, test.want)
		}
	}
	w := l.do(request("GET", "/o/auth?"+good("client_id", id, "redirect_uri", "http://127.0.0.1:9/cb", "prompt", "none").Encode(), ""))
	if location := w.Header().Get("Location"); w.Code != 303 || !strings.HasPrefix(location, "http://127.0.0.1:9/cb?") || !strings.Contains(location, "error=interaction_required") {
		t.Errorf("silently: got %d %s", w.Code, location)
	}
	// Nobody is sent where the client may not be.
	for _, redirect := range []string{"", "HTTP://LOCALHOST:9/cb", `http:\\a.example/cb`, "http://@127.0.0.1:9/cb", "http://127.0.0.1:9/cb#"} {
		w := l.do(request("GET", "/o/auth?"+good("client_id", id, "redirect_uri", redirect, "prompt", "none").Encode(), ""))
		if location := w.Header().Get("Location"); w.Code != http.StatusBadRequest || location != "" {
			t.Errorf("silently, %q: got %d %s, want a page", redirect, w.Code, location)
		}
	}
}

// A client that only refreshes its tokens is in use; one that strangers name is not.
func TestSweepKeepsWhatIsUsed(t *testing.T) {
	t.Parallel()
	l := newTenant(t)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	l.apps.now = func() time.Time { return now }
	ids := make(map[string]string)
	for _, name := range []string{"form", "basic", "authorization", "refused", "confidential", "unused"} {
		body := `{"client_name":"` + name + `","redirect_uris":["http://127.0.0.1:7/cb"]}`
		if name == "confidential" {
			body = `{"client_name":"c","redirect_uris":["https://a.example/cb"]}`
		}
		_, answer := l.register(body)
		ids[name] = answer["client_id"].(string)
	}
	const refresh = "grant_type=refresh_token&refresh_token=r"
	for range 10 {
		l.behind.status = http.StatusOK
		now = now.Add(12 * 24 * time.Hour)
		l.do(request("POST", "/o/token", refresh+"&client_id="+ids["form"], "Content-Type", formType))
		for _, name := range []string{"basic", "confidential"} {
			r := request("POST", "/o/token", refresh, "Content-Type", formType)
			r.SetBasicAuth(ids[name], "x")
			l.do(r)
			l.noted()
		}
		l.behind.status = http.StatusBadRequest // an invented refresh token
		l.do(request("POST", "/o/token", refresh+"&client_id="+ids["refused"], "Content-Type", formType))
		l.noted()
		l.do(request("GET", "/o/auth?"+good("client_id", ids["authorization"], "redirect_uri", "http://127.0.0.1:7/cb").Encode(), ""))
		// Not those of Logto, and no storage keys.
		l.do(request("POST", "/o/token", refresh+"&client_id=..%2F..%2Fids", "Content-Type", formType))
		l.noted()
	}
	removed, err := l.apps.Sweep(t.Context(), 90*24*time.Hour)
	want := []string{ids["authorization"], ids["refused"], ids["unused"]}
	if slices.Sort(removed); err != nil || !slices.Equal(removed, slices.Sorted(slices.Values(want))) {
		t.Errorf("removed %q, %v, want %q of %v", removed, err, want, ids)
	}
	now = now.Add(100 * 24 * time.Hour)
	if removed, err := l.apps.Sweep(t.Context(), 90*24*time.Hour); err != nil || len(removed) != 3 {
		t.Errorf("later: removed %q, %v, want three", removed, err)
	}
}
