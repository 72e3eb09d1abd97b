package facade

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/browser"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/storage"
)

// What a user is shown is what their answer is for, whatever the address that the
// question came by. Each of these once showed one place, and recorded another.
func TestQuestionIsWhatIsAnswered(t *testing.T) {
	t.Parallel()
	s := newSite(t, shared)
	inPath := url.PathEscape("?" + good("redirect_uri", chatgpt).Encode() + "&z=")
	for name, target := range map[string]string{
		"another query in the path":         "/o/authorize/;" + inPath + "?" + good().Encode(),
		"another query in the path, simply": "/o/authorize/" + inPath + "?" + good().Encode(),
		"a fragment in the path":            "/o/authorize/%23?" + good().Encode(),
		"another place after a semicolon":   "/o/authorize/?" + good().Encode() + ";redirect_uri=" + url.QueryEscape(chatgpt),
		"another place beside it":           "/o/authorize/?" + good().Encode() + "&redirect_uri=" + url.QueryEscape(chatgpt),
		"another host in the path":          "//;@evil.example/o/authorize/?" + good().Encode(),
		"another host":                      "//evil.example/o/authorize/?" + good().Encode(),
		"backslashes":                       "/%5Cevil.example/..%5Co/authorize/?" + good().Encode(),
	} {
		p := s.person()
		w := p.get(target)
		if w.Code != http.StatusBadRequest || w.Header().Get("Location") != "" || len(s.behind.got) != 0 {
			t.Errorf("%s: got %d, Location %q, behind %v", name, w.Code, w.Header().Get("Location"), s.behind.got)
		}
	}

	p := s.person()
	w := p.get("/o/authorize/?" + good("login_hint", "ada+x@example.com").Encode())
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "claude.ai") {
		t.Fatalf("not asked: %d %s", w.Code, w.Body)
	}
	w = p.answer(w, "allow")
	location := w.Header().Get("Location")
	query, ok := strings.CutPrefix(location, "https://auth.example.com/o/authorize/?")
	got, err := url.ParseQuery(query)
	if !ok || err != nil || got.Get("redirect_uri") != claude || got.Get("login_hint") != "ada+x@example.com" || len(got) != len(good())+1 {
		t.Errorf("sent to %s", location)
	}
	if w := p.get(location); w.Code != http.StatusTeapot {
		t.Errorf("allowed: got %d %s", w.Code, w.Body)
	}
	if w := p.get("/o/authorize/?" + good("state", "other").Encode()); w.Code != http.StatusTeapot {
		t.Errorf("a web site is asked about again: %d", w.Code)
	}
	if w := p.get("/o/authorize/?" + good("redirect_uri", chatgpt).Encode()); w.Code != http.StatusOK || field(w, "request") == "" {
		t.Errorf("another place shares the answer: %d", w.Code)
	}
}

// A question and its answer hold for one façade, one client, one browser, and for
// so long.
func TestQuestionSaysForWhom(t *testing.T) {
	t.Parallel()
	s := newSite(t, shared)
	s.secret = storage.NewSecret(storage.New(nil, "mcp_auth_facade", issuer), testSecret)
	s.browsers = s.newSite()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s.now = func() time.Time { return now }
	ada, mallory := s.person(), s.person()
	question := ada.get("/o/authorize/?" + good().Encode())
	mallory.get("/o/authorize/?" + good().Encode())
	expired := func(name string, w *httptest.ResponseRecorder) {
		t.Helper()
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "expired") || w.Header().Get("Location") != "" {
			t.Errorf("%s: got %d, Location %q", name, w.Code, w.Header().Get("Location"))
		}
	}
	expired("another browser", mallory.answer(question, "allow"))
	now = now.Add(askLifetime + time.Second)
	expired("too late", ada.answer(question, "allow"))
	now = now.Add(-askLifetime)

	// The same keys, another façade, client, or endpoint.
	for name, change := range map[string]func(*Handler){
		"another issuer": asAnotherIssuer,
		"another client": func(h *Handler) { h.shared = &Static{ClientID: "other", RedirectURIs: []string{claude}} },
		"another endpoint": func(h *Handler) {
			h.applied = &applied{fields: h.applied.fields, endpoints: []inspected{{kind: authorizationRequest, address: "https://auth.example.com/new"}}}
		},
	} {
		other := *s.Handler
		change(&other)
		expired(name, (&person{s: &site{Handler: &other, t: t, behind: s.behind}, jar: ada.jar}).answer(question, "allow"))
	}
	gone := *s.Handler
	gone.shared = &Static{ClientID: "mcp-client", RedirectURIs: []string{chatgpt}}
	w := (&person{s: &site{Handler: &gone, t: t, behind: s.behind}, jar: ada.jar}).answer(question, "allow")
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "claude.ai/api/mcp/auth_callback") {
		t.Errorf("a redirect URI that is no longer registered: got %d", w.Code)
	}

	if w := ada.answer(question, "allow"); w.Code != http.StatusSeeOther {
		t.Fatalf("got %d", w.Code)
	}
	for name, change := range map[string]func(*Handler){
		"another issuer": asAnotherIssuer,
		"another client": func(h *Handler) { h.shared = &Static{ClientID: "other", RedirectURIs: []string{claude}} },
	} {
		other := *s.Handler
		change(&other)
		a := &authorization{judged: good()}
		r := request("GET", "/", "")
		for _, c := range ada.jar.Cookies(home) {
			r.AddCookie(c)
		}
		w := httptest.NewRecorder()
		before, err := s.consented(s.browsers.Visit(w, r), a)
		after, otherErr := other.consented(other.browsers.Visit(w, r), a)
		if !before || after || err != nil || otherErr != nil {
			t.Errorf("%s: shares the answer: %t, %t, %v, %v", name, before, after, err, otherErr)
		}
	}

	// A cookie under the name of another answer.
	name := browser.CookieName(siteCookie+hashed(claude), issuer, true)
	renamed := browser.CookieName(siteCookie+hashed(chatgpt), issuer, true)
	for _, c := range ada.jar.Cookies(home) {
		if c.Name == name {
			ada.jar.SetCookies(home, []*http.Cookie{{Name: renamed, Value: c.Value, Path: "/", Secure: true}})
		}
	}
	if w := ada.get("/o/authorize/?" + good("redirect_uri", chatgpt).Encode()); field(w, "request") == "" {
		t.Errorf("an answer under another name counts: %d", w.Code)
	}
}

