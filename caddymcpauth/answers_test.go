package caddymcpauth_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

// wantAnswer is what the table in the documentation of Handler promises for a
// kind of request.
type wantAnswer struct {
	status      int
	code        string // error in the body
	challenge   bool
	description bool // the challenge has an error and a description
}

var (
	noCredentials     = wantAnswer{401, "unauthorized", true, false}
	invalidRequest    = wantAnswer{400, "invalid_request", true, true}
	invalidToken      = wantAnswer{401, "invalid_token", true, true}
	insufficientScope = wantAnswer{403, "insufficient_scope", true, true}
	served            = wantAnswer{status: 200}
)

// check compares an answer of a front door that needs the scopes.
func (want wantAnswer) check(t *testing.T, got answer, scopes string) {
	t.Helper()
	if got.StatusCode != want.status {
		t.Fatalf("status: got %d (%q), want %d", got.StatusCode, got.body, want.status)
	}
	params := challengeParams(t, got.Header)
	if (params != nil) != want.challenge {
		t.Errorf("challenge: got %q, want one: %t", got.Header["Www-Authenticate"], want.challenge)
	}
	if want.status < 400 {
		return
	}
	wantParams := map[string]string{}
	if want.challenge {
		wantParams = map[string]string{"resource_metadata": testMetadataURL}
		if scopes != "" {
			wantParams["scope"] = scopes
		}
	}
	if want.description {
		wantParams["error"] = want.code
		if params["error_description"] == "" {
			t.Error("challenge: no error_description")
		}
		delete(params, "error_description")
	}
	for name, value := range wantParams {
		if params[name] != value {
			t.Errorf("challenge: %s is %q, want %q", name, params[name], value)
		}
		delete(params, name)
	}
	if len(params) > 0 {
		t.Errorf("challenge: unexpected parameters %v", params)
	}
	for name, value := range map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store"} {
		if got := got.Header.Get(name); got != value {
			t.Errorf("%s: got %q, want %q", name, got, value)
		}
	}
	if got.Request.Method == http.MethodHead {
		if got.body != "" {
			t.Errorf("body of HEAD: got %q", got.body)
		}
		return
	}
	var body map[string]string
	if err := json.Unmarshal([]byte(got.body), &body); err != nil {
		t.Fatalf("body %q: %v", got.body, err)
	}
	if len(body) != 2 || body["error"] != want.code || body["error_description"] == "" {
		t.Errorf("body: got %v, want error %q and an error_description", body, want.code)
	}
}

// A token that another has signed under our issuer's name and key. Each may cause a
// look at the issuer's keys, for which the next has to wait.
func TestForeignSignature(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, issuer *oauthtest.Server) {
		c := mustProvision(t, frontDoor(issuer.Issuer(), "scopes read write"))
		foreign := issuer.Mint(nil, oauthtest.WithKey(issuer.NewKey("ES256", issuer.CurrentKey().ID)))
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "QUERY"} {
			invalidToken.check(t, c.ask(method, "/mcp", bearer(foreign)...), "read write")
		}
	})
}

