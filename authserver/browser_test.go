package authserver

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
)

// newBrowserHandler returns a handler as far as cookies need one, and its clock.
func newBrowserHandler(t *testing.T, issuer string) (*Handler, *time.Time) {
	t.Helper()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h := &Handler{Issuer: issuer, secure: issuer[:5] == "https", now: func() time.Time { return now }, users: map[string]*User{"ada": {Username: "ada"}}}
	var err error
	h.server, err = oauth.New(oauth.Config{
		Issuer: issuer, Resources: []string{issuer + "/mcp"}, Scopes: []oauth.Scope{{Name: "read"}},
		Store: newStorage(&certmagic.FileStorage{Path: t.TempDir()}, issuer), Now: h.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return h, &now
}

// carry returns a request with the cookies that were set in w.
func carry(w *httptest.ResponseRecorder) *http.Request {
	r := httptest.NewRequest("GET", "https://mcp.example.com/", nil)
	for _, c := range w.Result().Cookies() {
		if c.MaxAge >= 0 {
			r.AddCookie(c)
		}
	}
	return r
}

func TestSession(t *testing.T) {
	t.Parallel()
	h, now := newBrowserHandler(t, "https://mcp.example.com")
	w := httptest.NewRecorder()
	user := oauth.User{Subject: "ada", Credential: h.users["ada"].credential()}
	if err := h.startSession(w, httptest.NewRequest("POST", "/", nil), user); err != nil {
		t.Fatal(err)
	}
	signedIn := func(r *http.Request) bool {
		got, err := h.user(httptest.NewRecorder(), r)
		return err == nil && got != nil && got.Subject == "ada"
	}
	if !signedIn(carry(w)) {
		t.Fatal("not signed in")
	}
	stolen := carry(w)
	stolen.Header.Del("Cookie")
	for _, c := range w.Result().Cookies() {
		if c.Name == "__Host-"+sessionCookie {
			stolen.AddCookie(c)
		}
	}
	if signedIn(stolen) {
		t.Error("the session works in another browser")
	}
	planted := carry(w)
	planted.AddCookie(&http.Cookie{Name: "__Host-" + sessionCookie, Value: "x"})
	if signedIn(planted) {
		t.Error("of two sessions one is taken")
	}
	h.users["ada"] = &User{Username: "ada", Password: "changed"}
	if signedIn(carry(w)) {
		t.Error("the session survives a changed password")
	}
	h.users["ada"] = &User{Username: "ada"}
	*now = now.Add(h.sessionLifetime() + time.Second)
	if signedIn(carry(w)) {
		t.Error("the session never ends")
	}
}

func TestTicket(t *testing.T) {
	t.Parallel()
	h, now := newBrowserHandler(t, "https://mcp.example.com")
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
	sealed, err := h.sealTicket(r.Context(), &ticket{Browser: h.browser(w, r), Created: h.now()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.openTicket(httptest.NewRecorder(), carry(w), sealed); err != nil {
		t.Error(err)
	}
	altered := "A" + sealed[1:]
	if altered == sealed {
		altered = "B" + sealed[1:]
	}
	for name, try := range map[string]func() (*http.Request, string){
		"another browser": func() (*http.Request, string) { return httptest.NewRequest("GET", "/", nil), sealed },
		"nothing":         func() (*http.Request, string) { return carry(w), "" },
		"altered":         func() (*http.Request, string) { return carry(w), altered },
		"oversized":       func() (*http.Request, string) { return carry(w), string(make([]byte, maxTicket+1)) },
		"a session": func() (*http.Request, string) {
			s, err := h.seal(t.Context(), "session", &ticket{Browser: h.browser(w, carry(w)), Created: h.now()})
			if err != nil {
				t.Fatal(err)
			}
			return carry(w), s
		},
	} {
		r, s := try()
		if _, err := h.openTicket(httptest.NewRecorder(), r, s); err == nil {
			t.Errorf("%s: opens", name)
		}
	}
	*now = now.Add(ticketLifetime + time.Second)
	if _, err := h.openTicket(httptest.NewRecorder(), carry(w), sealed); err == nil {
		t.Error("it never expires")
	}
}

func TestCookiesOverHTTP(t *testing.T) {
	t.Parallel()
	h, _ := newBrowserHandler(t, "http://localhost:8080")
	w := httptest.NewRecorder()
	h.browser(w, httptest.NewRequest("GET", "/", nil))
	if c := w.Result().Cookies()[0]; c.Secure || c.Name != browserCookie || !c.HttpOnly {
		t.Errorf("got %v: browsers keep no Secure cookie there", c)
	}
}