// asAnotherIssuer makes h a façade of another issuer, with the same master secret
// and cookies of the same names.
func asAnotherIssuer(h *Handler) {
	h.secret = storage.NewSecret(storage.New(nil, "mcp_auth_facade", "https://auth.example.com/p"), testSecret)
	h.browsers = h.newSite()
}

const testSecret = "a master secret that the tests share"

// Any program can listen on loopback or claim a scheme: what the user allowed one
// of them holds for the one request, and until they have signed in.
func TestProgramsAreAskedAboutEachTime(t *testing.T) {
	t.Parallel()
	for _, redirect := range []string{local, private} {
		s := newSite(t, shared)
		now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		s.now = func() time.Time { return now }
		p := s.person()
		asked := func(name string, w *httptest.ResponseRecorder) {
			t.Helper()
			if w.Code != http.StatusOK || field(w, "request") == "" {
				t.Errorf("%s: %s: not asked: %d", redirect, name, w.Code)
			}
		}
		first := good("redirect_uri", redirect)
		w := p.get("/o/authorize/?" + first.Encode())
		asked("first", w)
		w = p.answer(w, "allow")
		// To sign in, and back, and the form of the server's own question.
		for range 2 {
			if w := p.get(w.Header().Get("Location")); w.Code != http.StatusTeapot {
				t.Errorf("%s: allowed, but %d", redirect, w.Code)
			}
		}
		posted := maps.Clone(first)
		posted.Set("allow", "Authorize")
		if w := p.do(request("POST", "/o/authorize/?"+first.Encode(), posted.Encode(), "Content-Type", formType)); w.Code != http.StatusTeapot {
			t.Errorf("%s: the server's form: %d", redirect, w.Code)
		}
		for name, changes := range map[string][]string{
			"another challenge": {"code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cA"},
			"another state":     {"state", "other"},
			"no state":          {"state", ""},
		} {
			asked(name, p.get("/o/authorize/?"+good(append(changes, "redirect_uri", redirect)...).Encode()))
		}
		for name, prompt := range map[string]string{"none": "none", "none among others": "login none"} {
			w := p.get("/o/authorize/?" + good("redirect_uri", redirect, "prompt", prompt, "state", "silent").Encode())
			to, err := url.Parse(w.Header().Get("Location"))
			if err != nil || w.Code != http.StatusSeeOther || !strings.HasPrefix(to.String(), redirect+"?") ||
				to.Query().Get("error") != "interaction_required" || to.Query().Get("state") != "silent" {
				t.Errorf("%s: prompt %s: got %d, Location %s", redirect, name, w.Code, to)
			}
		}
		// Sent to sign in, the user is still on the way; sent back to the client,
		// they are not, and the same request is asked about again.
		s.behind.location = "/login/?next=" + redirect
		for range 2 {
			if w := p.get("/o/authorize/?" + first.Encode()); w.Code != http.StatusFound {
				t.Errorf("%s: on the way: got %d", redirect, w.Code)
			}
		}
		s.behind.location = redirect + "?code=c"
		if w := p.get("/o/authorize/?" + first.Encode()); w.Code != http.StatusFound {
			t.Errorf("%s: back to the client: got %d", redirect, w.Code)
		}
		asked("the same again", p.get("/o/authorize/?"+first.Encode()))
		s.behind.location = ""

		p.answer(p.get("/o/authorize/?"+first.Encode()), "allow")
		now = now.Add(requestLifetime)
		asked("much later", p.get("/o/authorize/?"+good("redirect_uri", redirect).Encode()))
	}
}

