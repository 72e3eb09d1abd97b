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
			h.applied = &applied{fields: h.applied.fields, guards: []guarded{{kind: authorizationRequest, address: "https://auth.example.com/new"}}}
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

// A request that some server could read in another way is refused.
func TestAuthorizationHasOneReading(t *testing.T) {
	t.Parallel()
	s := newSite(t, strings.Replace(shared, "register", "strip resource\nadd audience https://api.example.com\nregister", 1))
	q := good().Encode()
	without := good("client_id", "").Encode()
	refused := map[string]*http.Request{
		"capital letters in a name":      request("GET", "/o/authorize/?"+without+"&CLIENT_ID=mcp-client", ""),
		"the same, beside the good one":  request("GET", "/o/authorize/?"+good("client_id", "other").Encode()+"&Client_Id=mcp-client", ""),
		"a dot in a name":                request("GET", "/o/authorize/?"+without+"&client.id=mcp-client", ""),
		"a dash in a name":               request("GET", "/o/authorize/?"+without+"&client-id=mcp-client", ""),
		"no punctuation in a name":       request("GET", "/o/authorize/?"+without+"&clientId=mcp-client", ""),
		"a blank before a name":          request("GET", "/o/authorize/?"+without+"&%20client_id=mcp-client", ""),
		"a plus before a name":           request("GET", "/o/authorize/?"+without+"&+client_id=mcp-client", ""),
		"a blank in a name":              request("GET", "/o/authorize/?"+without+"&client%20id=mcp-client", ""),
		"brackets":                       request("GET", "/o/authorize/?"+without+"&client_id[]=mcp-client", ""),
		"brackets, encoded":              request("GET", "/o/authorize/?"+without+"&client_id%5B0%5D=mcp-client", ""),
		"NUL in a name":                  request("GET", "/o/authorize/?"+without+"&client_id%00=mcp-client", ""),
		"zero width in a name":           request("GET", "/o/authorize/?"+without+"&client%E2%80%8B_id=mcp-client", ""),
		"wide letters in a name":         request("GET", "/o/authorize/?"+without+"&%EF%BD%83lient_id=mcp-client", ""),
		"encoded twice":                  request("GET", "/o/authorize/?"+without+"&client%255Fid=mcp-client", ""),
		"no name":                        request("GET", "/o/authorize/?"+q+"&=x", ""),
		"twice":                          request("GET", "/o/authorize/?"+q+"&client_id=mcp-client", ""),
		"an unknown one twice":           request("GET", "/o/authorize/?"+q+"&x=1&x=2", ""),
		"an unknown one in two cases":    request("GET", "/o/authorize/?"+q+"&x_y=1&X-Y=2", ""),
		"what is stripped, spelled else": request("GET", "/o/authorize/?"+q+"&Resource=x", ""),
		"what is added, spelled else":    request("GET", "/o/authorize/?"+q+"&AUDIENCE=x", ""),
		"a semicolon":                    request("GET", "/o/authorize/?"+q+";x=1", ""),
		"not encoded":                    request("GET", "/o/authorize/?"+q+"&x=%zz", ""),
		"not UTF-8":                      request("GET", "/o/authorize/?"+q+"&x=%ff", ""),
		"overlong UTF-8":                 request("GET", "/o/authorize/?"+q+"&x=%c0%af", ""),

		"another case":             request("GET", "/o/authorize/?"+good("client_id", "MCP-Client").Encode(), ""),
		"a blank behind":           request("GET", "/o/authorize/?"+good("client_id", "mcp-client ").Encode(), ""),
		"NUL behind":               request("GET", "/o/authorize/?"+good("client_id", "mcp-client\x00").Encode(), ""),
		"zero width":               request("GET", "/o/authorize/?"+good("client_id", "mcp\u200b-client").Encode(), ""),
		"wide letters":             request("GET", "/o/authorize/?"+good("client_id", "ｍcp-client").Encode(), ""),
		"an accent":                request("GET", "/o/authorize/?"+good("client_id", "mcp-clíent").Encode(), ""),
		"identifier encoded twice": request("GET", "/o/authorize/?"+good("client_id", "mcp%2Dclient").Encode(), ""),
		"and in another case":      request("GET", "/o/authorize/?"+good("client_id", "%4DCP-client").Encode(), ""),
		"no client":                request("GET", "/o/authorize/?"+without, ""),
		"line break in the state":  request("GET", "/o/authorize/?"+good("state", "a\nb").Encode(), ""),
		"a tab in the scope":       request("GET", "/o/authorize/?"+good("scope", "read\twrite").Encode(), ""),

		"a request object alone":  request("GET", "/o/authorize/?request=x", ""),
		"a pushed request alone":  request("GET", "/o/authorize/?request_uri=urn:x", ""),
		"and an identifier":       request("GET", "/o/authorize/?request_uri=urn:x&client_id=mcp-client", ""),
		"an empty request object": request("GET", "/o/authorize/?"+q+"&request=", ""),
		"response_mode":           request("GET", "/o/authorize/?"+good("response_mode", "fragment").Encode(), ""),
		"another redirect URI":    request("GET", "/o/authorize/?"+good("redirect_uri", "https://evil.example/cb").Encode(), ""),
		"no redirect URI":         request("GET", "/o/authorize/?"+good("redirect_uri", "").Encode(), ""),
		"a challenge alone":       request("GET", "/o/authorize/?code_challenge=x", ""),

		"a blank behind the path":    request("GET", "/o/authorize/%20?"+q, ""),
		"a backslash":                request("GET", "/o%5Cauthorize/?"+q, ""),
		"no slash":                   request("GET", "/o/authorize?"+q, ""),
		"doubled slashes":            request("GET", "/o//authorize/?"+q, ""),
		"capital letters in a path":  request("GET", "/o/Authorize/?"+q, ""),
		"a parameter of a path":      request("GET", "/o/authorize;x=1/?"+q, ""),
		"an encoded letter":          request("GET", "/o/%61uthorize/?"+q, ""),
		"encoded twice in the path":  request("GET", "/o/%2561uthorize/?"+q, ""),
		"dots":                       request("GET", "/o/x/../authorize/?"+q, ""),
		"dots and a semicolon":       request("GET", "/o/x/..;/authorize/?"+q, ""),
		"encoded dots":               request("GET", "/o/x/%2e%2e/authorize/?"+q, ""),
		"NUL in the path":            request("GET", "/o/authorize/%00?"+q, ""),
		"a line break in the path":   request("GET", "/o/authorize/%0a?"+q, ""),
		"a format":                   request("GET", "/o/authorize.json?"+q, ""),
		"zero width in the path":     request("GET", "/o/author%E2%80%8Bize/?"+q, ""),
		"a misread path by POST":     request("POST", "/o/authorize/%20?"+q, ""),
		"a misread path, empty":      request("GET", "/o/AUTHORIZE/", ""),
		"the question's, misread":    request("POST", "/o/oauth/Facade-Consent", "x=1", "Content-Type", formType),
		"the question's, with slash": request("POST", "/o/oauth/facade-consent/", "x=1", "Content-Type", formType),

		"a body with GET":          request("GET", "/o/authorize/?"+q, "client_id=x", "Content-Type", formType),
		"PUT":                      request("PUT", "/o/authorize/?"+q, ""),
		"DELETE":                   request("DELETE", "/o/authorize/?"+q, ""),
		"another method":           request("GET", "/o/authorize/?"+q, "", "X-HTTP-Method-Override", "POST"),
		"the same, by CGI":         request("GET", "/o/authorize/?"+q, "", "X_HTTP_METHOD_OVERRIDE", "POST"),
		"another method's header":  request("GET", "/o/authorize/?"+q, "", "X-HTTP-Method", "POST"),
		"and another":              request("POST", "/o/authorize/", q, "Content-Type", formType, "X-Method-Override", "GET"),
		"_method":                  request("GET", "/o/authorize/?"+q+"&_method=POST", ""),
		"_method in the form":      request("POST", "/o/authorize/", q+"&_method=GET", "Content-Type", formType),
		"_METHOD":                  request("POST", "/o/authorize/", q+"&_METHOD=delete", "Content-Type", formType),
		"a header as a parameter":  request("GET", "/o/authorize/?"+q+"&X-HTTP-Method-Override=POST", ""),
		"multipart":                request("POST", "/o/authorize/?"+q, "--b\r\n\r\n--b--", "Content-Type", "multipart/form-data; boundary=b"),
		"JSON":                     request("POST", "/o/authorize/?"+q, `{"client_id":"x"}`, "Content-Type", "application/json"),
		"text":                     request("POST", "/o/authorize/?"+q, q, "Content-Type", "text/plain"),
		"no type":                  request("POST", "/o/authorize/?"+q, q),
		"two types":                request("POST", "/o/authorize/?"+q, q, "Content-Type", formType, "Content-Type", "multipart/form-data; boundary=b"),
		"two types in one":         request("POST", "/o/authorize/?"+q, q, "Content-Type", formType+", multipart/form-data"),
		"another charset":          request("POST", "/o/authorize/?"+q, q, "Content-Type", formType+"; charset=utf-7"),
		"a type by CGI":            request("POST", "/o/authorize/?"+q, q, "Content-Type", formType, "Content_Type", "text/plain"),
		"compressed":               request("POST", "/o/authorize/?"+q, q, "Content-Type", formType, "Content-Encoding", "gzip"),
		"the form says else":       request("POST", "/o/authorize/?"+q, good("redirect_uri", chatgpt).Encode(), "Content-Type", formType),
		"the form has no state":    request("POST", "/o/authorize/?"+q, "state=&client_id=mcp-client", "Content-Type", formType),
		"the form spells else":     request("POST", "/o/authorize/?"+q, "Client_ID=mcp-client", "Content-Type", formType),
		"nobody was asked":         request("POST", "/o/authorize/", q, "Content-Type", formType),
		"a form of a redirect URI": request("POST", "/o/authorize/", "redirect_uri=https://evil.example", "Content-Type", formType),
		"a long query":             request("GET", "/o/authorize/?"+q+"&x="+strings.Repeat("x", 20_000), ""),
		"a long form":              request("POST", "/o/authorize/", q+"&x="+strings.Repeat("x", 70_000), "Content-Type", formType),
	}
	for name, r := range refused {
		w := s.do(r)
		if w.Code/100 != 4 || w.Code == http.StatusTeapot || w.Header().Get("Location") != "" || !strings.Contains(w.Header().Get("Content-Type"), "text/html") {
			t.Errorf("%s: got %d %q", name, w.Code, w.Header().Get("Location"))
		}
		if len(s.behind.got) != 0 {
			t.Fatalf("%s: got to the server: %+v", name, s.behind.got)
		}
	}
}

