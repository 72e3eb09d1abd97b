package facade

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

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

// rewrites reports whether a header names another path, in any spelling.
func rewrites(header http.Header) bool {
	for name := range header {
		if strings.EqualFold(strings.ReplaceAll(name, "_", "-"), "X-Rewrite-Url") {
			return true
		}
	}
	return false
}
