package browser_test

import (
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/browser"
)

func TestHide(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		sent, want []string
	}{
		{"none", nil, nil},
		{"others", []string{"a=1; b=2"}, []string{"a=1; b=2"}},
		{"others, untidy", []string{"a=1;b=2;"}, []string{"a=1;b=2;"}},
		{"ours", []string{"__Host-mcp_auth_session=x; mcp_auth_browser=y"}, nil},
		{"the façade's", []string{"__Host-mcp_auth_facade_consent=x; a=1; mcp_auth_facade_browser=y"}, []string{"a=1"}},
		{"among others", []string{"a=1; __Host-mcp_auth_session=x;b=2; mcp_auth_upstream_abc=z"}, []string{"a=1; b=2"}},
		{"several lines", []string{"a=1", "mcp_auth_session=x", "b=2; mcp_auth_browser=y"}, []string{"a=1", "b=2"}},
		{"twice", []string{"mcp_auth_session=x; a=1; mcp_auth_session=y"}, []string{"a=1"}},
		{"blanks", []string{" mcp_auth_session = x ;\ta=1"}, []string{"a=1"}},
		{"without a value", []string{"mcp_auth_session; a=1"}, []string{"a=1"}},
		{"no cookie to Go", []string{`mcp_auth_session="x"y; a=1`}, []string{"a=1"}},
		{"with another prefix", []string{"__Secure-mcp_auth_session=x; a=1"}, []string{"a=1"}},
		{"of a like name", []string{"my_mcp_auth_session=1; mcp_authentic=2"}, []string{"my_mcp_auth_session=1; mcp_authentic=2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			for _, line := range tt.sent {
				r.Header.Add("Cookie", line)
			}
			r = browser.Hide(browser.Hide(r))
			if got := r.Header.Values("Cookie"); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// The servers that set the cookies still see them, in their own name only.
func TestHiddenCookies(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Add("Cookie", "mcp_auth_session=plain; a=1")
	r = browser.Hide(r)
	r.Header.Add("Cookie", "__Host-mcp_auth_session=x; mcp_auth_browser=1; mcp_auth_browser=2")
	r = browser.Hide(r)
	for name, want := range map[string]int{"a": 1, "mcp_auth_session": 1, "__Host-mcp_auth_session": 1, "mcp_auth_browser": 2, "b": 0} {
		if got := browser.Cookies(r, name); len(got) != want {
			t.Errorf("%s: got %v, want %d", name, got, want)
		}
	}
	site := &browser.Site{Issuer: testIssuer, Secure: true, IDCookie: "mcp_auth_browser"}
	r.Header.Add("Cookie", browser.CookieName("mcp_auth_session", testIssuer, true)+"=x")
	r = browser.Hide(r)
	if got := site.Visit(httptest.NewRecorder(), r).Cookie("mcp_auth_session"); got != "x" || r.Header.Get("Cookie") != "a=1" {
		t.Errorf("a visit sees %q, want x", got)
	}
}