// The client learns of a refusal, and nothing gets to the server.
func TestRefusedByTheUser(t *testing.T) {
	t.Parallel()
	s := newSite(t, shared)
	p := s.person()
	w := p.answer(p.get("/o/authorize/?"+good().Encode()), "deny")
	to, err := url.Parse(w.Header().Get("Location"))
	if err != nil || !strings.HasPrefix(to.String(), claude+"?") || to.Query().Get("error") != "access_denied" || to.Query().Get("state") != "s" {
		t.Errorf("sent to %s", to)
	}
	if w := p.get("/o/authorize/?" + good().Encode()); field(w, "request") == "" {
		t.Errorf("not asked again: %d", w.Code)
	}
	if w := p.do(request("POST", "/o/oauth/facade-consent", "decision=allow", "Content-Type", formType, "Sec-Fetch-Site", "cross-site")); w.Code != 400 {
		t.Errorf("another site's form: got %d", w.Code)
	}
	if w := p.get("/o/oauth/facade-consent"); w.Code != 405 || w.Header().Get("Allow") != "POST" {
		t.Errorf("opened: got %d", w.Code)
	}
	if len(s.behind.got) != 0 {
		t.Errorf("the server got %v", s.behind.got)
	}
}

// While nobody knows which address is the endpoint, what could be for it is 503.
func TestAwayIsUnavailable(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	s := newSite(t, "upstream "+server.URL+"/o\nregister static mcp-client {\nredirect_uris "+claude+"\n}")
	server.Close()
	for name, r := range map[string]*http.Request{
		"an authorization request":  request("GET", "/o/authorize/?"+good().Encode(), ""),
		"HEAD":                      request("HEAD", "/o/authorize/?"+good().Encode(), ""),
		"a folded name":             request("GET", "/x?CLIENT_ID=mcp-client", ""),
		"a dotted name":             request("GET", "/x?client.id=mcp-client", ""),
		"brackets":                  request("GET", "/x?client_id[]=mcp-client", ""),
		"a semicolon":               request("GET", "/x?a=b;client_id=mcp-client", ""),
		"a pushed request":          request("GET", "/x?request_uri=urn:x", ""),
		"a challenge":               request("GET", "/x?code_challenge=x", ""),
		"a response mode":           request("GET", "/x?response_mode=x", ""),
		"not encoded":               request("GET", "/x?%zz", ""),
		"a body with GET":           request("GET", "/x", "client_id=x"),
		"GET that stands for POST":  request("GET", "/x", "", "X-HTTP-Method-Override", "POST"),
		"a form":                    request("POST", "/x", good().Encode(), "Content-Type", formType),
		"a form without parameters": request("POST", "/o/token/", "a=b", "Content-Type", formType),
		"a form of another kind":    request("POST", "/x", "x", "Content-Type", "multipart/form-data; boundary=b"),
		"nothing at all":            request("POST", "/x", ""),
		"PUT":                       request("PUT", "/x", ""),
		"DELETE":                    request("DELETE", "/x?client_id=x", ""),
		"a method of their own":     request("AUTHORIZE", "/x", ""),
	} {
		w := s.do(r)
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || len(s.behind.got) != 0 {
			t.Errorf("%s: got %d, behind %v", name, w.Code, s.behind.got)
		}
		s.behind.got = nil
		page := strings.Contains(w.Header().Get("Content-Type"), "text/html")
		if want := r.Method == "GET" || r.Method == "HEAD"; page != want {
			t.Errorf("%s: a page: %t, want %t", name, page, want)
		}
		if !page && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: got %s", name, w.Body)
		}
	}
	for name, r := range map[string]*http.Request{
		"another page":     request("GET", "/other?x=1&utm_source=y", ""),
		"an icon":          request("GET", "/favicon.ico", ""),
		"a preflight":      request("OPTIONS", "/other", ""),
		"with a semicolon": request("GET", "/a;b", ""),
	} {
		if w := s.do(r); w.Code != http.StatusTeapot {
			t.Errorf("%s: got %d", name, w.Code)
		}
	}
}
