package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/storetest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// fixture is a server with a clock that stands still.
type fixture struct {
	*Server
	t      *testing.T
	store  *storetest.Memory
	clock  *testkit.Clock
	mu     sync.Mutex
	events []Event
}

const (
	testIssuer   = "https://as.example"
	testResource = "https://as.example/mcp"
	testRedirect = "https://client.example/callback"
	testVerifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)

func newFixture(t *testing.T, change ...func(*Config)) *fixture {
	t.Helper()
	f := &fixture{t: t, store: storetest.New(), clock: testkit.NewClock()}
	f.Server = f.again(change...)
	return f
}

// again returns another server on the same store.
func (f *fixture) again(change ...func(*Config)) *Server {
	f.t.Helper()
	config := Config{
		Issuer:    testIssuer,
		Resources: []string{testResource},
		Scopes:    []Scope{{Name: "read"}, {Name: "write"}},
		Clients: []Client{
			{ID: "app", RedirectURIs: []string{testRedirect}},
			{ID: "backend", Secret: "a-secret-of-the-backend", RedirectURIs: []string{testRedirect}},
			{ID: "resource", Secret: "a-secret-of-the-resource", Introspection: true},
		},
		Store:  f.store,
		Secret: testMaster("a master secret"),
		Now:    f.clock.Now,
		Observe: func(_ context.Context, e Event) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.events = append(f.events, e)
		},
	}
	for _, c := range change {
		c(&config)
	}
	s, err := New(config)
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

// testMaster is a master secret that the operator has given.
type testMaster string

func (s testMaster) Keys(context.Context) (*sealed.Keys, error) {
	return sealed.New([]byte(s), testIssuer), nil
}

var testUser = User{Subject: "ada", Username: "ada", SignedIn: time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)}

func testQuery(fields ...string) url.Values {
	sum := sha256.Sum256([]byte(testVerifier))
	q := url.Values{
		"response_type": {"code"}, "client_id": {"app"}, "redirect_uri": {testRedirect}, "state": {"s"}, "scope": {"read"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(fields); i += 2 {
		q.Set(fields[i], fields[i+1])
	}
	return q
}

// code has the user approve a request of the client app.
func (f *fixture) code(fields ...string) string {
	f.t.Helper()
	a, _, err := f.Authorize(f.t.Context(), testQuery(fields...).Encode())
	if err != nil {
		f.t.Fatal(err)
	}
	to, err := f.Approve(f.t.Context(), testUser, a)
	if err != nil {
		f.t.Fatal(err)
	}
	u, err := url.Parse(to)
	if err != nil {
		f.t.Fatal(err)
	}
	return u.Query().Get("code")
}

// Only what the operator knows is trusted with the browser before the user had a
// say.
func TestAsksBeforeLeaving(t *testing.T) {
	t.Parallel()
	listed := func(c *Config) { c.Registration.RedirectURIs = []string{testRedirect} }
	for _, test := range []struct {
		name, redirect string
		change         func(*Config)
		dynamic, want  bool
	}{
		{"stranger", testRedirect, func(*Config) {}, true, true},
		{"stranger on loopback", "http://127.0.0.1/callback", func(*Config) {}, true, false},
		{"listed address", testRedirect, listed, true, false},
		{"registered client", testRedirect, func(*Config) {}, false, false},
	} {
		f := newFixture(t, test.change)
		fields := []string{"response_type", "token", "redirect_uri", test.redirect}
		if test.dynamic {
			got := ask(t, f.Server, RegisterPath, "application/json", `{"redirect_uris":["`+test.redirect+`"]}`)
			fields = append(fields, "client_id", got.ID)
		}
		_, _, err := f.Authorize(t.Context(), testQuery(fields...).Encode())
		refused, ok := errors.AsType[*AuthorizationError](err)
		if !ok || refused.Ask != test.want || !strings.HasPrefix(refused.RedirectTo, test.redirect+"?") {
			t.Errorf("%s: got %+v, want to ask: %t", test.name, refused, test.want)
		}
		if said := f.Refuse(&Authorization{RedirectURI: test.redirect}, nil); said.Ask {
			t.Errorf("%s: asks a user who has said no", test.name)
		}
	}
}

// answer is one of an endpoint.
type answer struct {
	status  int
	header  http.Header
	body    string
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Scope   string `json:"scope"`
	Error   string `json:"error"`
	Active  bool   `json:"active"`
	ID      string `json:"client_id"`
	Secret  string `json:"client_secret"`
	Expires int64  `json:"exp"`
}

func ask(t *testing.T, s *Server, path, contentType, body string) answer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, testIssuer+path, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	a := answer{status: w.Code, header: w.Header(), body: w.Body.String()}
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
			t.Fatalf("%s answered %d %q", path, w.Code, w.Body)
		}
	}
	return a
}

func post(t *testing.T, s *Server, path string, form url.Values) answer {
	t.Helper()
	return ask(t, s, path, "application/x-www-form-urlencoded", form.Encode())
}

func redeemForm(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "client_id": {"app"}, "code": {code}, "code_verifier": {testVerifier}, "redirect_uri": {testRedirect}}
}

func (f *fixture) tokens(fields ...string) answer {
	f.t.Helper()
	got := post(f.t, f.Server, TokenPath, redeemForm(f.code(fields...)))
	if got.status != 200 || got.Access == "" || got.Refresh == "" {
		f.t.Fatalf("redeeming: %d %s", got.status, got.body)
	}
	return got
}

func refreshForm(token string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "client_id": {"app"}, "refresh_token": {token}}
}

func introspectForm(token string) url.Values {
	return url.Values{"client_id": {"resource"}, "client_secret": {"a-secret-of-the-resource"}, "token": {token}}
}

var errStore = errors.New("the disk is on fire")
