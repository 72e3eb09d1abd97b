package caddymcpauth_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

// tokenEndpoint counts the exchanges that a server makes.
type tokenEndpoint struct {
	url   string
	asked atomic.Int32
}

func newTokenEndpoint(t *testing.T, h http.Handler) *tokenEndpoint {
	t.Helper()
	e := new(tokenEndpoint)
	e.url = serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		e.asked.Add(1)
		h.ServeHTTP(w, r)
	}).URL + "/token"
	return e
}

// exchangeDoor is a front door that exchanges the tokens of an issuer.
func exchangeDoor(issuer, endpoint, options string) string {
	return frontDoor(issuer, "exchange {\nendpoint "+endpoint+"\nclient_id "+oauthtest.DoorClient+"\nclient_secret secret\nclient_auth client_secret_post\n"+options+"\n}")
}

// answersAlways is a token endpoint that always answers the same.
func answersAlways(status int, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

const exchangedToken = `{"access_token":"for-the-server-behind","token_type":"Bearer","expires_in":300}`

// What products do, with the settings that each needs, and with others.
func TestExchangeAtProducts(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	both := []string{testResource, oauthtest.DoorClient, "api://" + oauthtest.DoorClient}
	for _, tc := range []struct {
		product, options string
		claims           map[string]any
		status           int
		token            string
	}{
		{"Keycloak", "audience backend", map[string]any{"aud": both}, 200, "for-the-server-behind"},
		{"Keycloak", "audience backend\nscopes read", map[string]any{"aud": both}, 200, "for-the-server-behind"},
		{"Keycloak", "audience backend", nil, 403, ""},
		{"Keycloak", "resource https://backend.internal", map[string]any{"aud": both}, 403, ""},
		{"Entra", "grant on_behalf_of\nscopes api://backend/.default", map[string]any{"aud": both}, 200, "for-the-server-behind"},
		{"Entra", "scopes api://backend/.default", map[string]any{"aud": both}, 500, ""},
		{"Entra", "grant on_behalf_of\nscopes api://backend/.default", nil, 403, ""},
		{"Entra", "grant on_behalf_of\nscopes api://backend/.default", map[string]any{"aud": both, "sub": "without consent"}, 403, ""},
		{"Entra", "grant on_behalf_of\nscopes api://backend/.default", map[string]any{"aud": both, "sub": "conditional"}, 401, ""},
		{"Okta", "audience api://backend\nscopes read", nil, 200, "for-the-server-behind"},
		{"Okta", "audience api://backend", nil, 403, ""},
		{"Auth0", "audience https://backend.internal", nil, 200, "for-the-server-behind"},
		{"Auth0", "resource https://backend.internal", nil, 403, ""},
		{"ZITADEL", "audience backend\nrequested_token_type jwt", nil, 200, "a.jwt.token"},
		{"ZITADEL", "audience backend", nil, 200, "for-the-server-behind"},
		{"ZITADEL", "resource https://backend.internal", nil, 403, ""},
		{"Logto", "resource https://backend.internal\nscopes read", nil, 200, "for-the-server-behind"},
		{"Logto", "audience backend", nil, 403, ""},
	} {
		name := tc.product + " with " + strings.ReplaceAll(tc.options, "\n", ", ")
		e := newTokenEndpoint(t, oauthtest.TokenExchanges[tc.product])
		s := serve(t, exchangeDoor(issuer.Issuer(), e.url, tc.options), echoAll)
		raw := issuer.Mint(tc.claims)
		for range 3 {
			got := s.do(t, "POST", "/mcp", bearer(raw)...)
			if got.StatusCode != tc.status || strings.Contains(got.body, raw) {
				t.Errorf("%s: got %d %s, want %d", name, got.StatusCode, got.body, tc.status)
				break
			}
			if tc.status == 200 {
				if seen := headersSeen(t, got)["Authorization"]; len(seen) != 1 || seen[0] != "Bearer "+tc.token {
					t.Errorf("%s: the server behind got %q", name, seen)
				}
			}
		}
		if n := e.asked.Load(); n != 1 && tc.status != 500 {
			t.Errorf("%s: exchanged %d times", name, n)
		}
	}
}

// What Entra wants of the user gets to the client.
func TestClaimsChallenge(t *testing.T) {
	t.Parallel()
	const claims = `{"access_token":{"acrs":{"essential":true,"value":"c1"}}}`
	issuer := newIssuer(t)
	quoted, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	e := newTokenEndpoint(t, answersAlways(400, `{"error":"interaction_required","claims":`+string(quoted)+`}`))
	s := serve(t, exchangeDoor(issuer.Issuer(), e.url, "audience backend"), nil)
	got := s.do(t, "POST", "/mcp", bearer(issuer.Mint(nil))...)
	params := challengeParams(t, got.Header)
	decoded, err := base64.StdEncoding.DecodeString(params["claims"])
	if got.StatusCode != 401 || params["error"] != "insufficient_claims" || err != nil || string(decoded) != claims || params["resource_metadata"] == "" {
		t.Errorf("got %d %v", got.StatusCode, params)
	}
	if strings.Contains(got.body, "acrs") {
		t.Errorf("got the body %s", got.body)
	}
}

func TestExchangeAnswers(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	for _, tc := range []struct {
		name   string
		status int
		body   string
		want   int
	}{
		{"down", 503, "", 503},
		{"broken", 500, `{"error":"invalid_grant"}`, 503},
		{"a firewall", 403, "<html>", 503},
		{"a redirect", 307, "", 503},
		{"a page", 200, "<html>", 503},
		{"a DPoP token", 200, `{"access_token":"t","token_type":"DPoP"}`, 503},
		{"N_A", 200, `{"access_token":"t","token_type":"N_A"}`, 503},
		{"a header in the token", 200, `{"access_token":"t\r\nX-Admin: yes","token_type":"Bearer"}`, 503},
		{"consent", 400, `{"error":"invalid_grant","error_description":"secret-cause"}`, 403},
		{"target", 400, `{"error":"invalid_target"}`, 403},
		{"our client", 401, `{"error":"invalid_client"}`, 500},
	} {
		e := newTokenEndpoint(t, answersAlways(tc.status, tc.body))
		served := false
		s := serve(t, exchangeDoor(issuer.Issuer(), e.url, "audience backend"), func(http.ResponseWriter, *http.Request) error {
			served = true
			return nil
		})
		got := s.do(t, "POST", "/mcp", bearer(issuer.Mint(nil))...)
		if got.StatusCode != tc.want || served || strings.Contains(got.body, "secret-cause") {
			t.Errorf("%s: got %d %s, want %d; passed on: %t", tc.name, got.StatusCode, got.body, tc.want, served)
		}
		if challenge, retry := got.Header.Get("WWW-Authenticate"), got.Header.Get("Retry-After"); challenge != "" || (retry != "") != (tc.want == 503) {
			t.Errorf("%s: got the challenge %q, Retry-After %q", tc.name, challenge, retry)
		}
	}
}

// A token that isn't a user's is never exchanged, and never passed on.
func TestExchangeNeedsAUser(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	e := newTokenEndpoint(t, answersAlways(200, exchangedToken))
	const hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" // of "test"
	site := strings.Replace(exchangeDoor(issuer.Issuer(), e.url, "audience backend"), "\tissuer "+issuer.Issuer()+"\n", "\tissuer "+issuer.Issuer()+" {\njwt\nstatic {\nkey ci "+hash+"\n}\n}\n", 1)
	s := serve(t, site, nil)
	for name, raw := range map[string]string{
		"an API key": "test",
		"a client":   issuer.Mint(map[string]any{"sub": "robot", "client_id": "robot"}),
	} {
		got := s.do(t, "POST", "/mcp", bearer(raw)...)
		if got.StatusCode != 403 || got.body == "served" || e.asked.Load() != 0 {
			t.Errorf("%s: got %d %s, with %d exchanges", name, got.StatusCode, got.body, e.asked.Load())
		}
	}
	// In JSON-RPC, if the message was read.
	s = serve(t, strings.Replace(site, "exchange {", "tools *\nexchange {", 1), nil)
	got := s.send(t, "POST", "/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"x"}}`), append(bearer("test"), "Content-Type", "application/json")...)
	if got.StatusCode != 403 || !strings.Contains(got.body, `"id":7`) {
		t.Errorf("got %d %s", got.StatusCode, got.body)
	}
}

// The rules judge the user's own token, before anything is asked.
func TestExchangeComesLast(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	e := newTokenEndpoint(t, answersAlways(200, exchangedToken))
	s := serve(t, strings.Replace(exchangeDoor(issuer.Issuer(), e.url, "audience backend"), "exchange {", "scopes admin\nexchange {", 1), nil)
	for name, tc := range map[string]struct {
		raw  string
		want int
	}{
		"without the scope": {issuer.Mint(nil), 403},
		"a foreign token":   {newIssuer(t).Mint(nil), 401},
		"a bad token":       {issuer.Mint(map[string]any{"exp": 1}), 401},
	} {
		if got := s.do(t, "POST", "/mcp", bearer(tc.raw)...); got.StatusCode != tc.want || e.asked.Load() != 0 {
			t.Errorf("%s: got %d, with %d exchanges, want %d", name, got.StatusCode, e.asked.Load(), tc.want)
		}
	}
	if got := s.do(t, "POST", "/mcp", bearer(issuer.Mint(map[string]any{"scope": "admin"}))...); got.StatusCode != 200 {
		t.Errorf("got %d %s", got.StatusCode, got.body)
	}
}

// If the server behind refuses a token, another one is asked for once.
func TestExchangeAgain(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	var n atomic.Int32
	e := newTokenEndpoint(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answersAlways(200, fmt.Sprintf(`{"access_token":"t%d","token_type":"Bearer","expires_in":300}`, n.Add(1))).ServeHTTP(w, r)
	}))
	var tries atomic.Int32
	s := serve(t, strings.Replace(exchangeDoor(issuer.Issuer(), e.url, "audience backend"), "exchange {", "tools *\nexchange {", 1), func(w http.ResponseWriter, r *http.Request) error {
		b, _ := io.ReadAll(r.Body)
		r.Header.Add("X-Seen", "x") // as a handler between might
		r.URL.Path += "/more"
		if tries.Add(1) == 1 {
			w.Header().Set("X-First", "yes")
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(401)
			_, _ = io.WriteString(w, strings.Repeat("refused", 1000))
			return nil
		}
		_, err := fmt.Fprint(w, r.Header["Authorization"], r.Header["X-Seen"], r.URL.Path, string(b))
		return err
	})
	const message = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"x"}}`
	got := s.send(t, "POST", "/mcp", strings.NewReader(message), append(bearer(issuer.Mint(nil)), "Content-Type", "application/json")...)
	// Some seconds old tokens are replaced; this one is new, so it is tried again.
	if want := "[Bearer t1] [x]/mcp/more" + message; got.StatusCode != 200 || got.body != want || got.Header.Get("X-First") != "" || got.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("got %d %v %q, want %q", got.StatusCode, got.Header, got.body, want)
	}
	if tries.Load() != 2 || e.asked.Load() != 1 {
		t.Errorf("%d tries, %d exchanges", tries.Load(), e.asked.Load())
	}
}

// A body that wasn't read can't be sent again, and a server that refuses everything is
// asked twice at most.
func TestExchangeAgainOnce(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	e := newTokenEndpoint(t, answersAlways(200, exchangedToken))
	for _, tc := range []struct {
		method, body string
		tries        int32
	}{
		{"POST", "a body", 1},
		{"POST", "", 2},
		{"GET", "", 2},
		{"DELETE", "", 2},
	} {
		var tries atomic.Int32
		s := serve(t, exchangeDoor(issuer.Issuer(), e.url, "audience backend"), func(w http.ResponseWriter, _ *http.Request) error {
			tries.Add(1)
			w.WriteHeader(401)
			return nil
		})
		got := s.send(t, tc.method, "/mcp", strings.NewReader(tc.body), bearer(issuer.Mint(nil))...)
		if got.StatusCode != 401 || tries.Load() != tc.tries {
			t.Errorf("%s %q: got %d after %d tries, want %d", tc.method, tc.body, got.StatusCode, tries.Load(), tc.tries)
		}
	}
}

// A reload exchanges nothing again, and to forget a user forgets what was exchanged.
func TestExchangeIsKept(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	e := newTokenEndpoint(t, answersAlways(200, exchangedToken))
	raw := issuer.Mint(nil)
	site := exchangeDoor(issuer.Issuer(), e.url, "audience backend")
	old := mustProvision(t, site)
	for range 3 {
		if got := old.try(raw); got != 200 {
			t.Fatalf("got %d", got)
		}
	}
	reloaded := mustProvision(t, site)
	old.cleanup()
	if got := reloaded.try(raw); got != 200 || e.asked.Load() != 1 {
		t.Errorf("after a reload: got %d, with %d exchanges", got, e.asked.Load())
	}
	other := mustProvision(t, strings.Replace(site, "audience backend", "audience other", 1))
	if got := other.try(raw); got != 200 || e.asked.Load() != 2 {
		t.Errorf("for another server: got %d, with %d exchanges, want one more", got, e.asked.Load())
	}
	if status, body := forget(t, "POST", `{"issuer":"`+issuer.Issuer()+`","subject":"user-1"}`); status != 200 {
		t.Fatal(body)
	}
	if got := reloaded.try(raw); got != 200 || e.asked.Load() != 3 {
		t.Errorf("after forget: got %d, with %d exchanges, want one more", got, e.asked.Load())
	}
}

func TestExchangeMetrics(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	resource := ownResource()
	e := newTokenEndpoint(t, answersAlways(200, exchangedToken))
	s := serve(t, strings.Replace(exchangeDoor(issuer.Issuer(), e.url, "audience backend"), testResource, resource, 1), nil)
	raw := issuer.Mint(map[string]any{"aud": resource})
	for range 3 {
		s.do(t, "POST", "/mcp", bearer(raw)...)
	}
	if got := counts(t, s.config, "caddy_mcp_auth_exchanges_total", resource); len(got) != 1 || got["resource=IT result=ok"] != 1 {
		t.Errorf("got %v", got)
	}
}

func TestExchangeProvisionErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, options, exchange, want string }{
		{"no client", ``, `{"audience":"x"}`, "exchange: client_id is missing"},
		{"no secret", ``, `{"client_id":"a","audience":"x"}`, "client_secret is missing or empty"},
		{"no target", ``, `{"client_id":"a","client_secret":"b"}`, "for which server"},
		{"another grant", ``, `{"client_id":"a","client_secret":"b","audience":"x","grant":"password"}`, "is none of token_exchange, on_behalf_of"},
		{"a parameter of ours", ``, `{"client_id":"a","client_secret":"b","audience":"x","parameter":{"scope":"y"}}`, "parameter scope can't be set"},
		{"an issuer of another door", ``, `{"client_id":"a","client_secret":"b","audience":"x","issuer":"https://b.example.com"}`, "is none of this door's"},
		{"http", ``, `{"client_id":"a","client_secret":"b","audience":"x","endpoint":"http://as.example.com/token"}`, "endpoint:"},
		{"with forward_token", `"forward_token":true,`, `{"client_id":"a","client_secret":"b","audience":"x"}`, "exchange and forward_token both set"},
		{"with an assertion", `"assertion":{"audience":"x","authorization":true},`, `{"client_id":"a","client_secret":"b","audience":"x"}`, "exchange and an assertion with authorization both set"},
	} {
		route := `[{"handle":[{"handler":"mcp_auth_guard"},{"handler":"mcp_auth","resource":"https://mcp.example.com/mcp",` +
			`"issuers":[{"issuer":"https://as.example.com"}],` + tc.options + `"exchange":` + tc.exchange + `}]}]`
		if _, err := provision(t, json.RawMessage(route)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
	}
	two := `[{"handle":[{"handler":"mcp_auth_guard"},{"handler":"mcp_auth","resource":"https://mcp.example.com/mcp",` +
		`"issuers":[{"issuer":"https://as.example.com"},{"issuer":"https://b.example.com"}],"exchange":{"client_id":"a","client_secret":"b","audience":"x"}}]}]`
	if _, err := provision(t, json.RawMessage(two)); err == nil || !strings.Contains(err.Error(), "name the one where tokens are exchanged") {
		t.Errorf("several issuers: got %v", err)
	}
}

func TestExchangeAdaptErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, options, want string }{
		{"no block", "exchange", "exchange needs a client_id"},
		{"a value", "exchange https://backend.internal", "exchange takes a block"},
		{"unknown", "exchange {\nclient a\n}", "unrecognized option of exchange: client (known: issuer, endpoint, client_id,"},
		{"audience twice", "exchange {\naudience a\naudience b\n}", "audience is given twice"},
		{"parameter without a value", "exchange {\nparameter a\n}", "parameter takes a name and a value"},
		{"parameter twice", "exchange {\nparameter a b\nparameter a c\n}", "parameter a is given twice"},
		{"scopes with commas", "exchange {\nscopes a,b\n}", "separate scopes by spaces"},
		{"client_id twice", "exchange {\nclient_id a\nclient_id b\n}", "client_id is given twice"},
		{"twice", "exchange {\nclient_id a\n}\nexchange {\nclient_id a\n}", "exchange is given twice"},
	} {
		if _, err := adapt(door(tc.options)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
	}
}

func TestExplainExchange(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	e := newTokenEndpoint(t, answersAlways(200, exchangedToken))
	site := "http://mcp.example.com {\n" + exchangeDoor(issuer.Issuer(), e.url, "audience backend") + "\n}\n"
	code, out, stderr := explain(t, site, issuer.Mint(nil))
	if want := "ok    exchange            at " + issuer.Issuer() + `, for "backend"; not tried here`; code != 0 || !strings.Contains(out, want) {
		t.Errorf("got %d\n%s%s\nwant %s", code, out, stderr, want)
	}
	code, out, _ = explain(t, site, issuer.Mint(map[string]any{"sub": "robot", "client_id": "robot"}))
	if want := "FAIL  exchange            the token is not that of a user"; code != 1 || !strings.Contains(out, want) || !strings.Contains(out, "403 access_denied") {
		t.Errorf("got %d\n%s\nwant %s", code, out, want)
	}
	if e.asked.Load() != 0 {
		t.Errorf("exchanged %d times", e.asked.Load())
	}
}
