package reading_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/facade/reading"
)

func TestParse(t *testing.T) {
	t.Parallel()
	r := reading.ForAuthorization("tenant")
	for name, test := range map[string]struct {
		encoded string
		want    url.Values // nil: refused
	}{
		"nothing":              {"", url.Values{}},
		"empty pieces":         {"&&a=b&", url.Values{"a": {"b"}}},
		"no value":             {"a", url.Values{"a": {""}}},
		"equals signs":         {"a=b=c", url.Values{"a": {"b=c"}}},
		"blanks":               {"scope=a+b%20c", url.Values{"scope": {"a b c"}}},
		"a plus sign":          {"login_hint=a%2Bb", url.Values{"login_hint": {"a+b"}}},
		"letters":              {"login_hint=%C3%BC", url.Values{"login_hint": {"ü"}}},
		"several resources":    {"resource=a&resource=b", url.Values{"resource": {"a", "b"}}},
		"several lines":        {"note=a%0Ab", url.Values{"note": {"a\nb"}}},
		"names of other kinds": {"x-client-SKU=a&a.b=c", url.Values{"x-client-SKU": {"a"}, "a.b": {"c"}}},

		"a semicolon":             {"a=b;c=d", nil},
		"twice":                   {"a=b&a=c", nil},
		"in two cases":            {"a=b&A=c", nil},
		"resource in two cases":   {"resource=a&Resource=b", nil},
		"known, folded":           {"Client_Id=a", nil},
		"configured, folded":      {"TENANT=a", nil},
		"brackets":                {"a[]=b", nil},
		"NUL in a name":           {"a%00=b", nil},
		"NUL in a value":          {"a=%00", nil},
		"no name":                 {"=a", nil},
		"half an escape":          {"a=%4", nil},
		"no escape":               {"a=%zz", nil},
		"bytes":                   {"a=%80", nil},
		"not encoded letters":     {"a=ü", nil},
		"a blank":                 {"a=b c", nil},
		"a line break":            {"a=b\nc", nil},
		"a surrogate":             {"a=%ED%A0%80", nil},
		"letters in a client":     {"client_id=%C3%BC", nil},
		"a blank in a client":     {"client_id=a+b", nil},
		"a control in a state":    {"state=a%0Db", nil},
		"C1 in a hint":            {"login_hint=%C2%85", nil},
		"a method":                {"X-HTTP-Method=PUT", nil},
		"an underscore of method": {"_Method=PUT", nil},
	} {
		got, err := r.Parse(test.encoded)
		if (err != nil) != (test.want == nil) || err == nil && !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, test.want)
		}
	}
	// A login form at the authorization endpoint may have these; a token request
	// may not.
	if _, err := r.Parse("Username=a&Password=b"); err != nil {
		t.Error(err)
	}
	if _, err := reading.ForToken().Parse("Username=a"); err == nil {
		t.Error("a token request: passes")
	}
}

func TestSameIdentifier(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		"mcp-client": true, "MCP-Client": true, "mcp-client ": true, "mcp%2Dclient": true, "mcp%252Dclient": true, "%4dcp-client": true,
		"mcp_client": false, "mcp-client2": false, "": false, "mcp-client%zz": false, "mcp": false,
	} {
		if got := reading.SameIdentifier("mcp-client", id); got != want {
			t.Errorf("%q: got %t, want %t", id, got, want)
		}
	}
}

func TestPath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/o/authorize/": true, "/o/authorize": true, "/O/Authorize": true, "/o//authorize": true, "/o/./authorize": true, "/o/x/../authorize": true,
		"/o/authorize;a=b/": true, "/o;x/authorize": true, "/o%5Cauthorize": true, "/o%2Fauthorize": true, "/o/%2561uthorize": true,
		"/o/authorize%20": true, "/o/authorize%00": true, "/o/authorize/%00x": true, "/o/authorize%3Fx": true, "/o/authorize%23x": true, "/o/authorize.": true,
		"/o/authorize.json": true, "/o/authorize/.": true, "/o/x/..;/authorize": true, "//evil.example/o/authorize": true, "//;@evil.example/o/authorize/": true,
		"/o//../authorize": true, "/o/%EF%BD%81uthorize": true, "/o/author%E2%80%8Bize": true,

		"/": false, "": false, "/o/": false, "/o/authorized": false, "/o/authorize/more": false, "/o/authorize.json/x": false, "/x/o/authorize": false,
		"/o/../authorize": false, "/login/": false,
	} {
		if got := reading.NewPath(path).MayBe("/o/authorize/"); got != want {
			t.Errorf("%.60s: got %t, want %t", path, got, want)
		}
	}
	if !reading.NewPath("/").MayBe("/") || reading.NewPath("/.x").MayBe("/") {
		t.Error("an endpoint at the root")
	}
}

