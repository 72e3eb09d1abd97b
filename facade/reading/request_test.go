package reading_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/facade/reading"
)

func TestKnows(t *testing.T) {
	t.Parallel()
	r := reading.ForAuthorization("tenant")
	for name, want := range map[string]bool{
		"client_id": true, "tenant": true,
		"CLIENT_ID": false, "client.id": false, "Tenant": false, "grant_type": false, "x": false, "": false,
	} {
		if got := r.Knows(name); got != want {
			t.Errorf("%q: got %t, want %t", name, got, want)
		}
	}
	if !reading.ForToken().Knows("grant_type") {
		t.Error("a reader of token requests doesn't know grant_type")
	}
}

// While the endpoints are unknown, whatever could be an authorization request is
// one.
func TestSuspicious(t *testing.T) {
	t.Parallel()
	r := reading.ForAuthorization()
	for query, want := range map[string]bool{
		"client_id=a": true, "response_type=code": true, "redirect_uri=": true, "request_uri=urn:a": true, "code_challenge=a": true, "page=1&response_mode=query": true,
		"CLIENT_ID=a": true, "client%5Fid=a": true, "client_id[]=a": true, "page=1;client_id=a": true, "page=%zz": true, "page=1&page=2": true,

		"": false, "page=1": false, "state=a&scope=b": false, "code=a&iss=b": false,
	} {
		if got := r.Suspicious(query); got != want {
			t.Errorf("%q: got %t, want %t", query, got, want)
		}
	}
}

func TestWithoutOtherPaths(t *testing.T) {
	t.Parallel()
	header := http.Header{
		"X-Original-Url": {"/a"}, "X_rewrite_url": {"/a"}, "X-HTTP-PATH-OVERRIDE": {"/a"}, "X-Original-Uri": {"/a", "/b"},
		"X-Original-Method": {"GET"}, "X-Forwarded-Uri": {"/a"}, "Accept": {"a"},
	}
	reading.WithoutOtherPaths(header)
	want := http.Header{"X-Original-Method": {"GET"}, "X-Forwarded-Uri": {"/a"}, "Accept": {"a"}}
	if !reflect.DeepEqual(header, want) {
		t.Errorf("got %v, want %v", header, want)
	}
}

func TestQuery(t *testing.T) {
	t.Parallel()
	r := reading.ForAuthorization()
	longest := "a=" + strings.Repeat("b", reading.MaxQuery-2)
	for name, test := range map[string]struct {
		query    string
		ok       bool
		tooLarge bool
	}{
		"parameters":      {"client_id=a&state=b", true, false},
		"nothing":         {"", true, false},
		"the longest":     {longest, true, false},
		"one byte longer": {longest + "b", false, true},
		"read in two":     {"client_id=a&client_id=b", false, false},
	} {
		_, err := r.Query(&http.Request{URL: &url.URL{RawQuery: test.query}})
		if (err == nil) != test.ok || errors.Is(err, reading.ErrTooLarge) != test.tooLarge {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestNoBody(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body   io.ReadCloser
		length int64
		ok     bool
	}{
		"none":                    {nil, 0, true},
		"none, unknown length":    {nil, -1, true},
		"no body":                 {http.NoBody, -1, true},
		"chunked and empty":       {io.NopCloser(strings.NewReader("")), -1, true},
		"chunked":                 {io.NopCloser(strings.NewReader("a")), -1, false},
		"a length":                {io.NopCloser(strings.NewReader("a")), 1, false},
		"a length, nothing comes": {io.NopCloser(strings.NewReader("")), 1, false},
		"chunked, broken":         {io.NopCloser(iotest.ErrReader(io.ErrUnexpectedEOF)), -1, false},
	} {
		if err := reading.NoBody(&http.Request{Body: test.body, ContentLength: test.length}); (err == nil) != test.ok {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestForm(t *testing.T) {
	t.Parallel()
	const form = "application/x-www-form-urlencoded"
	longest := "a=" + strings.Repeat("b", reading.MaxForm-2)
	for name, test := range map[string]struct {
		contentType string
		body        io.Reader
		ok          bool
		tooLarge    bool
	}{
		"a form":              {form, strings.NewReader("grant_type=a"), true, false},
		"in capitals":         {strings.ToUpper(form), strings.NewReader("grant_type=a"), true, false},
		"UTF-8":               {form + "; charset=UTF-8", strings.NewReader("grant_type=a"), true, false},
		"empty":               {form, strings.NewReader(""), true, false},
		"the longest":         {form, strings.NewReader(longest), true, false},
		"one byte longer":     {form, strings.NewReader(longest + "b"), false, true},
		"no type":             {"", strings.NewReader("grant_type=a"), false, false},
		"JSON":                {"application/json", strings.NewReader("{}"), false, false},
		"several parts":       {"multipart/form-data; boundary=a", strings.NewReader("--a--"), false, false},
		"two types":           {form + ", application/json", strings.NewReader("grant_type=a"), false, false},
		"another charset":     {form + "; charset=utf-16", strings.NewReader("grant_type=a"), false, false},
		"another parameter":   {form + "; boundary=a", strings.NewReader("grant_type=a"), false, false},
		"ends early":          {form, iotest.ErrReader(io.ErrUnexpectedEOF), false, false},
		"read in two":         {form, strings.NewReader("code=a&Code=b"), false, false},
		"a broken media type": {form + "; charset", strings.NewReader("grant_type=a"), false, false},
	} {
		req := httptest.NewRequest(http.MethodPost, "/", test.body)
		req.Header.Set("Content-Type", test.contentType)
		_, err := reading.ForToken().Form(req)
		if (err == nil) != test.ok || errors.Is(err, reading.ErrTooLarge) != test.tooLarge {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Everything that later handlers could read the query from shows the same.
func TestSetQuery(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		parameters url.Values
		want       string
	}{
		"parameters": {url.Values{"scope": {"a b"}, "state": {"+"}}, "/o/authorize?scope=a%20b&state=%2B"},
		"none":       {nil, "/o/authorize"},
	} {
		req := httptest.NewRequest(http.MethodGet, "/o/authorize?x=y", nil)
		req.URL.ForceQuery = true
		reading.SetQuery(req, test.parameters)
		if req.RequestURI != test.want || req.URL.RequestURI() != test.want {
			t.Errorf("%s: got %s and %s, want %s", name, req.RequestURI, req.URL.RequestURI(), test.want)
		}
	}
}
