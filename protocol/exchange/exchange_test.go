package exchange

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

const issuer = "https://auth.example.com"

// server is a token endpoint, asked without a network.
type server struct {
	mu    sync.Mutex
	forms []url.Values
	now   atomic.Int64 // the clock, in seconds
	// answer is what it says.
	answer func(form url.Values) (status int, body string)
}

// RoundTrip implements [http.RoundTripper].
func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(b))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.forms = append(s.forms, form)
	s.mu.Unlock()
	status, body := s.answer(form)
	if status == 0 {
		return nil, errors.New("no connection")
	}
	w := httptest.NewRecorder()
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
	return w.Result(), nil
}

func (s *server) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.forms)
}

func (s *server) time() time.Time { return time.Unix(s.now.Load(), 0) }

// exchanger returns an exchanger at a server that answers so.
func exchanger(t *testing.T, answer func(url.Values) (int, string), change ...func(*Config)) (*Exchanger, *server) {
	t.Helper()
	s := &server{answer: answer}
	s.now.Store(time.Now().Unix())
	cache, err := judge.NewCache(judge.CacheConfig{TTL: 24 * time.Hour, MaxEntries: 100, Now: s.time})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cache.Close)
	config := Config{
		Endpoint: func(context.Context) (string, error) { return "https://auth.example.com/token", nil },
		Auth:     token.ClientSecretPost("door", "secret"),
		Audience: "backend",
		Client:   &http.Client{Transport: s},
		Now:      s.time,
	}
	for _, f := range change {
		f(&config)
	}
	e, err := New(config, issuer, cache)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e, s
}

// always is an answer that is always the same.
func always(status int, body string) func(url.Values) (int, string) {
	return func(url.Values) (int, string) { return status, body }
}

const good = `{"access_token":"for-backend","token_type":"Bearer","expires_in":300,"issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}`

// user is a verdict on a user's token.
func user(name string, expiry time.Time) *token.Reader {
	return token.NewReader(token.New(token.Token{Issuer: issuer, Subject: name, Expiry: expiry}, []byte(`{}`)))
}