func TestCheckHeaders(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]http.Header{
		"two types":            {"Content-Type": {"a/b", "c/d"}},
		"an underscore":        {"Content_type": {"a/b"}},
		"compressed":           {"Content-Encoding": {"br"}},
		"compressed twice":     {"Content-Encoding": {"identity", "gzip"}},
		"two authorizations":   {"Authorization": {"a", "b"}},
		"another method":       {"X-Http-Method-Override": {"GET"}},
		"by CGI":               {"X_http_method_override": {"GET"}},
		"of the same method":   {"X-Http-Method-Override": {"POST"}},
		"another path":         {"X-Original-Url": {"/x"}},
		"another path, folded": {"X_ORIGINAL_URL": {"/x"}},
	} {
		if reading.CheckHeaders(header) == nil {
			t.Errorf("%s: passes", name)
		}
	}
	if err := reading.CheckHeaders(http.Header{"Content-Type": {"a/b"}, "Content-Encoding": {"identity"}, "Accept": {"a", "b"}}); err != nil {
		t.Error(err)
	}
}

// naive reads a query or a form as an old Python program does: a semicolon
// separates as well, and what is odd is left as it is.
func naive(encoded string) url.Values {
	values := make(url.Values)
	for _, piece := range strings.FieldsFunc(encoded, func(r rune) bool { return r == '&' || r == ';' }) {
		name, value, _ := strings.Cut(piece, "=")
		decode := func(s string) string {
			s = strings.ReplaceAll(s, "+", " ")
			var b strings.Builder
			for i := 0; i < len(s); i++ {
				if s[i] == '%' && i+2 < len(s) {
					if plain, err := url.PathUnescape(s[i : i+3]); err == nil {
						b.WriteString(plain)
						i += 2
						continue
					}
				}
				b.WriteByte(s[i])
			}
			return b.String()
		}
		values.Add(decode(name), decode(value))
	}
	return values
}

// What is judged is what every server reads in what it gets.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"client_id=a&redirect_uri=https%3A%2F%2Fa.example%2F&state=%7B%22a%22%3A1%7D", "CLIENT_ID=a", "client_id[]=a", "a=b;client_id=c", "client_id=a%00",
		"scope=a+b%20c", "resource=a&resource=b", "a=%2B+%26%3D%3B%25%23", "%63lient_id=a", "client_id=a&client_id=b", "a=%E2%80%8B", "&&=&a", "a=b=c",
	} {
		f.Add(seed)
	}
	r := reading.ForAuthorization()
	f.Fuzz(func(t *testing.T, encoded string) {
		judged, err := r.Parse(encoded)
		if err != nil {
			return
		}
		again := reading.Encode(judged)
		byGo, err := url.ParseQuery(again)
		if err != nil || !reflect.DeepEqual(byGo, judged) {
			t.Errorf("%q: judged %v, Go reads %v, %v", encoded, judged, byGo, err)
		}
		if byNaive := naive(again); !reflect.DeepEqual(byNaive, judged) {
			t.Errorf("%q: judged %v, a naive reader reads %v", encoded, judged, byNaive)
		}
		if strings.ContainsAny(again, "+;# \"<>\\^`{|}") {
			t.Errorf("%q: written as %q", encoded, again)
		}
		// Of what was accepted, even a lenient reader of the original agrees on what
		// matters.
		for _, reader := range []url.Values{naive(encoded), judged} {
			for name, values := range reader {
				if strings.EqualFold(strings.Trim(name, " \x00"), "client_id") && !reflect.DeepEqual(values, judged["client_id"]) {
					t.Errorf("%q: a client %q beside %q", encoded, values, judged["client_id"])
				}
			}
		}
		if u := (&url.URL{Path: "/", RawQuery: again}); u.RequestURI() != "/?"+again && again != "" {
			t.Errorf("%q: %q", encoded, u.RequestURI())
		}
	})
}

// A form comes out as a query does.
func FuzzForm(f *testing.F) {
	f.Add("client_id=a&x=y", "application/x-www-form-urlencoded")
	f.Add("client_id=a", "application/x-www-form-urlencoded; charset=utf-7")
	f.Add("{}", "application/json")
	f.Fuzz(func(t *testing.T, body, contentType string) {
		r := reading.ForToken()
		req := httptest.NewRequest("POST", "/", strings.NewReader(body))
		req.Header.Set("Content-Type", contentType)
		judged, err := r.Form(req)
		if err != nil {
			return
		}
		if !strings.HasPrefix(strings.ToLower(strings.TrimSpace(contentType)), "application/x-www-form-urlencoded") {
			t.Errorf("%q is a form", contentType)
		}
		reading.SetForm(req, judged)
		if err := req.ParseForm(); err != nil || !reflect.DeepEqual(req.PostForm, judged) && len(judged) > 0 {
			t.Errorf("%q: judged %v, Go reads %v, %v", body, judged, req.PostForm, err)
		}
	})
}
