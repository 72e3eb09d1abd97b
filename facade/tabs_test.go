package facade

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/caddyserver/certmagic"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/storage"
)

// open sends a request with the cookies that the browser has now. What the answer
// sets is kept when the returned function is called: until then, other tabs send
// what they had.
func (p *person) open(r *http.Request) (*httptest.ResponseRecorder, func()) {
	p.s.t.Helper()
	for _, c := range p.jar.Cookies(home) {
		r.AddCookie(c)
	}
	w := p.s.do(r)
	return w, func() { p.jar.SetCookies(home, w.Result().Cookies()) }
}

func answerOf(page *httptest.ResponseRecorder) *http.Request {
	form := url.Values{"request": {field(page, "request")}, "decision": {"allow"}}
	return request("POST", "/o/oauth/facade-consent", form.Encode(), "Content-Type", formType, "Sec-Fetch-Site", "same-origin")
}

// Two tabs are asked and answered at the same time: neither loses its answer to
// the other.
func TestParallelTabs(t *testing.T) {
	t.Parallel()
	for name, redirects := range map[string][2]string{
		"two web sites":          {claude, chatgpt},
		"two programs":           {local, private},
		"one program, twice":     {local, local},
		"a web site, a program":  {claude, local},
		"a program, a web site":  {local, claude},
		"the same web site":      {claude, claude},
		"a scheme and loopback":  {private, local},
		"another of each, again": {chatgpt, private},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, shared)
			p := s.person()
			var targets [2]string
			var asked, answered [2]*httptest.ResponseRecorder
			var keep [2]func()
			for i, redirect := range redirects {
				targets[i] = "/o/authorize/?" + good("redirect_uri", redirect, "state", string(rune('a'+i))).Encode()
				asked[i], keep[i] = p.open(request("GET", targets[i], ""))
			}
			keep[0]()
			keep[1]()
			for i := range redirects {
				answered[i], keep[i] = p.open(answerOf(asked[i]))
				if answered[i].Code != http.StatusSeeOther {
					t.Fatalf("tab %d: the answer: got %d %s", i, answered[i].Code, answered[i].Body)
				}
			}
			keep[0]()
			keep[1]()
			for i := range redirects {
				if w := p.get(targets[i]); w.Code != http.StatusTeapot {
					t.Errorf("tab %d is asked again: %d", i, w.Code)
				}
			}
		})
	}
}

// A tab that is sent back to its client takes only its own answer along.
func TestTabThatIsDone(t *testing.T) {
	t.Parallel()
	s := newSite(t, shared)
	p := s.person()
	first := "/o/authorize/?" + good("redirect_uri", local, "state", "a").Encode()
	second := "/o/authorize/?" + good("redirect_uri", local, "state", "b").Encode()
	p.answer(p.get(first), "allow")

	s.behind.location = local + "?code=c"
	w, done := p.open(request("GET", first, ""))
	if w.Code != http.StatusFound {
		t.Fatalf("allowed: got %d", w.Code)
	}
	s.behind.location = ""
	p.answer(p.get(second), "allow")
	done()
	if w := p.get(second); w.Code != http.StatusTeapot {
		t.Errorf("the other tab is asked again: %d", w.Code)
	}
	if w := p.get(first); field(w, "request") == "" {
		t.Errorf("what is done is not asked about again: %d", w.Code)
	}
}

// Without the master secret the façade can't know what the user has allowed. It
// neither asks nor lets anything through.
func TestAnswersCannotBeRead(t *testing.T) {
	t.Parallel()
	s := newSite(t, shared)
	p := s.person()
	page := p.get("/o/authorize/?" + good().Encode())
	p.answer(page, "allow")
	records := storage.New(awayStorage{}, "mcp_auth_facade", issuer)
	s.secret = storage.NewSecret(records, "")
	s.browsers = s.newSite()
	for name, w := range map[string]*httptest.ResponseRecorder{
		"allowed before":    p.get("/o/authorize/?" + good().Encode()),
		"another place":     p.get("/o/authorize/?" + good("redirect_uri", chatgpt).Encode()),
		"prompt none":       p.get("/o/authorize/?" + good("prompt", "none").Encode()),
		"an answer":         p.answer(page, "allow"),
		"another browser":   s.person().get("/o/authorize/?" + good().Encode()),
		"the server's form": p.do(request("POST", "/o/authorize/", good().Encode(), "Content-Type", formType)),
	} {
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || w.Header().Get("Location") != "" {
			t.Errorf("%s: got %d, Location %q", name, w.Code, w.Header().Get("Location"))
		}
	}
}

// awayStorage is a storage that is away.
type awayStorage struct{ certmagic.Storage }

func (awayStorage) Load(context.Context, string) ([]byte, error) { return nil, errors.New("away") }