// What is let through is written again, so that the server behind can't read it
// in another way.
func TestAuthorizationIsWrittenAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t, "preset django-oauth-toolkit\nscope map read tools.read\nstrip resource\nadd audience https://api.example.com")
	query := good("client_id", "own", "scope", "read x", "resource", "https://mcp.example.com/mcp", "claims", `{"a":"b;c&d=é+ "}`)
	for _, method := range []string{"GET", "HEAD"} {
		s.do(request(method, "/o/authorize/?&&"+query.Encode()+"&&", "", "X-Original-URL", "/other", "X_Rewrite_Url", "/other"))
	}
	s.do(request("POST", "/o/authorize/?"+query.Encode(), good("client_id", "own", "scope", "tools.read x", "allow", "Authorize", "_method", "delete").Encode(),
		"Content-Type", "application/x-www-form-urlencoded; charset=UTF-8", "Expect", "100-continue"))
	s.do(request("GET", "/o/authorize/", ""))
	s.do(request("POST", "/o/authorize/", "username=ada&&Password=%C3%A9%3b%0A+", "Content-Type", formType))
	s.do(request("GET", "/other?client_id=x;y&CLIENT_ID=z", "", "X-Original-URL", "/o/authorize/", "X-HTTP-Method-Override", "PUT"))
	want := good("client_id", "own", "scope", "tools.read x", "audience", "https://api.example.com", "claims", `{"a":"b;c&d=é+ "}`)
	for i, got := range s.behind.got {
		if got.header.Get("X-Original-Url") != "" || rewrites(got.header) {
			t.Errorf("request %d: the path has another in a header: %v", i, got.header)
		}
		_, rawQuery, _ := strings.Cut(got.target, "?")
		if i > 2 {
			continue
		}
		if strings.ContainsAny(rawQuery, "+;") {
			t.Errorf("request %d: %s", i, rawQuery)
		}
		if values, err := url.ParseQuery(rawQuery); err != nil || values.Encode() != want.Encode() {
			t.Errorf("request %d: got %v, %v, want %v", i, values, err, want)
		}
	}
	if len(s.behind.got) != 6 {
		t.Fatalf("%d requests got through, want 6: %+v", len(s.behind.got), s.behind.got)
	}
	posted := s.behind.got[2]
	form, err := url.ParseQuery(posted.body)
	if err != nil || form.Get("scope") != "tools.read x" || form.Get("allow") != "Authorize" || form.Get("audience") == "" ||
		posted.header.Get("Content-Type") != formType || posted.header.Get("Expect") != "" {
		t.Errorf("the form: %v, %v, %v", form, err, posted.header)
	}
	if got := s.behind.got[4]; got.body != "Password=%C3%A9%3B%0A%20&username=ada" {
		t.Errorf("a form that is none of ours: %q", got.body)
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

// rewrites reports whether a header names another path, in any spelling.
func rewrites(header http.Header) bool {
	for name := range header {
		if strings.EqualFold(strings.ReplaceAll(name, "_", "-"), "X-Rewrite-Url") {
			return true
		}
	}
	return false
}
