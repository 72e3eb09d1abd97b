package caddymcpauth_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth"
)

// What Chromium, Firefox and Safari send for a page.
const (
	chromiumAccepts = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
	firefoxAccepts  = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
)

func TestWantsPage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		accept []string
		want   bool
	}{
		{[]string{chromiumAccepts}, true},
		{[]string{firefoxAccepts}, true},
		{[]string{"text/html"}, true},
		{[]string{"TEXT/HTML ; charset=utf-8 ; Q=0.5"}, true},
		{[]string{"application/json;q=0.5", "text/html"}, true},
		{[]string{"application/xhtml+xml, */*"}, true},

		{nil, false},
		{[]string{""}, false},
		{[]string{"*/*"}, false},
		{[]string{"text/*"}, false},
		{[]string{"application/json"}, false},
		{[]string{"application/json, text/event-stream"}, false},
		{[]string{"text/event-stream"}, false},
		{[]string{"text/html, text/event-stream"}, false},
		{[]string{"text/html", "text/event-stream"}, false},
		{[]string{"text/html;q=0.9, application/json"}, false},
		{[]string{"text/html;q=0"}, false},
		{[]string{"text/html;q=0.000"}, false},
		{[]string{"text/html;q=2"}, false},
		{[]string{"text/html;q=1.001"}, false},
		{[]string{"text/html;q=NaN"}, false},
		{[]string{"text/html;q="}, false},
		{[]string{"text/html;q=0.1234"}, false},
		{[]string{"text/html;q=0.+1"}, false},
		{[]string{"text/htmlx, xtext/html"}, false},
	} {
		if got := caddymcpauth.WantsPage(test.accept); got != test.want {
			t.Errorf("%q: got %v, want %v", test.accept, got, test.want)
		}
	}
}

func FuzzWantsPage(f *testing.F) {
	f.Add(chromiumAccepts)
	f.Add("text/html;q=0.5;q=, application/json, text/event-stream;q")
	f.Fuzz(func(t *testing.T, accept string) {
		if caddymcpauth.WantsPage([]string{accept}) && !strings.Contains(strings.ToLower(accept), "html") {
			t.Errorf("a page for %q", accept)
		}
		if caddymcpauth.WantsPage([]string{accept, "text/event-stream"}) {
			t.Errorf("a page for %q and a stream", accept)
		}
	})
}

func TestLanding(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	door := func(more string) *site {
		return serve(t, frontDoor(issuer.Issuer(), "\tscopes read\n\tmetadata resource_name \"Acme's <files>\"\n"+more), nil)
	}
	on, off, lazy := door(""), door("\tlanding off"), door("\tanonymous")
	good := "Bearer " + issuer.Mint(map[string]any{})

	for _, test := range []struct {
		name    string
		site    *site
		method  string
		path    string
		headers []string // names and values
		page    bool
		status  int
	}{
		{"a browser", on, "GET", "/mcp", []string{"Accept", chromiumAccepts}, true, 401},
		{"HEAD", on, "HEAD", "/mcp", []string{"Accept", firefoxAccepts}, true, 401},
		{"below the resource", on, "GET", "/mcp/x", []string{"Accept", firefoxAccepts}, true, 401},
		{"with anonymous", lazy, "GET", "/mcp", []string{"Accept", firefoxAccepts}, true, 401},
		{"a password of another site", on, "GET", "/mcp", []string{"Accept", firefoxAccepts, "Authorization", "Basic eDp5"}, true, 401},
		{"another host", on, "GET", "/mcp", []string{"Accept", firefoxAccepts, "Host", "evil.example", "X-Forwarded-Host", "evil.example"}, true, 401},

		{"landing off", off, "GET", "/mcp", []string{"Accept", firefoxAccepts}, false, 401},
		{"a program", on, "GET", "/mcp", []string{"Accept", "*/*"}, false, 401},
		{"no Accept", on, "GET", "/mcp", nil, false, 401},
		{"a client's stream", on, "GET", "/mcp", []string{"Accept", "application/json, text/event-stream"}, false, 401},
		{"a POST", on, "POST", "/mcp", []string{"Accept", firefoxAccepts}, false, 401},
		{"a DELETE", on, "DELETE", "/mcp", []string{"Accept", firefoxAccepts}, false, 401},
		{"a bad token", on, "GET", "/mcp", []string{"Accept", firefoxAccepts, "Authorization", "Bearer x"}, false, 401},
		{"a token in the query, which is none", on, "GET", "/mcp?access_token=evil", []string{"Accept", firefoxAccepts}, true, 401},
		{"a page of another origin", on, "GET", "/mcp", []string{"Accept", firefoxAccepts, "Origin", "https://evil.example"}, false, 403},
		{"a good token", on, "GET", "/mcp", []string{"Accept", firefoxAccepts, "Authorization", good}, false, 200},
		{"a stream without a token", lazy, "GET", "/mcp", []string{"Accept", "text/event-stream"}, false, 200},
		{"the metadata", on, "GET", "/.well-known/oauth-protected-resource/mcp", []string{"Accept", firefoxAccepts}, false, 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := test.site.do(t, test.method, test.path, test.headers...)
			header, body := got.Header, got.body
			if got.StatusCode != test.status {
				t.Fatalf("got %d %s, want %d", got.StatusCode, body, test.status)
			}
			if page := strings.HasPrefix(header.Get("Content-Type"), "text/html"); page != test.page {
				t.Fatalf("got %q, want a page: %v", header.Get("Content-Type"), test.page)
			}
			if test.status == http.StatusUnauthorized {
				if !strings.HasPrefix(header.Get("WWW-Authenticate"), "Bearer ") || header.Get("Cache-Control") != "no-store" {
					t.Errorf("got %v, want a challenge, and no-store", header)
				}
			}
			if !test.page {
				return
			}
			if header.Get("Vary") != "Accept" || !strings.Contains(header.Get("Content-Security-Policy"), "default-src 'none'") {
				t.Errorf("got %v, want Vary and a policy", header)
			}
			if test.method == http.MethodGet && (!strings.Contains(body, "<h1><bdi>Acme&#39;s &lt;files&gt;</bdi></h1>") || !strings.Contains(body, testResource)) {
				t.Errorf("the page lacks the server's name or address:\n%s", body)
			}
			if strings.Contains(body, "evil") {
				t.Error("the page says what the request said")
			}
		})
	}
}

// The same address may give a page or not, so caches are told.
func TestLandingVary(t *testing.T) {
	t.Parallel()
	site := serve(t, frontDoor("https://auth.example.com", ""), nil)
	for method, want := range map[string]string{"GET": "Accept", "HEAD": "Accept", "POST": ""} {
		if got := site.do(t, method, "/mcp").Header.Get("Vary"); got != want {
			t.Errorf("%s: got Vary %q, want %q", method, got, want)
		}
	}
}

func TestLandingInJSON(t *testing.T) {
	t.Parallel()
	routes, err := adapt(frontDoor("https://auth.example.com", "landing off"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = provision(t, bytes.Replace(routes, []byte(`"landing":"off"`), []byte(`"landing":"on"`), 1))
	if err == nil || !strings.Contains(err.Error(), "landing is on unless it is `off`") {
		t.Errorf("got %v, want an error with the cure", err)
	}
}
