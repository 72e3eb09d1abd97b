package browser_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/browser"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
)

// sealer seals with keys in memory, or fails.
type sealer struct {
	keys *sealed.Keys
	err  error
}

func (s *sealer) Seal(_ context.Context, purpose sealed.Purpose, plain []byte) (string, error) {
	return s.keys.Seal(purpose, plain), s.err
}

func (s *sealer) Open(_ context.Context, purpose sealed.Purpose, text string) ([]byte, error) {
	if s.err != nil {
		return nil, s.err
	}
	return s.keys.Open(purpose, text)
}

const (
	testIssuer = "https://mcp.example.com/as"
	// hash is what the names of its cookies end in.
	hash = "f81fea82872fdf05"
)

// newSite returns a site, what seals for it, and its clock.
func newSite() (*browser.Site, *sealer, *time.Time) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := &sealer{keys: sealed.New(make([]byte, 32), testIssuer)}
	return &browser.Site{Issuer: testIssuer, Secure: true, IDCookie: "id", Sealer: s, Now: func() time.Time { return now }}, s, &now
}

// jar is a browser: it keeps the cookies of the pages it opens.
type jar map[string]string

// open opens a page, and keeps the cookies that do sets.
func (j jar) open(s *browser.Site, do func(*browser.Visit)) {
	r := httptest.NewRequest("GET", "https://mcp.example.com/", nil)
	for name, value := range j {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	before := r.Header.Get("Cookie")
	w := httptest.NewRecorder()
	do(s.Visit(w, r))
	if after := r.Header.Get("Cookie"); after != before {
		panic("the request was edited: " + after)
	}
	for _, c := range w.Result().Cookies() {
		if j[c.Name] = c.Value; c.MaxAge < 0 {
			delete(j, c.Name)
		}
	}
}

func TestSealed(t *testing.T) {
	t.Parallel()
	site, sealer, now := newSite()
	ada, mallory := jar{}, jar{}
	var text, other string
	ada.open(site, func(v *browser.Visit) {
		if got := v.W.Header()["Set-Cookie"]; got != nil {
			t.Errorf("a new browser gets cookies for a visit alone: %s", got)
		}
		var err error
		if text, err = v.Seal(sealed.Question, "yes?", time.Hour); err != nil {
			t.Fatal(err)
		}
		// The same visit has its browser from then on.
		var got string
		if err := v.Open(sealed.Question, text, &got); err != nil || got != "yes?" {
			t.Errorf("in the same visit: got %q, %v", got, err)
		}
	})
	mallory.open(site, func(v *browser.Visit) { other, _ = v.Seal(sealed.Question, "mine?", time.Hour) })
	open := func(j jar, purpose sealed.Purpose, text string) error {
		var err error
		j.open(site, func(v *browser.Visit) { err = v.Open(purpose, text, new(string)) })
		return err
	}
	if err := open(ada, sealed.Question, text); err != nil {
		t.Errorf("in a later visit: %v", err)
	}
	altered := []byte(text)
	altered[len(altered)/2] ^= 1
	for name, err := range map[string]error{
		"another browser":      open(mallory, sealed.Question, text),
		"of another browser":   open(ada, sealed.Question, other),
		"no browser":           open(jar{}, sealed.Question, text),
		"an identifier of old": open(jar{browser.CookieName("id", testIssuer, true): "short"}, sealed.Question, text),
		"another purpose":      open(ada, sealed.Answers, text),
		"nothing":              open(ada, sealed.Question, ""),
		"altered":              open(ada, sealed.Question, string(altered)),
		"oversized":            open(ada, sealed.Question, strings.Repeat("a", 64<<10+1)),
		"sealed by itself":     open(ada, sealed.Question, sealer.keys.Seal(sealed.Question, []byte(`"yes?"`))),
		"another type": func() (err error) {
			ada.open(site, func(v *browser.Visit) { err = v.Open(sealed.Question, text, new(int)) })
			return err
		}(),
	} {
		if !errors.Is(err, browser.ErrClosed) {
			t.Errorf("%s: got %v, want ErrClosed", name, err)
		}
	}
	sealer.err = errors.New("away")
	if err := open(ada, sealed.Question, text); !errors.Is(err, sealer.err) || errors.Is(err, browser.ErrClosed) {
		t.Errorf("without the keys: got %v, want that it could not be found out", err)
	}
	sealer.err = nil
	*now = now.Add(time.Hour)
	if err := open(ada, sealed.Question, text); !errors.Is(err, browser.ErrClosed) {
		t.Errorf("too late: got %v, want ErrClosed", err)
	}
}

func TestCookies(t *testing.T) {
	t.Parallel()
	site, _, _ := newSite()
	w := httptest.NewRecorder()
	v := site.Visit(w, httptest.NewRequest("GET", "/", nil))
	v.SetCookie("a", "1", time.Hour)
	v.SetCookie("b", "2", 0)
	v.RemoveCookie("c")
	want := []string{
		"__Host-a_" + hash + "=1; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax",
		"__Host-b_" + hash + "=2; Path=/; HttpOnly; Secure; SameSite=Lax",
		"__Host-c_" + hash + "=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax",
	}
	for i, got := range w.Header()["Set-Cookie"] {
		if got != want[i] {
			t.Errorf("got %s, want %s", got, want[i])
		}
	}
	site.Secure = false
	w = httptest.NewRecorder()
	site.Visit(w, httptest.NewRequest("GET", "/", nil)).SetCookie("a", "1", 0)
	if got := w.Header().Get("Set-Cookie"); got != "a_"+hash+"=1; Path=/; HttpOnly; SameSite=Lax" {
		t.Errorf("without https: got %s, of which browsers keep only what is not Secure", got)
	}
}

func TestCookieTwice(t *testing.T) {
	t.Parallel()
	site, _, _ := newSite()
	name := "__Host-a_" + hash
	for header, want := range map[string]string{
		"":                            "",
		name + "=1":                   "1",
		"a_" + hash + "=1":            "", // planted by another host
		name + "=1; " + name + "=2":   "",
		name + "=1; b=2; __Host-aa":   "1",
		"__Host-a=1":                  "", // of no issuer
		"__Host-a_0123456789abcdef=1": "", // of another issuer
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", header)
		if got := site.Visit(httptest.NewRecorder(), r).Cookie("a"); got != want {
			t.Errorf("%q: got %q, want %q", header, got, want)
		}
	}
}

func TestForm(t *testing.T) {
	t.Parallel()
	site, _, _ := newSite()
	const form = "application/x-www-form-urlencoded"
	for _, tt := range []struct {
		name, body string
		header     []string
		want       error
	}{
		{"own page", "a=1&b=2", []string{"Content-Type", form, "Sec-Fetch-Site", "same-origin"}, nil},
		{"charset", "a=1&b=2", []string{"Content-Type", form + "; charset=utf-8", "Sec-Fetch-Site", "same-origin"}, nil},
		{"old browser, own page", "a=1&b=2", []string{"Content-Type", form, "Origin", "https://mcp.example.com"}, nil},
		{"another site", "a=1", []string{"Content-Type", form, "Sec-Fetch-Site", "cross-site"}, browser.ErrCrossSite},
		{"another host of the domain", "a=1", []string{"Content-Type", form, "Sec-Fetch-Site", "same-site"}, browser.ErrCrossSite},
		{"old browser, another site", "a=1", []string{"Content-Type", form, "Origin", "https://evil.example"}, browser.ErrCrossSite},
		{"a page in a sandbox", "a=1", []string{"Content-Type", form, "Origin", "null"}, browser.ErrCrossSite},
		{"of no type", "a=1", nil, browser.ErrForm},
		{"text", "a=1", []string{"Content-Type", "text/plain"}, browser.ErrForm},
		{"multipart", "a=1", []string{"Content-Type", "multipart/form-data; boundary=x"}, browser.ErrForm},
		{"malformed", "a=%zz", []string{"Content-Type", form}, browser.ErrForm},
		{"semicolon", "a=1;b=2", []string{"Content-Type", form}, browser.ErrForm},
		{"a field twice", "a=1&b=2&a=1", []string{"Content-Type", form}, browser.ErrForm},
		{"oversized", "a=" + strings.Repeat("x", 64<<10), []string{"Content-Type", form}, browser.ErrForm},
	} {
		r := httptest.NewRequest("POST", "https://mcp.example.com/x?a=3", strings.NewReader(tt.body))
		for i := 0; i < len(tt.header); i += 2 {
			r.Header.Set(tt.header[i], tt.header[i+1])
		}
		got, err := site.Visit(httptest.NewRecorder(), r).Form()
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
		if want := (url.Values{"a": {"1"}, "b": {"2"}}); tt.want == nil && got.Encode() != want.Encode() {
			t.Errorf("%s: got %v, want %v", tt.name, got, want)
		}
	}
}

func TestRedirect(t *testing.T) {
	t.Parallel()
	site, _, _ := newSite()
	w := httptest.NewRecorder()
	site.Visit(w, httptest.NewRequest("POST", "/", nil)).Redirect("/oauth/account")
	if w.Code != 303 || w.Header().Get("Location") != "/oauth/account" || w.Header().Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
}

// A value that is too long for one cookie is kept in several, all of them or none.
func TestLongCookie(t *testing.T) {
	t.Parallel()
	site, _, _ := newSite()
	read := func(j jar) (value string) {
		j.open(site, func(v *browser.Visit) { value = v.LongCookie("long") })
		return value
	}
	for _, size := range []int{1, 3699, 3700, 3701, 7400, 7401, 11100} {
		j := jar{}
		value := strings.Repeat("0123456789_", size)[:size]
		j.open(site, func(v *browser.Visit) {
			if err := v.SetLongCookie("long", value, time.Hour); err != nil {
				t.Errorf("%d: %v", size, err)
			}
		})
		for name, part := range j {
			if len(name)+len(part) > 3900 {
				t.Errorf("%d: a cookie of %d bytes", size, len(name)+len(part))
			}
		}
		if got := read(j); got != value {
			t.Errorf("%d: got back %d bytes", size, len(got))
		}
		for name := range j {
			part := j[name]
			if delete(j, name); read(j) != "" {
				t.Errorf("%d: got something without %s", size, name)
			}
			j[name] = part
		}
		// A shorter one takes its place, whatever is left of the longer.
		j.open(site, func(v *browser.Visit) { _ = v.SetLongCookie("long", "short", time.Hour) })
		if got := read(j); got != "short" {
			t.Errorf("%d: a shorter value is %.20q", size, got)
		}
		j.open(site, func(v *browser.Visit) { v.RemoveLongCookie("long") })
		if len(j) != 0 || read(j) != "" {
			t.Errorf("%d: left over: %d cookies", size, len(j))
		}
	}
	j := jar{}
	j.open(site, func(v *browser.Visit) {
		if err := v.SetLongCookie("long", strings.Repeat("x", 11101), time.Hour); err == nil {
			t.Error("a value of any length is kept")
		}
	})
	for _, odd := range []string{"", "x", ".", "x.y", "-1.y", "99.y", "2.y"} {
		j := jar{"__Host-long_" + hash: odd}
		if got := read(j); got != "" {
			t.Errorf("%q is taken for %q", odd, got)
		}
	}
}

func TestMakeRoom(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{true, false} {
		site, _, _ := newSite()
		site.Secure = secure
		other := *site
		other.Issuer = "https://other.example"
		j := jar{}
		j.open(site, func(v *browser.Visit) {
			v.SetCookie("mcp_auth_session", strings.Repeat("x", 3000), 0)
			_ = v.SetLongCookie("mcp_auth_upstream_a", strings.Repeat("x", 5000), time.Hour)
		})
		j.open(&other, func(v *browser.Visit) {
			_ = v.SetLongCookie("mcp_auth_upstream_a", strings.Repeat("x", 1000), time.Hour)
		})
		before := len(j)
		j.open(site, func(v *browser.Visit) { v.MakeRoom("mcp_auth_upstream_", 6000) })
		if len(j) != before {
			t.Errorf("secure %t: there was room: %d cookies are left of %d", secure, len(j), before)
		}
		j.open(site, func(v *browser.Visit) { v.MakeRoom("mcp_auth_upstream_", 5000) })
		j.open(site, func(v *browser.Visit) {
			if v.LongCookie("mcp_auth_upstream_a") != "" || v.Cookie("mcp_auth_session") == "" || len(j) != before-2 {
				t.Errorf("secure %t: the wrong ones made room: %d are left of %d", secure, len(j), before)
			}
		})
		j.open(&other, func(v *browser.Visit) {
			if v.LongCookie("mcp_auth_upstream_a") == "" {
				t.Errorf("secure %t: another server's made room", secure)
			}
		})
	}
}
