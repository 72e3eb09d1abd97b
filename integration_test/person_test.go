package integration_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// person is a user with a browser that runs no scripts and shows every
// redirect.
type person struct {
	t      *testing.T
	client *http.Client
}

func (c *caddyServer) person(t *testing.T) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := c.client()
	client.Jar = jar
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &person{t, client}
}

// page is what a person got.
type page struct {
	url    *url.URL
	status int
	header http.Header
	body   string
	root   *html.Node
}

func (p *person) do(req *http.Request) *page {
	p.t.Helper()
	resp, err := p.client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	root, err := html.Parse(strings.NewReader(string(body)))
	if err != nil {
		p.t.Fatal(err)
	}
	return &page{req.URL, resp.StatusCode, resp.Header, string(body), root}
}

func (p *person) get(address string) *page {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.do(req)
}

// post sends a form as a browser does; headers are pairs of names and values
// that replace what it would send.
func (p *person) post(address string, form url.Values, headers ...string) *page {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", req.URL.Scheme+"://"+req.URL.Host)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return p.do(req)
}

// location returns where the page redirects to.
func (pg *page) location(t *testing.T) *url.URL {
	t.Helper()
	u, err := pg.url.Parse(pg.header.Get("Location"))
	if err != nil || pg.header.Get("Location") == "" {
		t.Fatalf("%s: got %d %s, want a redirect", pg.url, pg.status, pg.text())
	}
	return u
}

// follow goes where pg redirects, for as long as that is on the same site.
func (p *person) follow(pg *page) *page {
	p.t.Helper()
	for range 10 {
		if pg.header.Get("Location") == "" {
			return pg
		}
		next := pg.location(p.t)
		if next.Host != pg.url.Host {
			return pg
		}
		pg = p.get(next.String())
	}
	p.t.Fatal("too many redirects")
	return nil
}

// field returns the value of the form field name.
func (pg *page) field(name string) string {
	for n := range pg.root.Descendants() {
		if n.Data == "input" && testkit.Attribute(n, "name") == name {
			return testkit.Attribute(n, "value")
		}
	}
	return ""
}

// button reports whether there is a button with the value.
func (pg *page) button(value string) bool { return testkit.HasButton(pg.root, value) }

// link returns the address of the link whose text contains text.
func (pg *page) link(text string) string {
	for n := range pg.root.Descendants() {
		if n.Data == "a" && strings.Contains(textOf(n), text) {
			u, err := pg.url.Parse(testkit.Attribute(n, "href"))
			if err == nil {
				return u.String()
			}
		}
	}
	return ""
}

func (pg *page) text() string {
	for n := range pg.root.Descendants() {
		if n.Data == "main" {
			return textOf(n)
		}
	}
	return pg.body
}

func textOf(n *html.Node) string {
	var words []string
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			words = append(words, strings.Fields(d.Data)...)
		}
	}
	return strings.Join(words, " ")
}

// submit sends the form that has the field `request`, with a button pressed.
func (p *person) submit(pg *page, decision string, fields ...string) *page {
	p.t.Helper()
	for n := range pg.root.Descendants() {
		if n.Data != "form" {
			continue
		}
		form := url.Values{"decision": {decision}}
		for d := range n.Descendants() {
			if d.Data == "input" && testkit.Attribute(d, "name") != "" {
				form.Set(testkit.Attribute(d, "name"), testkit.Attribute(d, "value"))
			}
		}
		if !form.Has("request") {
			continue
		}
		for i := 0; i < len(fields); i += 2 {
			form.Set(fields[i], fields[i+1])
		}
		action, err := pg.url.Parse(testkit.Attribute(n, "action"))
		if err != nil {
			p.t.Fatal(err)
		}
		return p.post(action.String(), form)
	}
	p.t.Fatalf("%s: got %d without a form: %s", pg.url, pg.status, pg.text())
	return nil
}

// signIn fills in the sign-in page.
func (p *person) signIn(pg *page, user string) *page {
	p.t.Helper()
	return p.follow(p.submit(pg, "signin", "username", user, "password", "demo-password"))
}

// allow signs in if asked to, consents if asked to, and returns what the client
// gets at its redirect URI.
func (p *person) allow(address, user string) url.Values {
	p.t.Helper()
	pg := p.follow(p.get(address))
	if pg.button("signin") {
		pg = p.signIn(pg, user)
	}
	if pg.button("allow") {
		pg = p.submit(pg, "allow")
	}
	return pg.location(p.t).Query()
}

// form is a page's form with a button pressed.
type form struct {
	action string
	fields url.Values
}

// form returns the page's first form, its first button pressed; nil if there is
// none.
func (pg *page) form() *form {
	for n := range pg.root.Descendants() {
		if n.Data != "form" {
			continue
		}
		f := &form{fields: make(url.Values)}
		action, err := pg.url.Parse(testkit.Attribute(n, "action"))
		if err != nil {
			return nil
		}
		f.action = action.String()
		for d := range n.Descendants() {
			if name := testkit.Attribute(d, "name"); name != "" && (d.Data == "input" || d.Data == "button") && !f.fields.Has(name) {
				f.fields.Set(name, testkit.Attribute(d, "value"))
			}
		}
		return f
	}
	return nil
}
