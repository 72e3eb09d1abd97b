package upstream_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/upstream"
)

// exchanges are answers of a token endpoint that no sign-in survives.
var exchanges = []struct {
	name    string
	handler http.HandlerFunc
	want    string
}{
	{"400 invalid_grant", answer(http.StatusBadRequest, "application/json", `{"error":"invalid_grant","error_description":"sesame","error_uri":"https://sesame.example"}`), "invalid"},
	{"401 invalid_client", answer(http.StatusUnauthorized, "application/json", `{"error":"invalid_client"}`), "invalid"},
	{"400 whose error is the code", answer(http.StatusBadRequest, "application/json", `{"error":"`+code+`"}`), "invalid"},
	{"400 with a long error", answer(http.StatusBadRequest, "application/json", `{"error":"`+strings.Repeat("x", 1000)+`"}`), "invalid"},
	{"400 in HTML", answer(http.StatusBadRequest, "text/html", "<p>sesame"), "invalid"},
	{"403 in text", answer(http.StatusForbidden, "text/plain", "error=sesame&error_description=sesame"), "invalid"},
	{"200 with an error", answer(http.StatusOK, "application/json", `{"error":"bad_verification_code","error_description":"sesame"}`), "invalid"},
	{"200 with an error and a token", answer(http.StatusOK, "application/json", `{"error":"invalid_grant","access_token":"sesame"}`), "invalid"},
	{"200 in HTML", answer(http.StatusOK, "text/html", "<p>sesame"), "invalid"},
	{"200 with nothing", answer(http.StatusOK, "application/json", ""), "invalid"},
	{"200 with an empty object", answer(http.StatusOK, "application/json", "{}"), "invalid"},
	{"200 with a list", answer(http.StatusOK, "application/json", `["sesame"]`), "invalid"},
	{"200 without an access token", answer(http.StatusOK, "application/json", `{"id_token":"sesame"}`), "invalid"},
	{"access token is a number", answer(http.StatusOK, "application/json", `{"access_token":1}`), "invalid"},
	{"body of 2 MB", answer(http.StatusOK, "application/json", `{"access_token":"sesame","x":"`+strings.Repeat("x", 2<<20)+`"}`), "invalid"},
	{"refusal of 2 MB", answer(http.StatusBadRequest, "text/plain", strings.Repeat("sesame ", 300_000)), "invalid"},
	{"500", answer(http.StatusInternalServerError, "application/json", `{"error":"sesame"}`), "unavailable"},
	{"502 in HTML", answer(http.StatusBadGateway, "text/html", "<p>sesame"), "unavailable"},
	{"429", answer(http.StatusTooManyRequests, "application/json", `{"error":"slow_down","error_description":"sesame"}`), "unavailable"},
	{"broken off", brokenOff, "unavailable"},
	{"closed", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "unavailable"},
	{"hangs in the middle", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"access_token":"sesame`))
		_ = http.NewResponseController(w).Flush()
		hang(w, r)
	}, "unavailable"},
	{"hangs", hang, "unavailable"},
}

func TestExchangeRefused(t *testing.T) {
	t.Parallel()
	for _, test := range exchanges {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newOP(t)
			o := f.oidc(t, func(c *upstream.OIDCConfig) {
				if strings.HasPrefix(test.name, "hangs") {
					c.Client = &http.Client{Timeout: 200 * time.Millisecond}
				}
			})
			good := f.handlers[tokenPath]
			f.handle(tokenPath, test.handler)
			id, err := f.signIn(t, o, nil)
			checkRefused(t, id, err, test.want)
			if got := f.count(tokenPath); got != 1 {
				t.Errorf("got %d requests to the token endpoint, want 1: a code is good for one", got)
			}
			f.handle(tokenPath, good)
			if test.want == "unavailable" && !strings.HasPrefix(test.name, "hangs") {
				if _, err := f.signIn(t, o, nil); err != nil {
					t.Errorf("got %v when it works again, want none", err)
				}
			}
		})
	}
}

// TestTimeout: what hangs is given up, whatever the client would do.
func TestTimeout(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]time.Duration{tokenPath: 15 * time.Second, jwksPath: 5 * time.Second, discoveryPath: 5 * time.Second} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := prepareOP(t, "https://op.example")
				f.handle(path, hang)
				o := f.oidc(t, nil)
				began := time.Now()
				address, p, err := o.Begin(context.Background(), redirectURI, upstream.Wish{})
				if err == nil {
					f.authorize(t, address)
					_, err = o.Finish(context.Background(), redirectURI, p, url.Values{"state": {p.State}, "code": {code}})
				}
				checkRefused(t, upstream.Identity{}, err, "unavailable")
				if got := time.Since(began); got != want {
					t.Errorf("got an end after %v, want %v", got, want)
				}
				synctest.Wait()
			})
		})
	}
	t.Run("userinfo", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			f := prepareOP(t, "https://op.example")
			f.handle(userInfoPath, hang)
			f.claims = map[string]any{"email": nil}
			if id, err := f.signIn(t, f.oidc(t, nil), nil); err != nil || id.Subject != "u1" {
				t.Errorf("got %q, %v, want u1", id.Subject, err)
			}
		})
	})
	t.Run("the caller's patience", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			f := prepareOP(t, "https://op.example")
			f.handle(discoveryPath, hang)
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			began := time.Now()
			_, _, err := f.oidc(t, nil).Begin(ctx, redirectURI, upstream.Wish{})
			checkRefused(t, upstream.Identity{}, err, "unavailable")
			if got, want := time.Since(began), time.Second; got != want {
				t.Errorf("got an end after %v, want %v", got, want)
			}
			time.Sleep(time.Minute) // the fetch goes on for others
		})
	})
}

func TestClientAuthentication(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		methods any
		post    bool
	}{
		{"nothing said", nil, false},
		{"empty list", []string{}, false},
		{"both", []string{"client_secret_post", "client_secret_basic"}, false},
		{"only basic", []string{"client_secret_basic"}, false},
		{"only post", []string{"client_secret_post"}, true},
		{"post, and what we don't do", []string{"private_key_jwt", "client_secret_post"}, true},
		{"only what we don't do", []string{"private_key_jwt"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newOP(t)
			if test.methods != nil {
				f.metadata["token_endpoint_auth_methods_supported"] = test.methods
			}
			if _, err := f.signIn(t, f.oidc(t, nil), nil); err != nil {
				t.Fatal(err)
			}
			id, secret, basic := f.request.BasicAuth()
			posted := f.request.PostForm
			if test.post {
				if basic || posted.Get("client_id") != clientID || posted.Get("client_secret") != clientSecret {
					t.Errorf("got basic %v, form %q, want client_secret_post", basic, posted)
				}
				return
			}
			// RFC 6749, section 2.3.1: encoded as in a form before base64.
			if !basic || id != clientID || secret != url.QueryEscape(clientSecret) || posted.Has("client_secret") {
				t.Errorf("got basic %v %q %q, form %q, want client_secret_basic", basic, id, secret, posted)
			}
		})
	}
}
