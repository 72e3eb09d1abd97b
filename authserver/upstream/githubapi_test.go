package upstream_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/upstream"
)

func TestNewGitHub(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		config upstream.GitHubConfig
		label  string // empty: refused
	}{
		{"no client_id", upstream.GitHubConfig{ClientSecret: "b"}, ""},
		{"no client_secret", upstream.GitHubConfig{ClientID: "a"}, ""},
		{"base_url without https", upstream.GitHubConfig{ClientID: "a", ClientSecret: "b", BaseURL: "http://ghe.example"}, ""},
		{"api_url without https", upstream.GitHubConfig{ClientID: "a", ClientSecret: "b", APIURL: "http://ghe.example/api/v3"}, ""},
		{"api_url of no host", upstream.GitHubConfig{ClientID: "a", ClientSecret: "b", APIURL: "/api/v3"}, ""},
		{"github.com", upstream.GitHubConfig{ClientID: "a", ClientSecret: "b"}, "GitHub"},
		{"label", upstream.GitHubConfig{ClientID: "a", ClientSecret: "b", Label: "Work"}, "Work"},
	} {
		g, err := upstream.NewGitHub(test.config)
		switch {
		case test.label == "" && err == nil:
			t.Errorf("%s: got no error, want one", test.name)
		case test.label != "" && err != nil:
			t.Errorf("%s: got %v, want none", test.name, err)
		case err == nil:
			if g.Label() != test.label {
				t.Errorf("%s: got the label %q, want %q", test.name, g.Label(), test.label)
			}
			if address, _, err := g.Begin(t.Context(), redirectURI, upstream.Wish{}); err != nil || !strings.HasPrefix(address, "https://github.com/login/oauth/authorize?") {
				t.Errorf("%s: got %q, %v, want an address of github.com", test.name, address, err)
			}
		}
	}
}

// limited refuses for having been asked too often.
func limited(status int, header, value string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(header, value)
		answer(status, "application/json", `{"message":"sesame"}`)(w, r)
	}
}

// TestGitHubAPIRefused: what is no answer of the API's, and what is one that
// there is no going on with.
func TestGitHubAPIRefused(t *testing.T) {
	t.Parallel()
	json := func(body string) http.HandlerFunc { return answer(http.StatusOK, "application/json", body) }
	forbidden := answer(http.StatusForbidden, "application/json", `{"message":"sesame"}`)
	missing := answer(http.StatusNotFound, "application/json", `{"message":"sesame"}`)
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		// What comes of it at /user, /user/emails, /user/orgs.
		user, emails, orgs string
	}{
		{"401", answer(http.StatusUnauthorized, "application/json", `{"message":"sesame"}`), "invalid", "invalid", "invalid"},
		{"403", forbidden, "invalid", "none", "invalid"},
		{"403 with requests left", limited(http.StatusForbidden, "X-RateLimit-Remaining", "12"), "invalid", "none", "invalid"},
		{"404", missing, "invalid", "none", "invalid"},
		{"204", answer(http.StatusNoContent, "application/json", ""), "invalid", "invalid", "invalid"},
		{"rate limit", limited(http.StatusForbidden, "X-RateLimit-Remaining", "0"), "unavailable", "unavailable", "unavailable"},
		{"secondary rate limit", limited(http.StatusForbidden, "Retry-After", "60"), "unavailable", "unavailable", "unavailable"},
		{"429", limited(http.StatusTooManyRequests, "Retry-After", "60"), "unavailable", "unavailable", "unavailable"},
		{"500", answer(http.StatusInternalServerError, "text/html", "<p>sesame"), "unavailable", "unavailable", "unavailable"},
		{"503", answer(http.StatusServiceUnavailable, "text/html", "<p>sesame"), "unavailable", "unavailable", "unavailable"},
		{"broken off", brokenOff, "unavailable", "unavailable", "unavailable"},
		{"closed", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "unavailable", "unavailable", "unavailable"},
		{"HTML", answer(http.StatusOK, "text/html", "<p>sesame"), "invalid", "invalid", "invalid"},
		{"nothing", json(""), "invalid", "invalid", "invalid"},
		{"a text", json(`"sesame"`), "invalid", "invalid", "invalid"},
		{"too much", json(strings.Repeat(" ", 1<<20) + "[]"), "invalid", "invalid", "invalid"},
		{"an empty object", json("{}"), "invalid", "invalid", "invalid"},
		{"id 0", json(`{"id":0,"login":"ghost"}`), "invalid", "", ""},
		{"id below 0", json(`{"id":-1,"login":"ghost"}`), "invalid", "", ""},
		{"no id", json(`{"login":"ghost"}`), "invalid", "", ""},
		{"id is a text", json(`{"id":"1","login":"ghost"}`), "invalid", "", ""},
		{"id is too large", json(`{"id":9223372036854775808,"login":"ghost"}`), "invalid", "", ""},
		{"id twice", json(`{"id":1,"id":2,"login":"ghost"}`), "invalid", "", ""},
		{"no login", json(`{"id":1}`), "invalid", "", ""},
	} {
		for path, want := range map[string]string{gitHubUser: test.user, gitHubEmails: test.emails, gitHubOrgs: test.orgs} {
			if want == "" {
				continue
			}
			t.Run(test.name+path, func(t *testing.T) {
				t.Parallel()
				f := newGitHub(t)
				f.api(path, test.handler)
				id, err := f.signIn(t, true, nil)
				if want == "none" {
					if err != nil || id.Subject != "583231" || id.Email != "" || id.EmailVerified {
						t.Errorf("got %+v, %v, want a user without an e-mail", id, err)
					}
					return
				}
				checkRefused(t, id, err, want)
			})
		}
	}
}

func TestGitHubEmail(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, emails, want string
	}{
		{"primary and verified", `[{"email":"a@example.com","primary":true,"verified":true}]`, "a@example.com"},
		{"among others", `[{"email":"b@example.com","primary":false,"verified":true},{"email":"a@example.com","primary":true,"verified":true}]`, "a@example.com"},
		{"before others", `[{"email":"a@example.com","primary":true,"verified":true},{"email":"b@example.com","primary":false,"verified":true}]`, "a@example.com"},
		{"primary, not verified", `[{"email":"a@example.com","primary":true,"verified":false},{"email":"b@example.com","primary":false,"verified":true}]`, ""},
		{"verified, not primary", `[{"email":"a@example.com","primary":false,"verified":true}]`, ""},
		{"says neither", `[{"email":"a@example.com"}]`, ""},
		{"none", `[]`, ""},
		{"null", `null`, ""},
	} {
		f := newGitHub(t)
		f.api(gitHubEmails, answer(http.StatusOK, "application/json", test.emails))
		id, err := f.signIn(t, false, nil)
		if err != nil || id.Email != test.want || id.EmailVerified != (test.want != "") {
			t.Errorf("%s: got %q, verified %v, %v, want %q", test.name, id.Email, id.EmailVerified, err, test.want)
		}
	}
}

func TestGitHubTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, err := upstream.NewGitHub(upstream.GitHubConfig{
			ClientID: clientID, ClientSecret: clientSecret, Client: &http.Client{Transport: direct{http.HandlerFunc(hang)}},
		})
		if err != nil {
			t.Fatal(err)
		}
		_, p, err := g.Begin(t.Context(), redirectURI, upstream.Wish{})
		if err != nil {
			t.Fatal(err)
		}
		id, err := g.Finish(t.Context(), redirectURI, p, map[string][]string{"state": {p.State}, "code": {code}})
		checkRefused(t, id, err, "unavailable")
	})
}
