package authserver

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/upstream"
)

// What tells an upstream from others changes with the provider, and with nothing
// else.
func TestUpstreamSource(t *testing.T) {
	t.Parallel()
	oidc := Upstream{Type: "oidc", Name: "sso", Issuer: "https://sso.example/realms/test", ClientID: "caddy", ClientSecret: "secret", Allow: []AllowRule{{Kind: "anybody"}}}
	github := Upstream{Type: "github", Name: "sso", ClientID: "caddy", ClientSecret: "secret", Allow: []AllowRule{{Kind: "anybody"}}}
	for _, test := range []struct {
		name   string
		of     Upstream
		change func(*Upstream)
		same   bool
	}{
		{"nothing", oidc, func(*Upstream) {}, true},
		{"secret", oidc, func(u *Upstream) { u.ClientSecret = "another" }, true},
		{"label", oidc, func(u *Upstream) { u.Label = "Company" }, true},
		{"scopes", oidc, func(u *Upstream) { u.Scopes = []string{"openid", "groups"} }, true},
		{"rules", oidc, func(u *Upstream) { u.Allow = []AllowRule{{Kind: "email", Values: []string{"*@example.com"}}} }, true},
		{"issuer", oidc, func(u *Upstream) { u.Issuer = "https://sso.example/realms/prod" }, false},
		{"issuer's letter case", oidc, func(u *Upstream) { u.Issuer = "https://sso.example/realms/Test" }, false},
		{"slash at the issuer's end", oidc, func(u *Upstream) { u.Issuer += "/" }, false},
		{"client", oidc, func(u *Upstream) { u.ClientID = "other" }, false},
		{"name", oidc, func(u *Upstream) { u.Name = "office" }, false},
		{"kind", oidc, func(u *Upstream) { *u = github }, false},

		{"secret at github", github, func(u *Upstream) { u.ClientSecret = "another" }, true},
		{"the default base URL, written out", github, func(u *Upstream) { u.BaseURL = "https://github.com/" }, true},
		{"base URL", github, func(u *Upstream) { u.BaseURL = "https://ghe.example" }, false},
		{"API", github, func(u *Upstream) { u.APIURL = "https://ghe.example/api/v3" }, false},
		{"client at github", github, func(u *Upstream) { u.ClientID = "other" }, false},
	} {
		before, after := test.of, test.of
		test.change(&after)
		for _, u := range []*Upstream{&before, &after} {
			if err := u.provision(); err != nil {
				t.Fatalf("%s: %v", test.name, err)
			}
		}
		if same := before.source() == after.source(); same != test.same {
			t.Errorf("another %s: the same source: %t, want %t", test.name, same, test.same)
		}
		h := &Handler{Upstreams: []*Upstream{&after}}
		user, err := before.user(before.Name, upstream.Identity{Subject: "1", Email: "ada@example.com", EmailVerified: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.checkUpstreamUser(user); (err == nil) != test.same {
			t.Errorf("another %s: users who signed in before: %v, want them welcome: %t", test.name, err, test.same)
		}
	}
}

// Another provider under the same name has other users: sessions end, and its user
// 1 is not the user 1 of before. When the first is back, so are its users.
func TestUpstreamReplaced(t *testing.T) {
	t.Parallel()
	s, provider := withUpstreams(t)
	client := s.register("Zebra", webSite)
	subjectOf := func(p *person) string {
		t.Helper()
		p.get(p.get(accountPath).link(upstreamPath + "first"))
		p.get(firstCallback)
		r := httptest.NewRequestWithContext(t.Context(), "GET", testIssuer+accountPath, nil)
		for name, value := range p.jar {
			r.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		v := &visit{Visit: s.browsers.Visit(httptest.NewRecorder(), r), h: s.Handler}
		user, err := v.signedIn()
		if err != nil || user == nil {
			t.Fatalf("not signed in: %v", err)
		}
		return user.Subject
	}
	p := s.person()
	first := subjectOf(p)
	if first != "first:1" {
		t.Errorf("the subject is %s, want first:1", first)
	}
	if got := p.get(request(client, webSite)).press("decision", "allow"); got.sent(t).Get("code") == "" {
		t.Fatalf("no consent: %d %s", got.status, got.text())
	}
	if got := p.get(request(client, webSite)); got.sent(t).Get("code") == "" {
		t.Fatalf("the consent isn't remembered: %d %s", got.status, got.text())
	}
	if !strings.Contains(p.get(accountPath).text(), "Zebra") {
		t.Fatal("the account page doesn't show the application")
	}
	waiting := s.person()
	waiting.get(waiting.get(accountPath).link(upstreamPath + "first"))

	provider.source = []string{"https://sso.example/realms/prod"}
	if got := p.signedInAs(); got != "" {
		t.Errorf("the session goes on as %s", got)
	}
	asked := provider.finished
	if got := waiting.get(firstCallback); got.status != 400 || provider.finished != asked {
		t.Errorf("the code of the provider before was sent to the next one: %d %s", got.status, got.text())
	}
	second := subjectOf(p)
	if second == first || !strings.HasPrefix(second, "first~") || !strings.HasSuffix(second, ":1") {
		t.Errorf("the subject is %s, after %s", second, first)
	}
	if got := p.get(request(client, webSite)); !got.button("allow") {
		t.Errorf("the other user's consent counts: %d %s", got.status, got.text())
	}
	if strings.Contains(p.get(accountPath).text(), "Zebra") {
		t.Error("the account page shows what the other user allowed")
	}
	if again := subjectOf(s.person()); again != second {
		t.Errorf("the subject changes: %s, %s", second, again)
	}

	provider.source = []string{"https://third.example"}
	if third := subjectOf(s.person()); third == first || third == second {
		t.Errorf("a third provider's user has the subject %s", third)
	}
	provider.source = nil
	if back := subjectOf(s.person()); back != first {
		t.Errorf("when the first is back, the subject is %s, want %s", back, first)
	}
}

// While it can't be found out whose name it was, nobody is signed in.
func TestUpstreamWithoutStorage(t *testing.T) {
	t.Parallel()
	s, _ := withUpstreams(t)
	for _, operation := range []string{"load", "store", "lock"} {
		p := s.person()
		p.get(p.get(accountPath).link(upstreamPath + "first"))
		s.away(operation)
		if got := p.get(firstCallback); got.status != 503 || got.location != "" {
			t.Errorf("%s fails: got %d %s", operation, got.status, got.text())
		}
		s.away()
		if got := p.signedInAs(); got != "" {
			t.Errorf("%s fails: signed in as %s", operation, got)
		}
	}
}
