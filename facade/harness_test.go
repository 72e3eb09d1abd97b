package facade

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// behind is the server behind a façade: it writes down what gets to it.
type behind struct {
	got []seen
	// location is where it sends browsers; nowhere if it is empty.
	location string
	// status is what it answers; a teapot's if it is zero.
	status int
}

// seen is a request as the server behind got it.
type seen struct {
	method, target, body string
	header               http.Header
}

func (b *behind) ServeHTTP(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	b.got = append(b.got, seen{r.Method, r.URL.RequestURI(), string(body), r.Header.Clone()})
	if b.location != "" {
		w.Header().Set("Location", b.location)
		w.WriteHeader(http.StatusFound)
		return err
	}
	w.WriteHeader(cmp.Or(b.status, http.StatusTeapot))
	return err
}

// site is a façade that was provisioned, and what is behind it.
type site struct {
	*Handler
	t      *testing.T
	behind *behind
	log    *caddyhttp.ExtraLogFields
}

const issuer = "https://auth.example.com/o"

// newSite provisions a façade of issuer with the options.
func newSite(t *testing.T, options string) *site {
	t.Helper()
	h := new(Handler)
	if err := h.UnmarshalCaddyfile(caddyfile.NewTestDispenser("mcp_auth_facade " + issuer + " {\n" + options + "\n}")); err != nil {
		t.Fatal(err)
	}
	testkit.Provisioning.Lock()
	defer testkit.Provisioning.Unlock()
	base, err := caddy.ProvisionContext(&caddy.Config{
		Admin:      &caddy.AdminConfig{Disabled: true},
		StorageRaw: json.RawMessage(`{"module":"file_system","root":"` + t.TempDir() + `"}`),
		Logging:    &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{Level: "FATAL"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(base)
	t.Cleanup(cancel)
	if err := h.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Cleanup() })
	h.limits = newLimits(h.now) // those of the issuer are all tests'
	return &site{Handler: h, t: t, behind: new(behind)}
}

// do sends a request through the façade.
func (s *site) do(r *http.Request) *httptest.ResponseRecorder {
	s.t.Helper()
	s.log = new(caddyhttp.ExtraLogFields)
	r = r.WithContext(context.WithValue(r.Context(), caddyhttp.ExtraLogFieldsCtxKey, s.log))
	w := httptest.NewRecorder()
	if err := s.ServeHTTP(w, r, s.behind); err != nil {
		s.t.Fatal(err)
	}
	return w
}

// request makes a request as Go's server reads it from the wire. headers are
// pairs of names and values.
func request(method, target, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body == "" {
		r = httptest.NewRequest(method, target, nil)
	}
	r.Host = "auth.example.com"
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

const formType = "application/x-www-form-urlencoded"

// person is a browser.
type person struct {
	s   *site
	jar http.CookieJar
}

func (s *site) person() *person {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &person{s: s, jar: jar}
}

var home = &url.URL{Scheme: "https", Host: "auth.example.com", Path: "/"}

func (p *person) do(r *http.Request) *httptest.ResponseRecorder {
	p.s.t.Helper()
	for _, c := range p.jar.Cookies(home) {
		r.AddCookie(c)
	}
	w := p.s.do(r)
	p.jar.SetCookies(home, w.Result().Cookies())
	return w
}

func (p *person) get(target string) *httptest.ResponseRecorder {
	p.s.t.Helper()
	return p.do(request("GET", strings.TrimPrefix(target, "https://auth.example.com"), ""))
}

// answer sends the form of the façade's question.
func (p *person) answer(page *httptest.ResponseRecorder, decision string) *httptest.ResponseRecorder {
	p.s.t.Helper()
	sealed := field(page, "request")
	if sealed == "" {
		p.s.t.Fatalf("no question: %d %s", page.Code, page.Body)
	}
	form := url.Values{"request": {sealed}, "decision": {decision}}
	return p.do(request("POST", "/o/oauth/facade-consent", form.Encode(), "Content-Type", formType, "Sec-Fetch-Site", "same-origin", "Origin", "https://auth.example.com"))
}

// field returns the value of a page's form field.
func field(page *httptest.ResponseRecorder, name string) string {
	root, err := html.Parse(strings.NewReader(page.Body.String()))
	if err != nil {
		return ""
	}
	for n := range root.Descendants() {
		attributes := map[string]string{}
		for _, a := range n.Attr {
			attributes[a.Key] = a.Val
		}
		if n.Data == "input" && attributes["name"] == name {
			return attributes["value"]
		}
	}
	return ""
}

const (
	claude  = "https://claude.ai/api/mcp/auth_callback"
	chatgpt = "https://chatgpt.com/connector_platform_oauth_redirect"
	local   = "http://127.0.0.1:6276/oauth/callback"
	private = "cursor://anysphere.cursor-mcp/oauth/callback"

	shared = "preset django-oauth-toolkit\nregister static mcp-client {\nredirect_uris " + claude + " " + chatgpt + " " + local + " " + private + "\n}"
)

// good returns the parameters of an authorization request that is as it should
// be, with changes: pairs of names and values, an empty value for none.
func good(changes ...string) url.Values {
	q := url.Values{
		"response_type": {"code"}, "client_id": {"mcp-client"}, "redirect_uri": {claude}, "state": {"s"}, "scope": {"read"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(changes); i += 2 {
		if q.Del(changes[i]); changes[i+1] != "" {
			q.Set(changes[i], changes[i+1])
		}
	}
	return q
}
