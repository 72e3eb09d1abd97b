package authserver

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/html"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/audit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/browser"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/storetest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
)

const (
	testIssuer   = "https://mcp.example.com"
	testPassword = "demo-password"
	testVerifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	// testHash is testPassword, at bcrypt's least cost.
	testHash = "$2a$04$VxJ1bKKHAzTj/lJL.LkBdOc2tKJ.1HLJ0SLQsnv8xXTwCt9DPZpVu"
)

// site is a server with its pages, a clock that stands still, and a store that
// can be made to fail.
type site struct {
	*Handler
	t     *testing.T
	store *storetest.Memory
	clock time.Time
}

func newTestSite(t *testing.T, change ...func(*Handler)) *site {
	t.Helper()
	s := &site{t: t, store: storetest.New(), clock: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	s.Handler = &Handler{
		store:        s.store,
		Issuer:       testIssuer,
		Resources:    []string{testIssuer + "/mcp"},
		Scopes:       []Scope{{"mcp:tools", "Use the tools"}, {"mcp:admin", ""}},
		Users:        []*User{{Username: "ada", Password: testHash, Name: "Ada Lovelace", Email: "ada@example.com"}, {Username: "bob", Password: testHash}},
		Registration: &Registration{PrivateSchemes: []string{"cursor"}},
		now:          func() time.Time { return s.clock },
		site:         "mcp.example.com",
		secure:       true,
		logger:       zap.NewNop(),
		audited:      audit.To(zap.NewNop(), testIssuer),
	}
	for _, c := range change {
		c(s.Handler)
	}
	s.state = newServerState(s.now)
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	t.Cleanup(func() { _ = s.shared.Release() })
	if err := s.provisionUsers(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.state.guesses.AddUsers(slices.Collect(maps.Keys(s.users))))
	config := oauth.Config{
		Secret: siteSecret{}, Providers: s.identityProviders(), Observe: s.observe,
		Issuer: s.Issuer, Resources: s.Resources, Store: s.store, Now: s.now, CheckUser: s.checkUser, LimitRegistration: s.state.register, Registration: registration.Policy(*s.Registration),
		Clients: []oauth.Client{
			{ID: "desk", Name: "The desk", RedirectURIs: []string{"https://desk.example/callback", "http://127.0.0.1/callback"}},
			{ID: "agent", Secret: "a-secret-of-the-agent", Introspection: true},
		},
	}
	for _, scope := range s.Scopes {
		config.Scopes = append(config.Scopes, oauth.Scope(scope))
	}
	var err error
	if s.server, err = oauth.New(config); err != nil {
		t.Fatal(err)
	}
	s.base = s.server.BasePath()
	s.browsers = s.newSite()
	s.routes = s.pageRoutes()
	return s
}

var errAway = errors.New("the storage is away")

// away has the storage fail at these operations; at none, it is back.
func (s *site) away(operations ...string) {
	s.store.Fail(func(operation, _ string) error {
		for _, failing := range operations {
			if operation == failing {
				return errAway
			}
		}
		return nil
	})
}

// siteSecret is a master secret that the operator has given.
type siteSecret struct{}

func (siteSecret) Keys(context.Context) (*sealed.Keys, error) {
	return sealed.New([]byte("a master secret"), testIssuer), nil
}

// siteCookie returns the name by which browsers know a cookie of the site.
func siteCookie(name string) string { return browser.CookieName(name, testIssuer, true) }

// register has a stranger register a client, and returns its identifier. members
// are added to its metadata, each after a comma.
func (s *site) register(name, redirectURI string, members ...string) string {
	s.t.Helper()
	r := httptest.NewRequest("POST", testIssuer+oauth.RegisterPath, strings.NewReader(
		`{"client_name":"`+name+`","redirect_uris":["`+redirectURI+`"],"token_endpoint_auth_method":"none"`+strings.Join(members, "")+`}`))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.server.ServeHTTP(w, r)
	_, rest, _ := strings.Cut(w.Body.String(), `"client_id":"`)
	id, _, found := strings.Cut(rest, `"`)
	if w.Code != 201 || !found {
		s.t.Fatalf("registering: %d %s", w.Code, w.Body)
	}
	return id
}

// request is the address of an authorization request; fields are pairs of names
// and values.
func request(client, redirectURI string, fields ...string) string {
	sum := sha256.Sum256([]byte(testVerifier))
	q := url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {redirectURI}, "state": {"s"}, "scope": {"mcp:tools"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(fields); i += 2 {
		q.Set(fields[i], fields[i+1])
	}
	return oauth.AuthorizePath + "?" + q.Encode()
}

// person is a browser at the site.
type person struct {
	*site
	jar map[string]string
}

func (s *site) person() *person { return &person{s, make(map[string]string)} }

// copied is another browser with the same cookies.
func (p *person) copied() *person {
	other := p.site.person()
	for name, value := range p.jar {
		other.jar[name] = value
	}
	return other
}

// shown is what a browser was answered.
type shown struct {
	p        *person
	status   int
	location string
	header   http.Header
	root     *html.Node
}

func (p *person) do(method, path string, form url.Values, headers ...string) *shown {
	p.t.Helper()
	var body *strings.Reader
	if body = strings.NewReader(""); form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequestWithContext(p.t.Context(), method, testIssuer+path, body)
	for name, value := range p.jar {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusNotFound)
		return nil
	})
	if err := p.ServeHTTP(w, r, next); err != nil {
		p.t.Fatal(err)
	}
	for _, c := range w.Result().Cookies() {
		if p.jar[c.Name] = c.Value; c.MaxAge < 0 {
			delete(p.jar, c.Name)
		}
	}
	root, err := html.Parse(w.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return &shown{p, w.Code, w.Header().Get("Location"), w.Header(), root}
}

func (p *person) get(path string) *shown {
	p.t.Helper()
	return p.do("GET", path, nil)
}

// follow goes where the answer redirects on the site.
func (pg *shown) follow() *shown {
	pg.p.t.Helper()
	for strings.HasPrefix(pg.location, "/") {
		pg = pg.p.get(pg.location)
	}
	return pg
}

// press sends the form that has the button.
func (pg *shown) press(name, value string, fields ...string) *shown {
	pg.p.t.Helper()
	for n := range pg.root.Descendants() {
		if n.Data != "form" {
			continue
		}
		form, found := url.Values{name: {value}}, false
		for d := range n.Descendants() {
			if d.Data == "input" {
				form.Set(testkit.Attribute(d, "name"), testkit.Attribute(d, "value"))
			}
			found = found || d.Data == "button" && testkit.Attribute(d, "name") == name && testkit.Attribute(d, "value") == value
		}
		if !found {
			continue
		}
		for i := 0; i < len(fields); i += 2 {
			form.Set(fields[i], fields[i+1])
		}
		return pg.p.do("POST", testkit.Attribute(n, "action"), form)
	}
	pg.p.t.Fatalf("there is no button %s=%s: %d %s", name, value, pg.status, pg.text())
	return nil
}

// signIn fills in the sign-in page.
func (pg *shown) signIn(user string) *shown {
	pg.p.t.Helper()
	return pg.press("decision", "signin", "username", user, "password", testPassword).follow()
}

func (pg *shown) button(value string) bool { return testkit.HasButton(pg.root, value) }

// field is the value of an input.
func (pg *shown) field(name string) string {
	for n := range pg.root.Descendants() {
		if n.Data == "input" && testkit.Attribute(n, "name") == name {
			return testkit.Attribute(n, "value")
		}
	}
	return ""
}

func (pg *shown) text() string {
	var words []string
	for n := range pg.root.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "style" {
			words = append(words, strings.Fields(n.Data)...)
		}
	}
	return strings.Join(words, " ")
}

// signedIn reports who the account page says is signed in.
func (p *person) signedInAs() string {
	p.t.Helper()
	pg := p.get(accountPath)
	_, rest, found := strings.Cut(pg.text(), "You are signed in as ")
	if !found {
		return ""
	}
	return strings.Fields(rest)[0]
}
