package upstream_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/upstream"
)

const (
	gitHubToken  = "/login/oauth/access_token"
	gitHubUser   = "/api/user"
	gitHubEmails = "/api/user/emails"
	gitHubOrgs   = "/api/user/orgs"
	gitHubTeams  = "/api/user/teams"
)

// fakeGitHub is GitHub's web application flow, and of its API what is asked.
type fakeGitHub struct {
	*base
	*httptest.Server
	challenge string
}

func newGitHub(t *testing.T) *fakeGitHub {
	t.Helper()
	f := &fakeGitHub{base: &base{handlers: make(map[string]http.HandlerFunc), hits: make(map[string]int)}}
	f.Server = httptest.NewServer(f.base)
	t.Cleanup(f.Close)
	f.handle(gitHubToken, func(w http.ResponseWriter, r *http.Request) {
		verifier := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		if r.PostFormValue("code") != code || r.PostFormValue("client_id") != clientID || r.PostFormValue("client_secret") != clientSecret ||
			r.PostFormValue("redirect_uri") != redirectURI || base64.RawURLEncoding.EncodeToString(verifier[:]) != f.challenge {
			answer(http.StatusOK, "application/x-www-form-urlencoded", "error=bad_verification_code")(w, r)
			return
		}
		// GitHub's own format, when JSON isn't asked for.
		answer(http.StatusOK, "application/x-www-form-urlencoded; charset=utf-8", "access_token="+accessToken+"&scope=read%3Auser&token_type=bearer")(w, r)
	})
	f.api(gitHubUser, answer(http.StatusOK, "application/json", `{"id":583231,"login":"Octocat","name":"The Octocat","email":"profile@example.com"}`))
	f.api(gitHubEmails, answer(http.StatusOK, "application/json", `[]`))
	f.api(gitHubOrgs, answer(http.StatusOK, "application/json", `[]`))
	f.api(gitHubTeams, answer(http.StatusOK, "application/json", `[]`))
	return f
}

// api answers at path, to the user's token only.
func (f *fakeGitHub) api(path string, handler http.HandlerFunc) {
	f.handle(path, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+accessToken || r.Header.Get("User-Agent") == "" {
			answer(http.StatusUnauthorized, "application/json", `{"message":"sesame"}`)(w, r)
			return
		}
		handler(w, r)
	})
}

func (f *fakeGitHub) signIn(t *testing.T, needOrgs bool, callback func(url.Values)) (upstream.Identity, error) {
	t.Helper()
	return f.signInWith(t, upstream.GitHubConfig{NeedOrgs: needOrgs}, callback)
}

func (f *fakeGitHub) signInWith(t *testing.T, need upstream.GitHubConfig, callback func(url.Values)) (upstream.Identity, error) {
	t.Helper()
	g, err := upstream.NewGitHub(upstream.GitHubConfig{
		ClientID: clientID, ClientSecret: clientSecret, NeedOrgs: need.NeedOrgs, NeedTeams: need.NeedTeams, BaseURL: f.URL + "/", APIURL: f.URL + "/api",
	})
	if err != nil {
		t.Fatal(err)
	}
	address, p, err := g.Begin(t.Context(), redirectURI, upstream.Wish{})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	f.challenge = query.Get("code_challenge")
	wantScope := "read:user user:email"
	if need.NeedOrgs || need.NeedTeams {
		wantScope += " read:org"
	}
	if !strings.HasPrefix(address, f.URL+"/login/oauth/authorize?") || query.Get("code_challenge_method") != "S256" || query.Get("scope") != wantScope ||
		query.Get("state") != p.State || query.Get("redirect_uri") != redirectURI || strings.Contains(address, p.Verifier) {
		t.Errorf("got the address %q, want GitHub's, with S256, %q, the state", address, wantScope)
	}
	values := url.Values{"state": {p.State}, "code": {code}}
	if callback != nil {
		callback(values)
	}
	id, err := g.Finish(t.Context(), redirectURI, p, values)
	if err != nil {
		checkText(t, err, p.State, p.Verifier)
	}
	return id, err
}

func TestGitHubSubjectIsTheID(t *testing.T) {
	t.Parallel()
	f := newGitHub(t)
	id, err := f.signIn(t, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if id.Subject != "583231" || id.Username != "Octocat" || id.Name != "The Octocat" || id.Groups != nil || id.Claims != nil {
		t.Errorf("got %+v, want 583231, Octocat", id)
	}
	if id.Email != "" || id.EmailVerified {
		t.Errorf("got the e-mail %q, want none: that of the profile is anybody's", id.Email)
	}
	if got := f.count(gitHubOrgs); got != 0 {
		t.Errorf("got %d requests for organizations, want 0", got)
	}
}

func TestGitHubIssuer(t *testing.T) {
	t.Parallel()
	f := newGitHub(t)
	for _, test := range []struct {
		name, iss, want string
	}{
		// What github.com sends since April 2026.
		{"its own", f.URL + "/login/oauth", "none"},
		{"another server's", "https://evil.example/login/oauth", "invalid"},
		{"that of tokens of Actions", "https://token.actions.githubusercontent.com", "invalid"},
		{"empty", "", "invalid"},
	} {
		_, err := f.signIn(t, false, func(v url.Values) { v.Set("iss", test.iss) })
		if got := kind(err); got != test.want {
			t.Errorf("%s: got %s (%v), want %s", test.name, got, err, test.want)
		}
	}
}

func TestGitHubCallbackRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		callback func(url.Values)
		want     string
	}{
		{"no state", func(v url.Values) { v.Del("state") }, "invalid"},
		{"wrong state", func(v url.Values) { v.Set("state", "sesame") }, "invalid"},
		{"code twice", func(v url.Values) { v.Add("code", "sesame") }, "invalid"},
		{"no code", func(v url.Values) { v.Del("code") }, "invalid"},
		{"another code", func(v url.Values) { v.Set("code", "sesame") }, "invalid"},
		{"access_denied", func(v url.Values) { v.Set("error", "access_denied") }, "denied"},
		{"application_suspended", func(v url.Values) { v.Set("error", "application_suspended") }, "invalid"},
		{"redirect_uri_mismatch", func(v url.Values) { v.Set("error", "redirect_uri_mismatch") }, "invalid"},
	} {
		f := newGitHub(t)
		id, err := f.signIn(t, true, test.callback)
		if got := kind(err); got != test.want || id.Subject != "" {
			t.Errorf("%s: got %q, %s (%v), want %s", test.name, id.Subject, got, err, test.want)
		}
		if got := f.count(gitHubUser); got != 0 {
			t.Errorf("%s: got %d requests to the API, want 0", test.name, got)
		}
	}
}