// The table of answers, whatever the method: a client's first request may be
// any, and must get the challenge rather than what the server behind thinks of
// the method.
func TestAnswers(t *testing.T) {
	t.Parallel()
	issuer, other := newIssuer(t), newIssuer(t)
	s := serve(t, frontDoor(issuer.Issuer(), "scopes read write"), nil)
	good := issuer.Mint(nil)
	const q = "?access_token=abc"
	for _, test := range []struct {
		name    string
		path    string
		headers []string
		want    wantAnswer
	}{
		{"no token", "/mcp", nil, noCredentials},
		{"no token, another path", "/else/where", nil, noCredentials},
		{"no token, root", "/", nil, noCredentials},
		{"good token", "/mcp", bearer(good), served},
		{"scheme in lower case", "/mcp", []string{"Authorization", "bearer " + good}, served},
		{"scheme in upper case", "/mcp", []string{"Authorization", "BEARER " + good}, served},
		{"several spaces", "/mcp", []string{"Authorization", "Bearer   " + good}, served},
		{"no token after Bearer", "/mcp", []string{"Authorization", "Bearer"}, invalidRequest},
		{"only padding", "/mcp", []string{"Authorization", "Bearer =="}, invalidRequest},
		{"padding inside", "/mcp", []string{"Authorization", "Bearer a=b"}, invalidRequest},
		{"two words", "/mcp", []string{"Authorization", "Bearer " + good + " " + good}, invalidRequest},
		{"two tokens with a comma", "/mcp", []string{"Authorization", "Bearer " + good + ", Bearer " + good}, invalidRequest},
		{"auth parameters", "/mcp", []string{"Authorization", `Bearer token="` + good + `"`}, invalidRequest},
		{"two headers", "/mcp", append(bearer(good), bearer(good)...), invalidRequest},
		{"two headers, bad one last", "/mcp", append(bearer(good), bearer("bad")...), invalidRequest},
		{"two headers, one empty", "/mcp", append(bearer(good), "Authorization", ""), invalidRequest},
		{"two headers, other scheme first", "/mcp", append([]string{"Authorization", "Basic dTpw"}, bearer(good)...), invalidRequest},
		{"empty header", "/mcp", []string{"Authorization", ""}, noCredentials},
		{"basic", "/mcp", []string{"Authorization", "Basic dTpw"}, noCredentials},
		{"token without scheme", "/mcp", []string{"Authorization", good}, noCredentials},
		{"scheme that begins with Bearer", "/mcp", []string{"Authorization", "BearerToken " + good}, noCredentials},
		{"DPoP", "/mcp", []string{"Authorization", "DPoP " + good}, noCredentials},
		{"in Proxy-Authorization", "/mcp", []string{"Proxy-Authorization", "Bearer " + good}, noCredentials},
		{"in a cookie", "/mcp", []string{"Cookie", "access_token=" + good}, noCredentials},
		{"in the query only", "/mcp?access_token=" + good, nil, noCredentials},
		{"in the query as well", "/mcp" + q, bearer(good), invalidRequest},
		{"empty, in the query as well", "/mcp?access_token", bearer(good), invalidRequest},
		{"in the query after a semicolon", "/mcp?a=b;access_token=abc", bearer(good), invalidRequest},
		{"in the query, name percent-encoded", "/mcp?%61ccess%5Ftoken=abc", bearer(good), invalidRequest},
		{"in the query, second parameter", "/mcp?a=b&access_token=abc", bearer(good), invalidRequest},
		{"in the query, in capitals", "/mcp?Access_Token=abc", bearer(good), invalidRequest},
		{"in the query, as an array", "/mcp?access_token%5B%5D=abc", bearer(good), invalidRequest},
		{"in the query, as PHP reads it", "/mcp?+access.token=abc", bearer(good), invalidRequest},
		{"in the query, as C reads it", "/mcp?access_token%00x=abc", bearer(good), invalidRequest},
		{"a longer name in the query", "/mcp?access_tokens=abc", bearer(good), served},
		{"another name in the query", "/mcp?my_access_token=abc&x=access_token", bearer(good), served},
		{"garbage", "/mcp", bearer("garbage"), invalidToken},
		{"garbage in three parts", "/mcp", bearer("a.b.c"), invalidToken},
		{"expired", "/mcp", bearer(issuer.Mint(map[string]any{"exp": 1})), invalidToken},
		{"wrong audience", "/mcp", bearer(issuer.Mint(map[string]any{"aud": "https://mcp.example.com/other"})), invalidToken},
		{"no audience", "/mcp", bearer(issuer.Mint(map[string]any{"aud": oauthtest.Absent})), invalidToken},
		{"somebody else's", "/mcp", bearer(other.Mint(nil)), invalidToken},
		{"ID token", "/mcp", bearer(issuer.Mint(map[string]any{"nonce": "n", "at_hash": "h"}, oauthtest.WithHeader("typ", "JWT"))), invalidToken},
		{"huge", "/mcp", bearer(strings.Repeat("a", 100_000)), invalidToken},
		{"a scope is missing", "/mcp", bearer(issuer.Mint(map[string]any{"scope": "read"})), insufficientScope},
		{"no scope at all", "/mcp", bearer(issuer.Mint(map[string]any{"scope": oauthtest.Absent})), insufficientScope},
		{"scope in another case", "/mcp", bearer(issuer.Mint(map[string]any{"scope": "Read Write"})), insufficientScope},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, method := range []string{"GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "QUERY"} {
				t.Run(method, func(t *testing.T) {
					got := s.do(t, method, test.path, test.headers...)
					test.want.check(t, got, "read write")
					if strings.Contains(got.body, good) || len(test.headers) > 1 && len(test.headers[1]) > 20 && strings.Contains(got.body, test.headers[1][7:]) {
						t.Errorf("the token is in the answer: %q", got.body)
					}
				})
			}
		})
	}
	if n := other.Count(oauthtest.Any); n != 0 {
		t.Errorf("the issuer that isn't configured was asked %d times", n)
	}
}

// A form is never read, and neither is any other body of a refused request.
func TestRefusalLeavesBodyAlone(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	routes, err := adapt(frontDoor(issuer.Issuer(), "scopes read write"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := provision(t, routes)
	if err != nil {
		t.Fatal(err)
	}
	handler := c.handler(func(http.ResponseWriter, *http.Request) error {
		t.Error("the request was let in")
		return nil
	})
	form := url.Values{"access_token": {issuer.Mint(nil)}}.Encode()
	for _, test := range []struct {
		name   string
		header string
		want   int
	}{
		{"no token", "", 401},
		{"malformed", "Bearer", 400},
		{"bad token", "Bearer x", 401},
		{"missing scope", "Bearer " + issuer.Mint(map[string]any{"scope": "read"}), 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := io.MultiReader(errReader{t}, strings.NewReader(form))
			r := httptest.NewRequest("POST", "/mcp", body)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if test.header != "" {
				r.Header.Set("Authorization", test.header)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != test.want {
				t.Errorf("got %d, want %d", w.Code, test.want)
			}
		})
	}
}

// errReader fails the test when it is read.
type errReader struct{ t *testing.T }

func (r errReader) Read([]byte) (int, error) {
	r.t.Error("the body was read")
	return 0, errors.New("must not be read")
}

// Without needed scopes, the challenge names none.
func TestChallengeWithoutScopes(t *testing.T) {
	t.Parallel()
	s := serve(t, guestDoor("scopes_supported a b"), nil)
	noCredentials.check(t, s.do(t, "GET", "/mcp"), "")
	invalidToken.check(t, s.do(t, "GET", "/mcp", bearer("x")...), "")
}

// The request's body gets through to the next handler to the byte.
func TestBodyGetsThrough(t *testing.T) {
	t.Parallel()
	s := serve(t, guestDoor(""), func(w http.ResponseWriter, r *http.Request) error {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		_, err = w.Write(body)
		return err
	})
	want := bytes.Repeat([]byte("{\"a\" : 1}\r\n\x00"), 10_000)
	got := s.send(t, "POST", "/mcp", bytes.NewReader(want), bearer(guestToken(`{"sub":"u"}`))...)
	if got.body != string(want) {
		t.Errorf("got %d bytes, want %d", len(got.body), len(want))
	}
}
