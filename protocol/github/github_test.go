package github_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/github"
)

const (
	token  = "gho_sesame"
	secret = "s3cr3t: 100%"
)

var (
	app = github.Application{ID: "Iv1/app", Secret: secret}
	now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
)

// serve returns a client of an API that answers by handler.
func serve(t testing.TB, handler http.HandlerFunc) *github.Client {
	t.Helper()
	server := httptest.NewServer(http.StripPrefix("/api/v3", handler))
	t.Cleanup(server.Close)
	client, err := github.New(github.Config{API: server.URL + "/api/v3/", Client: server.Client(), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// answers returns a handler with a fixed answer; headers alternates names and values.
func answers(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// questions are all that can be asked; each returns its error.
var questions = map[string]func(*testing.T, *github.Client) error{
	github.CheckQuestion: func(t *testing.T, c *github.Client) error {
		_, err := c.CheckToken(t.Context(), app, token)
		return err
	},
	"/user":        func(t *testing.T, c *github.Client) error { _, err := c.User(t.Context(), token); return err },
	"/user/emails": func(t *testing.T, c *github.Client) error { _, err := c.Emails(t.Context(), token); return err },
	"/user/orgs":   func(t *testing.T, c *github.Client) error { _, err := c.Organizations(t.Context(), token); return err },
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for api, want := range map[string]bool{
		"": true, "https://github.example/api/v3": true, "http://127.0.0.1:8080": true,
		"http://github.example/api/v3": false, "/api/v3": false, "https://u:p@github.example": false,
		"https://github.example/?x": false, "https://github.example/#x": false, "ftp://github.example": false,
	} {
		if _, err := github.New(github.Config{API: api}); (err == nil) != want {
			t.Errorf("%q: got %v, want accepted %t", api, err, want)
		}
	}
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	reset := func(at time.Time) []string {
		return []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", fmt.Sprint(at.Unix())}
	}
	for _, test := range []struct {
		name                         string
		status                       int
		headers                      []string
		limited, forbidden, redirect bool
		retryAfter                   time.Duration
	}{
		{"204", 204, nil, false, false, false, 0},
		{"301", 301, []string{"Location", "/elsewhere"}, false, false, true, 0},
		{"307", 307, []string{"Location", "/elsewhere"}, false, false, true, 0},
		{"401", 401, nil, false, false, false, 0},
		{"403", 403, nil, false, true, false, 0},
		{"403 with requests left", 403, []string{"X-RateLimit-Remaining", "12", "X-RateLimit-Reset", "1795176300"}, false, true, false, 0},
		{"404", 404, nil, false, true, false, 0},
		{"422", 422, nil, false, false, false, 0},
		{"primary limit", 403, reset(now.Add(5 * time.Minute)), true, false, false, 5 * time.Minute},
		{"primary limit by 429", 429, reset(now.Add(5 * time.Minute)), true, false, false, 5 * time.Minute},
		{"primary limit, already over", 403, reset(now.Add(-time.Minute)), true, false, false, time.Second},
		{"primary limit for years", 403, reset(now.AddDate(9, 0, 0)), true, false, false, time.Hour},
		{"primary limit without an end", 403, []string{"X-RateLimit-Remaining", "0"}, true, false, false, 0},
		{"primary limit, end no number", 403, []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "soon"}, true, false, false, 0},
		{"secondary limit", 403, []string{"Retry-After", "60"}, true, false, false, time.Minute},
		{"both limits", 429, append(reset(now.Add(time.Hour)), "Retry-After", "7"), true, false, false, 7 * time.Second},
		{"429", 429, nil, true, false, false, 0},
		{"500", 500, nil, false, false, false, 0},
		{"503 with a time", 503, []string{"Retry-After", "60"}, false, false, false, time.Minute},
	} {
		client := serve(t, answers(test.status, "", test.headers...))
		for question, ask := range questions {
			err := ask(t, client)
			e, ok := errors.AsType[*github.StatusError](err)
			if !ok {
				t.Errorf("%s: %s: got %v, want a StatusError", test.name, question, err)
				continue
			}
			if e.Question != question || e.Status != test.status || e.Limited != test.limited || e.Forbidden() != test.forbidden ||
				e.Redirect() != test.redirect || e.RetryAfter != test.retryAfter {
				t.Errorf("%s: %s: got %+v, forbidden %t, redirect %t, want %+v", test.name, question, e, e.Forbidden(), e.Redirect(), test)
			}
			checkQuiet(t, err)
		}
	}
}

// checkQuiet refuses errors that repeat a secret, or something of an answer.
func checkQuiet(t *testing.T, err error) {
	t.Helper()
	for _, word := range []string{"sesame", secret} {
		if strings.Contains(err.Error(), word) {
			t.Errorf("the error %q contains %q", err, word)
		}
	}
}

func TestUnusableAnswers(t *testing.T) {
	t.Parallel()
	everywhere := slices.Collect(func(yield func(string) bool) {
		for question := range questions {
			if !yield(question) {
				return
			}
		}
	})
	check, user := []string{github.CheckQuestion}, []string{"/user"}
	for _, test := range []struct {
		name, body string
		at         []string
	}{
		{"HTML", "<p>sesame", everywhere},
		{"nothing", "", everywhere},
		{"a text", `"sesame"`, everywhere},
		{"a number", "1", everywhere},
		{"an empty object", "{}", everywhere},
		{"cut off", `{"id":1,"login":"a"`, everywhere},
		{"more than one", `{"id":1,"login":"a","app":{"client_id":"a"}}[]`, everywhere},
		{"too much", strings.Repeat(" ", 1<<20) + "[]", everywhere},
		{"too much of one thing", `{"id":1,"login":"a","app":{"client_id":"a"},"x":"` + strings.Repeat("x", 64<<10) + `"}`, []string{github.CheckQuestion, "/user"}},
		{"elements that are none", `[1]`, []string{"/user/emails", "/user/orgs"}},
		{"member twice", `[{"email":"a","email":"b","login":"a","login":"b"}]`, []string{"/user/emails", "/user/orgs"}},

		{"no application", `{"scopes":[]}`, check},
		{"application null", `{"app":null}`, check},
		{"application a text", `{"app":"sesame"}`, check},
		{"client id empty", `{"app":{"client_id":""}}`, check},
		{"client id a number", `{"app":{"client_id":1}}`, check},
		{"client id twice", `{"app":{"client_id":"a","client_id":"b"}}`, check},
		{"Client_ID", `{"app":{"client_id":"a","Client_ID":"b"}}`, check},
		{"APP", `{"app":{"client_id":"a"},"APP":{"client_id":"b"}}`, check},
		{"scopes a text", `{"app":{"client_id":"a"},"scopes":"sesame"}`, check},
		{"scopes of numbers", `{"app":{"client_id":"a"},"scopes":[1]}`, check},
		{"expiry a number", `{"app":{"client_id":"a"},"expires_at":1}`, check},
		{"expiry no time", `{"app":{"client_id":"a"},"expires_at":"sesame"}`, check},

		{"no id", `{"login":"a"}`, user},
		{"id null", `{"id":null,"login":"a"}`, user},
		{"id a text", `{"id":"1","login":"a"}`, user},
		{"id zero", `{"id":0,"login":"a"}`, user},
		{"id negative", `{"id":-1,"login":"a"}`, user},
		{"id a fraction", `{"id":1.0,"login":"a"}`, user},
		{"id with an exponent", `{"id":1e3,"login":"a"}`, user},
		{"id of 64 bits", `{"id":9223372036854775808,"login":"a"}`, user},
		{"id twice", `{"id":1,"id":2,"login":"a"}`, user},
		{"ID", `{"id":1,"ID":2,"login":"a"}`, user},
		{"no login", `{"id":1}`, user},
		{"login null", `{"id":1,"login":null}`, user},
		{"login empty", `{"id":1,"login":""}`, user},
		{"login with a line break", `{"id":1,"login":"sesame\n"}`, user},
		{"login with a blank", `{"id":1,"login":" sesame"}`, user},
		{"name an object", `{"id":1,"login":"a","name":{}}`, user},
		{"company a number", `{"id":1,"login":"a","company":1}`, user},
		{"invalid UTF-8", "{\"id\":1,\"login\":\"sesame\xff\"}", user},
	} {
		client := serve(t, answers(200, test.body))
		for _, question := range test.at {
			err := questions[question](t, client)
			e, ok := errors.AsType[*github.AnswerError](err)
			if !ok || e.Question != question || errors.Unwrap(e) == nil {
				t.Errorf("%s: %s: got %v, want an AnswerError of it", test.name, question, err)
				continue
			}
			checkQuiet(t, err)
		}
	}
}

func TestNoAnswer(t *testing.T) {
	t.Parallel()
	client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("{"))
		panic(http.ErrAbortHandler)
	})
	gone, err := github.New(github.Config{API: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	for question, ask := range questions {
		for name, client := range map[string]*github.Client{"broken off": client, "nobody listens": gone} {
			err := ask(t, client)
			_, status := errors.AsType[*github.StatusError](err)
			_, answer := errors.AsType[*github.AnswerError](err)
			if err == nil || status || answer {
				t.Errorf("%s: %s: got %v, want an error that is neither of the two", question, name, err)
			}
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			t.Errorf("a redirect was followed, with the credentials %q", r.Header.Get("Authorization"))
		}
		http.Redirect(w, r, "/api/v3/elsewhere", http.StatusTemporaryRedirect)
	})
	for question, ask := range questions {
		if e, ok := errors.AsType[*github.StatusError](ask(t, client)); !ok || !e.Redirect() {
			t.Errorf("%s: got %v, want a redirect", question, e)
		}
	}
}
