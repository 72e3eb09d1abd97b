package github

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func serve(t testing.TB, handler http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	client, err := New(Config{API: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestCheckToken(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, body string
		want       Grant
	}{
		{"OAuth app", `{"app":{"client_id":"a/b","name":"x"},"scopes":["repo"," ","read:user"],"expires_at":null,"token":""}`, Grant{"a/b", []string{"repo", "read:user"}, time.Time{}}},
		{"no scopes", `{"app":{"client_id":"a/b"},"scopes":[""]}`, Grant{"a/b", []string{}, time.Time{}}},
		{"GitHub App", `{"app":{"client_id":"a/b"},"scopes":null,"expires_at":"2026-11-20T20:00:00Z"}`, Grant{"a/b", nil, time.Date(2026, 11, 20, 20, 0, 0, 0, time.UTC)}},
		{"another application", `{"app":{"client_id":"c"}}`, Grant{"c", nil, time.Time{}}},
	} {
		client := serve(t, func(w http.ResponseWriter, r *http.Request) {
			id, secret, _ := r.BasicAuth()
			if r.Method != http.MethodPost || r.URL.EscapedPath() != "/applications/a%2Fb/token" || id != "a/b" || secret != "s" ||
				r.Header.Get("X-GitHub-Api-Version") == "" || r.Header.Get("User-Agent") == "" {
				t.Errorf("%s: got the request %s %s, %v", test.name, r.Method, r.URL.EscapedPath(), r.Header)
			}
			_, _ = w.Write([]byte(test.body))
		})
		got, err := client.CheckToken(t.Context(), Application{"a/b", "s"}, "gho_1")
		if err != nil || got.ClientID != test.want.ClientID || !slices.Equal(got.Scopes, test.want.Scopes) || !got.Expiry.Equal(test.want.Expiry) ||
			(got.Scopes == nil) != (test.want.Scopes == nil) {
			t.Errorf("%s: got %+v, %v, want %+v", test.name, got, err, test.want)
		}
	}
	client := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("GitHub was asked about what can't be written") })
	if _, err := client.CheckToken(t.Context(), Application{"a", "s"}, "\xff"); err == nil {
		t.Error("invalid UTF-8: got no error")
	}
}

func TestUser(t *testing.T) {
	t.Parallel()
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer gho_1" {
			t.Errorf("got the credentials %q", r.Header.Get("Authorization"))
		}
		w.Header().Add("X-OAuth-Scopes", "repo, read:user")
		w.Header().Add("X-OAuth-Scopes", "")
		_, _ = w.Write([]byte(`{"login":"Octo","id":9223372036854775807,"name":"Octo Cat","email":null,"company":"@x","plan":{"x":[1]},"two_factor_authentication":true}`))
	})
	user, err := client.User(t.Context(), "gho_1")
	if err != nil {
		t.Fatal(err)
	}
	if user.ID != "9223372036854775807" || user.Login != "Octo" || user.Name != "Octo Cat" || !slices.Equal(user.Scopes, []string{"repo", "read:user"}) {
		t.Errorf("got %+v", user)
	}
	for name, want := range map[string]string{"login": `"Octo"`, "id": user.ID, "email": "null", "company": `"@x"`, "plan": "", "two_factor_authentication": ""} {
		if got := string(user.Profile[name]); got != want {
			t.Errorf("profile: %s: got %s, want %s", name, got, want)
		}
	}
}

func TestOrganizations(t *testing.T) {
	t.Parallel()
	page := func(n, size int) string {
		var logins []string
		for i := range size {
			logins = append(logins, `{"login":"Org-`+strconv.Itoa(n)+"-"+strconv.Itoa(i)+`"}`)
		}
		return "[" + strings.Join(logins, ",") + "]"
	}
	for _, test := range []struct {
		name        string
		sizes       []int
		pages, want int
	}{
		{"none", []int{0}, 1, 0},
		{"a page that isn't full", []int{99}, 1, 99},
		{"a full page", []int{100, 0}, 2, 100},
		{"more than are read", slices.Repeat([]int{100}, 12), 10, 1000},
	} {
		asked := 0
		client := serve(t, func(w http.ResponseWriter, r *http.Request) {
			asked++
			if r.URL.Query().Get("page") != strconv.Itoa(asked) || r.URL.Query().Get("per_page") != "100" {
				t.Errorf("%s: got %s as request %d", test.name, r.URL, asked)
			}
			_, _ = w.Write([]byte(page(asked, test.sizes[asked-1])))
		})
		names, err := client.Organizations(t.Context(), "gho_1")
		if err != nil || len(names) != test.want || asked != test.pages {
			t.Errorf("%s: got %d of %d pages, %v, want %d of %d", test.name, len(names), asked, err, test.want, test.pages)
		}
	}
	client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`[{"login":"ACME"},{"login":"acme"},{"login":"other"}]`))
	})
	if names, err := client.Organizations(t.Context(), "gho_1"); err != nil || !slices.Equal(names, []string{"acme", "other"}) {
		t.Errorf("got %q, %v, want acme once, and other", names, err)
	}
}

func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		`{"login":"a","id":1,"name":"A"}`, `{"app":{"client_id":"a"},"scopes":["x"],"expires_at":"2026-11-20T20:00:00Z"}`,
		`[{"email":"a@example.com","primary":true,"verified":true}]`, `[{"login":"a"}]`, `null`, `{"id":1e3}`, `{"app":{}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if user, err := readUser(body); err == nil {
			if id, err := strconv.ParseInt(user.ID, 10, 64); err != nil || id <= 0 || user.Login == "" {
				t.Errorf("got the user %+v", user)
			}
		}
		if grant, err := readGrant(body); err == nil && grant.ClientID == "" {
			t.Errorf("got the grant %+v", grant)
		}
		if emails, err := readList[Email]("", body); err != nil && emails != nil {
			t.Errorf("got %v beside an error", emails)
		}
	})
}
