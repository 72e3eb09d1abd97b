package oauth

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// A client sends its secret by either method, whatever it registered with; less
// than the secret is never enough.
func TestClientAuthentication(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) {
		c.Clients[1].ClientCredentials = true
	})
	register := func(method string) (string, string) {
		got := ask(t, f.Server, RegisterPath, "application/json", `{"redirect_uris":["`+testRedirect+`"],"token_endpoint_auth_method":"`+method+`"}`)
		return got.ID, got.Secret
	}
	basicID, basicSecret := register(methodBasic)
	postID, postSecret := register(methodPost)
	publicID, _ := register(methodNone)
	odd := "a secret: of %+& ünd more"
	f.Server = f.again(func(c *Config) {
		c.Clients = append(c.Clients, Client{ID: "odd one", Secret: odd, RedirectURIs: []string{testRedirect}})
	})
	for _, test := range []struct {
		name              string
		id, secret        string // in the form
		basicID, password string // in the header
		header            string // instead
		want              string // error; empty: let in
	}{
		{"registered for basic, by basic", "", "", basicID, basicSecret, "", ""},
		{"registered for basic, by post", basicID, basicSecret, "", "", "", ""},
		{"registered for post, by post", postID, postSecret, "", "", "", ""},
		{"registered for post, by basic", "", "", postID, postSecret, "", ""},
		{"the operator's, by basic", "", "", "backend", "a-secret-of-the-backend", "", ""},
		{"the operator's, by post", "backend", "a-secret-of-the-backend", "", "", "", ""},
		{"by basic, and named in the form", basicID, "", basicID, basicSecret, "", ""},
		{"public", publicID, "", "", "", "", ""},
		{"encoded", "", "", "odd one", odd, "", ""},

		{"registered for basic, no secret", basicID, "", "", "", "", "invalid_client"},
		{"registered for post, no secret", postID, "", "", "", "", "invalid_client"},
		{"an empty password", "", "", basicID, "", "", "invalid_client"},
		{"another's secret", basicID, postSecret, "", "", "", "invalid_client"},
		{"a secret that is shorter", basicID, basicSecret[1:], "", "", "", "invalid_client"},
		{"public, with a secret", publicID, basicSecret, "", "", "", "invalid_client"},
		{"public, by basic", "", "", publicID, "x", "", "invalid_client"},
		{"both ways", basicID, basicSecret, basicID, basicSecret, "", "invalid_request"},
		{"two clients", postID, "", basicID, basicSecret, "", "invalid_request"},
		{"another scheme", basicID, "", "", "", "Bearer x", "invalid_request"},
		{"no base64", "", "", "", "", "Basic ?", "invalid_client"},
		{"no colon", "", "", "", "", "Basic eA==", "invalid_client"},
		{"nobody", "", "", "", "", "", "invalid_request"},
	} {
		form := url.Values{"token": {"x"}}
		if test.id != "" {
			form.Set("client_id", test.id)
		}
		if test.secret != "" {
			form.Set("client_secret", test.secret)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, testIssuer+RevokePath, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if test.basicID != "" {
			r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(test.basicID)+":"+url.QueryEscape(test.password))))
		}
		if test.header != "" {
			r.Header.Set("Authorization", test.header)
		}
		w := httptest.NewRecorder()
		f.ServeHTTP(w, r)
		switch {
		case test.want == "" && w.Code != 200:
			t.Errorf("%s: got %d %s, want it let in", test.name, w.Code, w.Body)
		case test.want != "" && (w.Code < 400 || !strings.Contains(w.Body.String(), `"`+test.want+`"`)):
			t.Errorf("%s: got %d %s, want %s", test.name, w.Code, w.Body, test.want)
		case test.want == "invalid_client" && r.Header.Get("Authorization") != "" && w.Header().Get("WWW-Authenticate") == "":
			t.Errorf("%s: no challenge", test.name)
		}
	}
}

// The other endpoints take empty parameters for omitted as well.
func TestEmptyParametersInForms(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tokens := f.tokens()
	form := refreshForm(tokens.Refresh)
	for _, name := range []string{"scope", "client_secret", "code", "redirect_uri"} {
		form.Set(name, "")
	}
	form["resource"] = []string{"", ""}
	got := post(t, f.Server, TokenPath, form)
	if got.status != 200 {
		t.Errorf("refreshing: %d %s", got.status, got.body)
	}
	form = refreshForm(got.Refresh)
	form["resource"] = []string{"", "https://evil.example/mcp"}
	if got := post(t, f.Server, TokenPath, form); got.Error != "invalid_target" {
		t.Errorf("an empty resource hides another: %d %s, want invalid_target", got.status, got.body)
	}
	for name, form := range map[string]url.Values{
		"no token":     {"client_id": {"app"}, "grant_type": {refreshToken}, "refresh_token": {""}},
		"no grant":     {"client_id": {"app"}, "grant_type": {""}},
		"no client":    {"client_id": {""}, "grant_type": {refreshToken}},
		"client twice": {"client_id": {"app", ""}, "grant_type": {refreshToken}},
	} {
		if got := post(t, f.Server, TokenPath, form); got.Error != "invalid_request" {
			t.Errorf("%s: got %d %s, want invalid_request", name, got.status, got.body)
		}
	}
}
