package facade

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/facade/reading"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/browser"
)

// A browser keeps so many answers of each kind; the oldest go, and so do those that
// no longer count.
func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	var uris strings.Builder
	for i := range 3 * maxConsents {
		fmt.Fprintf(&uris, " https://client-%d.example/cb", i)
	}
	s := newSite(t, "preset django-oauth-toolkit\nregister static mcp-client {\nredirect_uris"+uris.String()+" "+local+"\n}")
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s.now = func() time.Time { return now }
	p := s.person()
	kept := func(prefix string) (n int) {
		for _, c := range p.jar.Cookies(home) {
			if size := len(c.Name) + len(c.Value); size > 300 {
				t.Errorf("a cookie of %d bytes", size)
			}
			if strings.HasPrefix(c.Name, "__Host-"+prefix) {
				n++
			}
		}
		return n
	}
	site := func(i int) string {
		return "/o/authorize/?" + good("redirect_uri", fmt.Sprintf("https://client-%d.example/cb", i)).Encode()
	}
	program := func(i int) string {
		return "/o/authorize/?" + good("redirect_uri", local, "state", fmt.Sprint(i)).Encode()
	}
	for i := range 3 * maxConsents {
		now = now.Add(time.Minute)
		p.answer(p.get(site(i)), "allow")
		p.answer(p.get(program(i)), "allow")
	}
	if sites, requests := kept(siteCookie), kept(requestCookie); sites != maxConsents || requests != maxRequests {
		t.Errorf("%d web sites and %d requests, want %d and %d", sites, requests, maxConsents, maxRequests)
	}
	for i := range 3 * maxConsents {
		if got, want := p.get(site(i)).Code == http.StatusTeapot, i >= 2*maxConsents; got != want {
			t.Errorf("web site %d: allowed %t, want %t", i, got, want)
		}
		if got, want := p.get(program(i)).Code == http.StatusTeapot, i >= 3*maxConsents-maxRequests; got != want {
			t.Errorf("request %d: allowed %t, want %t", i, got, want)
		}
	}
	// Cookies that don't open make room for those that do.
	planted := &http.Cookie{Name: browser.CookieName(siteCookie+"planted", issuer, true), Value: "x", Path: "/", Secure: true}
	p.jar.SetCookies(home, []*http.Cookie{planted})
	p.answer(p.get(site(0)), "allow")
	for _, c := range p.jar.Cookies(home) {
		if c.Name == planted.Name {
			t.Error("a cookie that doesn't open is kept")
		}
	}
	if w := p.get(site(3*maxConsents - 1)); w.Code != http.StatusTeapot {
		t.Errorf("the newest went: %d", w.Code)
	}
}

// A question may be as long as an authorization request.
func TestLongQuestion(t *testing.T) {
	t.Parallel()
	s := newSite(t, shared)
	p := s.person()
	q := good()
	q.Set("claims", strings.Repeat("&", (reading.MaxQuery-len(q.Encode()))/3-10))
	if w := p.answer(p.get("/o/authorize/?"+q.Encode()), "allow"); w.Code != http.StatusSeeOther {
		t.Errorf("got %d", w.Code)
	}
	form := "decision=allow&request=" + strings.Repeat("x", 64<<10)
	w := p.do(request("POST", "/o/oauth/facade-consent", form, "Content-Type", formType, "Sec-Fetch-Site", "same-origin"))
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("an answer that is too long: got %d", w.Code)
	}
}

// How many registrations pass, by whom; what is not tested here is tested in
// internal/throttle.
func TestRegistrationIsThrottled(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := newSite(t, "upstream http://127.0.0.1:1/o\nregister static mcp-public {\nredirect_uris https://a.example/cb\n}")
	s.limits = newLimits(func() time.Time { return now })
	register := func(address string) *httptest.ResponseRecorder {
		r := request("POST", "/o/oauth/register", `{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"none"}`, "Content-Type", "application/json")
		return s.do(r.WithContext(context.WithValue(r.Context(), caddyhttp.VarsCtxKey, map[string]any{caddyhttp.ClientIPVarKey: address})))
	}
	for _, tt := range []struct {
		name    string
		address func(i int) string
		want    int
	}{
		{"an address", func(int) string { return "192.0.2.1" }, 20},
		{"a /64", func(i int) string { return fmt.Sprintf("2001:db8:1::%x", i) }, 20},
		{"a /56", func(i int) string { return fmt.Sprintf("2001:db8:2:%x::1", i) }, 40},
		{"a /48", func(i int) string { return fmt.Sprintf("2001:db8:3:%x::1", i<<8) }, 80},
		{"a /24", func(i int) string { return fmt.Sprintf("198.51.100.%d", i) }, 80},
		{"no address", func(int) string { return "" }, 20},
	} {
		passed := 0
		for i := range 100 {
			w := register(tt.address(i))
			switch w.Code {
			case http.StatusCreated:
				passed++
			case http.StatusTooManyRequests:
				if w.Header().Get("Retry-After") == "" {
					t.Errorf("%s: no Retry-After", tt.name)
				}
			default:
				t.Fatalf("%s: got %d %s", tt.name, w.Code, w.Body)
			}
		}
		if passed != tt.want {
			t.Errorf("%s: %d pass, want %d", tt.name, passed, tt.want)
		}
	}
	now = now.Add(registrationEvery)
	if w := register("192.0.2.1"); w.Code != http.StatusCreated {
		t.Errorf("after the wait: got %d", w.Code)
	}
}