func TestRequests(t *testing.T) {
	t.Parallel()
	const rfc8693 = "urn:ietf:params:oauth:grant-type:token-exchange"
	for _, tc := range []struct {
		name   string
		change func(*Config)
		want   map[string]string
	}{
		{"audience", func(*Config) {}, map[string]string{"grant_type": rfc8693, "audience": "backend", "subject_token": "raw", "subject_token_type": "urn:ietf:params:oauth:token-type:access_token"}},
		{
			"resource and scopes", func(c *Config) {
				c.Audience, c.Resource, c.Scopes = "", "https://backend.internal", []string{"a", "b"}
			},
			map[string]string{"grant_type": rfc8693, "resource": "https://backend.internal", "scope": "a b", "subject_token": "raw", "subject_token_type": "urn:ietf:params:oauth:token-type:access_token"},
		},
		{
			"a type by its short name", func(c *Config) { c.RequestedType = "jwt" },
			map[string]string{"grant_type": rfc8693, "audience": "backend", "subject_token": "raw", "subject_token_type": "urn:ietf:params:oauth:token-type:access_token", "requested_token_type": "urn:ietf:params:oauth:token-type:jwt"},
		},
		{
			"a type of the server's own", func(c *Config) { c.RequestedType = "urn:x:y" },
			map[string]string{"grant_type": rfc8693, "audience": "backend", "subject_token": "raw", "subject_token_type": "urn:ietf:params:oauth:token-type:access_token", "requested_token_type": "urn:x:y"},
		},
		{
			"further parameters", func(c *Config) { c.Parameters = map[string]string{"connection": "x y"} },
			map[string]string{"grant_type": rfc8693, "audience": "backend", "subject_token": "raw", "subject_token_type": "urn:ietf:params:oauth:token-type:access_token", "connection": "x y"},
		},
		{
			"on behalf of", func(c *Config) {
				c.Grant, c.Audience, c.Scopes = OnBehalfOf, "", []string{"api://backend/.default"}
			},
			map[string]string{"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "requested_token_use": "on_behalf_of", "assertion": "raw", "scope": "api://backend/.default"},
		},
	} {
		e, s := exchanger(t, always(200, good), tc.change)
		if got, err := e.For(t.Context(), "raw", "", user("ada", time.Time{})); got != "for-backend" || err != nil {
			t.Errorf("%s: got %q, %v", tc.name, got, err)
		}
		got := make(map[string]string)
		for name, values := range s.forms[0] {
			if got[name] = values[0]; len(values) > 1 {
				t.Errorf("%s: %s is there %d times", tc.name, name, len(values))
			}
		}
		maps.Copy(tc.want, map[string]string{"client_id": "door", "client_secret": "secret"})
		if !maps.Equal(got, tc.want) {
			t.Errorf("%s: sent %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no endpoint":                 {func(c *Config) { c.Endpoint = nil }, "no token endpoint"},
		"no credentials":              {func(c *Config) { c.Auth = nil }, "no client credentials"},
		"no target":                   {func(c *Config) { c.Audience = "" }, "for which server"},
		"another grant":               {func(c *Config) { c.Grant = "password" }, "is none of"},
		"a type on behalf of":         {func(c *Config) { c.Grant, c.RequestedType = OnBehalfOf, "jwt" }, "requested_token_type is for"},
		"a type that is none":         {func(c *Config) { c.RequestedType = "bearer" }, "neither access_token, jwt, nor a URI"},
		"a scope with a blank":        {func(c *Config) { c.Scopes = []string{"a b"} }, "scopes:"},
		"a parameter with a setting":  {func(c *Config) { c.Parameters = map[string]string{"scope": "a"} }, "parameter scope can't be set"},
		"the subject as parameter":    {func(c *Config) { c.Parameters = map[string]string{"subject_token": "a"} }, "can't be set"},
		"an actor as parameter":       {func(c *Config) { c.Parameters = map[string]string{"actor_token": "a"} }, "can't be set"},
		"our secret as parameter":     {func(c *Config) { c.Parameters = map[string]string{"client_secret": "a"} }, "can't be set"},
		"a parameter without a value": {func(c *Config) { c.Parameters = map[string]string{"x": ""} }, "has no name or no value"},
	} {
		config := Config{
			Endpoint: func(context.Context) (string, error) { return "", nil },
			Auth:     token.ClientSecretPost("door", "secret"),
			Audience: "backend",
		}
		tc.change(&config)
		if err := config.check(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
}

// What isn't a token for the server behind is never passed on.
func TestAnswers(t *testing.T) {
	t.Parallel()
	kind := func(k Kind) *Kind { return &k }
	with := func(members string) string { return `{"access_token":"t","token_type":"Bearer"` + members + `}` }
	for _, tc := range []struct {
		name   string
		status int
		body   string
		want   string
		kind   *Kind // of the error; nil: it could not be found out
	}{
		{"good", 200, good, "for-backend", nil},
		{"no issued_token_type, as Logto", 200, with(`,"expires_in":300`), "t", nil},
		{"a type in other letters", 200, `{"access_token":"t","token_type":"bEARER"}`, "t", nil},
		{"expires_in as a text", 200, with(`,"expires_in":"300"`), "t", nil},
		{"a JWT", 200, with(`,"issued_token_type":"urn:ietf:params:oauth:token-type:jwt"`), "t", nil},
		{"members that are null", 200, with(`,"scope":null,"refresh_token":null,"expires_in":null`), "t", nil},

		{"a DPoP token", 200, `{"access_token":"t","token_type":"DPoP"}`, "", nil},
		{"N_A", 200, `{"access_token":"t","token_type":"N_A"}`, "", nil},
		{"no type", 200, `{"access_token":"t"}`, "", nil},
		{"a refresh token", 200, with(`,"issued_token_type":"urn:ietf:params:oauth:token-type:refresh_token"`), "", nil},
		{"an ID token", 200, with(`,"issued_token_type":"urn:ietf:params:oauth:token-type:id_token"`), "", nil},
		{"a SAML assertion", 200, with(`,"issued_token_type":"urn:ietf:params:oauth:token-type:saml2"`), "", nil},
		{"the user's own token", 200, `{"access_token":"raw","token_type":"Bearer"}`, "", nil},
		{"no token", 200, `{"token_type":"Bearer"}`, "", nil},
		{"an empty token", 200, `{"access_token":"","token_type":"Bearer"}`, "", nil},
		{"a token with a line break", 200, `{"access_token":"t\r\nX: y","token_type":"Bearer"}`, "", nil},
		{"a token with a blank", 200, `{"access_token":"t u","token_type":"Bearer"}`, "", nil},
		{"a huge token", 200, `{"access_token":"` + strings.Repeat("t", 20000) + `","token_type":"Bearer"}`, "", nil},
		{"a number", 200, `{"access_token":1,"token_type":"Bearer"}`, "", nil},
		{"expired already", 200, with(`,"expires_in":0`), "", nil},
		{"a negative lifetime", 200, with(`,"expires_in":-1`), "", nil},
		{"a lifetime of words", 200, with(`,"expires_in":"soon"`), "", nil},
		{"two tokens", 200, with(`,"access_token":"u"`), "", nil},
		{"two spellings", 200, with(`,"Access_Token":"u"`), "", nil},
		{"a page", 200, `<html>`, "", nil},
		{"nothing", 200, ``, "", nil},
		{"a redirect", 302, ``, "", nil},
		{"not found", 404, ``, "", nil},
		{"an error of the server", 500, `{"error":"invalid_grant"}`, "", nil},
		{"away", 503, ``, "", nil},
		{"too many", 429, ``, "", nil},
		{"no connection", 0, ``, "", nil},
		{"a firewall", 403, `<html>`, "", nil},
		{"an error without a code", 400, `{"message":"no"}`, "", nil},
		{"busy", 400, `{"error":"temporarily_unavailable"}`, "", nil},

		{"consent", 400, `{"error":"invalid_grant","error_description":"AADSTS65001","suberror":"consent_required"}`, "", kind(Refused)},
		{"target", 400, `{"error":"invalid_target"}`, "", kind(Refused)},
		{"scope", 400, `{"error":"invalid_scope"}`, "", kind(Refused)},
		{"denied", 403, `{"error":"access_denied"}`, "", kind(Refused)},
		{"the subject", 400, `{"error":"invalid_request"}`, "", kind(Refused)},
		{"interaction without claims", 400, `{"error":"interaction_required"}`, "", kind(Refused)},
		{"interaction", 400, `{"error":"interaction_required","claims":"{\"access_token\":{\"acrs\":{\"essential\":true,\"value\":\"c1\"}}}"}`, "", kind(Interaction)},
		{"claims that are no object", 400, `{"error":"interaction_required","claims":"[]"}`, "", kind(Refused)},
		{"claims that are no JSON", 400, `{"error":"interaction_required","claims":"{"}`, "", kind(Refused)},
		{"claims that are too long", 400, `{"error":"interaction_required","claims":"{\"a\":\"` + strings.Repeat("x", 5000) + `\"}"}`, "", kind(Refused)},
		{"our secret", 401, `{"error":"invalid_client"}`, "", kind(OwnClient)},
		{"our secret, as 400", 400, `{"error":"invalid_client"}`, "", kind(OwnClient)},
		{"our secret, without a word", 401, ``, "", kind(OwnClient)},
		{"our secret, and claims", 401, `{"error":"invalid_client","claims":"{}"}`, "", kind(OwnClient)},
		{"the grant", 400, `{"error":"unsupported_grant_type"}`, "", kind(OwnClient)},
		{"the grant for us", 400, `{"error":"unauthorized_client"}`, "", kind(OwnClient)},
	} {
		e, _ := exchanger(t, always(tc.status, tc.body))
		got, err := e.For(t.Context(), "raw", "", user("ada", time.Time{}))
		why, known := errors.AsType[*Error](err)
		switch {
		case got != tc.want || (err == nil) != (tc.want != ""):
			t.Errorf("%s: got %q, %v, want %q", tc.name, got, err, tc.want)
		case err == nil:
		case known != (tc.kind != nil) || known && why.Kind != *tc.kind:
			t.Errorf("%s: got %v", tc.name, err)
		case strings.Contains(err.Error(), "raw") || strings.Contains(err.Error(), "secret"):
			t.Errorf("%s: %v has what doesn't belong into a log", tc.name, err)
		}
		if known && (why.Claims != "") != (why.Kind == Interaction) {
			t.Errorf("%s: got the claims %q", tc.name, why.Claims)
		}
	}
}

// The scopes that come back are acted on.
func TestScopes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, asked, granted string
		refused, wider       bool
	}{
		{"the same", "a b", `"b a"`, false, false},
		{"not said", "a b", `null`, false, false},
		{"fewer", "a b", `"a"`, true, false},
		{"none", "a b", `""`, true, false},
		{"others", "a", `"b"`, true, false},
		{"more, as Keycloak", "a", `"a email profile"`, false, true},
		{"nothing asked", "", `"a"`, false, false},
		{"what .default stands for", "api://backend/.default", `"api://backend/read"`, false, false},
	} {
		wider := false
		e, _ := exchanger(t, always(200, `{"access_token":"t","token_type":"Bearer","scope":`+tc.granted+`}`), func(c *Config) {
			c.Scopes = strings.Fields(tc.asked)
			c.OnWider = func() { wider = true }
		})
		_, err := e.For(t.Context(), "raw", "", user("ada", time.Time{}))
		why, _ := errors.AsType[*Error](err)
		if (err != nil) != tc.refused || tc.refused && (why == nil || why.Kind != Refused) || wider != tc.wider {
			t.Errorf("%s: got %v, told of more: %t", tc.name, err, wider)
		}
	}
}

// Nobody acts for a token that is no user's.
func TestNoUser(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]token.Token{
		"a client":        {Issuer: issuer, Subject: "robot", Type: token.ClientSubject},
		"an API key":      {Issuer: "https://mcp.example.com/mcp", Subject: "ci"},
		"another issuer":  {Issuer: "https://other.example.com", Subject: "ada"},
		"an issuer alike": {Issuer: issuer + "/", Subject: "ada"},
	} {
		e, s := exchanger(t, always(200, good))
		got, err := e.For(t.Context(), "raw", "", token.NewReader(token.New(of, []byte(`{}`))))
		if why, ok := errors.AsType[*Error](err); got != "" || !ok || why.Kind != NoUser || s.asked() != 0 {
			t.Errorf("%s: got %q, %v, and %d requests", name, got, err, s.asked())
		}
	}
}

func FuzzReadToken(f *testing.F) {
	for _, seed := range []string{good, `{"access_token":"t","token_type":"Bearer","scope":"a b","expires_in":"5"}`, `{"token_type":"DPoP"}`, `[]`, `{"expires_in":1e999}`, `{"expires_in":18446744073709551615}`} {
		f.Add([]byte(seed))
	}
	now := time.Now()
	f.Fuzz(func(t *testing.T, body []byte) {
		c := Config{Now: func() time.Time { return now }}
		got, err := c.readToken(body)
		if err != nil {
			return
		}
		if got.text == "" || strings.ContainsAny(got.text, " \r\n\x00\"") || slices.Contains(got.scopes, "") {
			t.Errorf("got %+v", got)
		}
		if !got.expires.IsZero() && (!got.expires.After(now) || got.expires.After(now.Add(maxLifetime))) {
			t.Errorf("expires at %s", got.expires)
		}
	})
}

// transport is an [http.RoundTripper].
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A server that never answers keeps nobody waiting for long, and one who gives up
// doesn't spoil it for the others.
func TestSlowServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hangs := true
		e, _ := exchanger(t, nil, func(c *Config) {
			c.Now = time.Now
			c.Client = &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
				if !hangs {
					time.Sleep(3 * time.Second)
					return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(good))}, nil
				}
				<-r.Context().Done()
				return nil, r.Context().Err()
			})}
		})
		began := time.Now()
		_, err := e.For(t.Context(), "raw", "", user("ada", time.Time{}))
		if _, ok := errors.AsType[*outbound.UnavailableError](err); !ok || time.Since(began) > 10*time.Second {
			t.Errorf("got %v after %s", err, time.Since(began))
		}
		hangs = false
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		gaveUp := make(chan error)
		go func() {
			_, err := e.For(impatient, "raw", "", user("ada", time.Time{}))
			gaveUp <- err
		}()
		synctest.Wait()
		if got, err := e.For(t.Context(), "raw", "", user("ada", time.Time{})); got != "for-backend" || err != nil {
			t.Errorf("after another has given up: got %q, %v", got, err)
		}
		if err := <-gaveUp; err == nil {
			t.Error("one who gave up got a token")
		}
	})
}