func TestGitHubExchangeRefused(t *testing.T) {
	t.Parallel()
	for _, test := range exchanges {
		if strings.HasPrefix(test.name, "hangs") {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newGitHub(t)
			f.handle(gitHubToken, test.handler)
			id, err := f.signIn(t, false, nil)
			checkRefused(t, id, err, test.want)
		})
	}
}

func TestGitHubOrganisations(t *testing.T) {
	t.Parallel()
	pages := func(sizes ...int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			var page int
			_, _ = fmt.Sscan(r.URL.Query().Get("page"), &page)
			if r.URL.Query().Get("per_page") != "100" || page < 1 || page > len(sizes) {
				answer(http.StatusUnprocessableEntity, "application/json", `{"message":"sesame"}`)(w, r)
				return
			}
			orgs := make([]map[string]string, sizes[page-1])
			for i := range orgs {
				orgs[i] = map[string]string{"login": fmt.Sprintf("Org-%d-%d", page, i)}
			}
			answerJSON(w, orgs)
		}
	}
	tens := slices.Repeat([]int{100}, 12)
	for _, test := range []struct {
		name     string
		handler  http.HandlerFunc
		requests int
		count    int
		last     string
	}{
		{"none", pages(0), 1, 0, ""},
		{"a page", pages(99), 1, 99, "org-1-98"},
		{"a full page", pages(100, 0), 2, 100, "org-1-99"},
		{"three pages", pages(100, 100, 1), 3, 201, "org-3-0"},
		{"without end", pages(tens...), 10, 1000, "org-10-99"},
		{"the same twice", answer(http.StatusOK, "application/json", `[{"login":"ACME"},{"login":"acme"}]`), 1, 1, "acme"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newGitHub(t)
			f.api(gitHubOrgs, test.handler)
			id, err := f.signIn(t, true, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := f.count(gitHubOrgs); got != test.requests {
				t.Errorf("got %d requests, want %d", got, test.requests)
			}
			if len(id.Groups) != test.count || test.count > 0 && id.Groups[len(id.Groups)-1] != test.last {
				t.Errorf("got %d organizations, want %d, the last of them %q", len(id.Groups), test.count, test.last)
			}
		})
	}
}

// With teams, groups are all of the organizations and teams, or there is no sign-in.
func TestGitHubTeams(t *testing.T) {
	t.Parallel()
	json := func(body string) http.HandlerFunc { return answer(http.StatusOK, "application/json", body) }
	acme := json(`[{"login":"Acme"}]`)
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf(`{"slug":"t%d","organization":{"login":"acme"}}`, i))
	}
	for _, test := range []struct {
		name        string
		orgs, teams http.HandlerFunc
		want        []string
		kind        string
	}{
		{"both", acme, json(`[{"slug":"maintainers","organization":{"login":"Acme"}}]`), []string{"acme", "acme/maintainers"}, "none"},
		{"none", json(`[]`), json(`[]`), nil, "none"},
		{"teams without the scope", acme, answer(http.StatusForbidden, "application/json", `{"message":"sesame"}`), nil, "unavailable"},
		{"organizations without the scope", answer(http.StatusForbidden, "application/json", `{"message":"sesame"}`), json(`[]`), nil, "unavailable"},
		{"teams not found", acme, answer(http.StatusNotFound, "application/json", `{"message":"sesame"}`), nil, "unavailable"},
		{"teams away", acme, answer(http.StatusBadGateway, "text/html", "sesame"), nil, "unavailable"},
		{"teams limited", acme, limited(http.StatusForbidden, "Retry-After", "60"), nil, "unavailable"},
		{"teams unusable", acme, json(`[{"slug":"sesame"}]`), nil, "unavailable"},
		{"more than are read", acme, json("[" + strings.Join(many, ",") + "]"), nil, "unavailable"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newGitHub(t)
			f.api(gitHubOrgs, test.orgs)
			f.api(gitHubTeams, test.teams)
			id, err := f.signInWith(t, upstream.GitHubConfig{NeedTeams: true}, nil)
			if got := kind(err); got != test.kind || !slices.Equal(id.Groups, test.want) || err != nil && id.Subject != "" {
				t.Errorf("got %q, %q, %s (%v), want %q, %s", id.Subject, id.Groups, got, err, test.want, test.kind)
			}
			if got := f.count(gitHubOrgs) + f.count(gitHubTeams); got > 20 {
				t.Errorf("%d requests", got)
			}
		})
	}
}
