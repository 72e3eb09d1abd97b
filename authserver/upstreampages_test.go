package authserver

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/upstream"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
)

// idp is an upstream that says what it is told to.
type idp struct {
	id       upstream.Identity
	begin    error
	finish   error
	finished int
	wish     upstream.Wish
	state    string // begins the state; empty for state-of-
	source   []string
}

func (*idp) Label() string { return "Company" }

func (i *idp) Source() []string { return append([]string{"idp"}, i.source...) }

func (i *idp) Begin(_ context.Context, redirectURI string, wish upstream.Wish) (string, upstream.Pending, error) {
	i.wish = wish
	state := i.state
	if state == "" {
		state = "state-of-"
	}
	return "https://idp.example/authorize?redirect_uri=" + url.QueryEscape(redirectURI), upstream.Pending{State: state + redirectURI[len(redirectURI)-5:]}, i.begin
}

func (i *idp) Finish(_ context.Context, _ string, p upstream.Pending, callback url.Values) (upstream.Identity, error) {
	i.finished++
	if p.State != callback.Get("state") {
		return upstream.Identity{}, &upstream.InvalidError{Err: errors.New("another state")}
	}
	return i.id, i.finish
}

// withUpstreams is a site where users sign in elsewhere, at two places.
func withUpstreams(t *testing.T) (*site, *idp) {
	t.Helper()
	provider := &idp{id: upstream.Identity{Subject: "1", Username: "grace", Name: "Grace Hopper", Email: "grace@example.com", EmailVerified: true}}
	s := newTestSite(t)
	for _, name := range []string{"first", "other"} {
		s.Upstreams = append(s.Upstreams, &Upstream{Name: name, provider: provider, rules: upstream.Rules{{Kind: "email", Values: []string{"*@example.com"}}}})
	}
	s.routes = s.pageRoutes()
	return s, provider
}

// link returns where a link of the page leads.
func (pg *shown) link(prefix string) string {
	pg.p.t.Helper()
	for n := range pg.root.Descendants() {
		if href := testkit.Attribute(n, "href"); strings.HasPrefix(href, prefix) {
			return href
		}
	}
	pg.p.t.Fatalf("there is no link to %s: %d %s", prefix, pg.status, pg.text())
	return ""
}

const firstCallback = callbackPath + "first?code=c&state=state-of-first"

func TestUpstreamSignIn(t *testing.T) {
	t.Parallel()
	s, provider := withUpstreams(t)
	client := s.register("App", webSite)
	p := s.person()
	page := p.get(request(client, webSite))
	start := p.get(page.link(upstreamPath + "first"))
	if !strings.HasPrefix(start.location, "https://idp.example/authorize?redirect_uri="+url.QueryEscape(testIssuer+callbackPath+"first")) {
		t.Fatalf("got %d %s", start.status, start.location)
	}
	consent := p.get(firstCallback).follow()
	if !strings.Contains(consent.text(), "You are signed in as Grace Hopper") || consent.press("decision", "allow").sent(t).Get("code") == "" {
		t.Errorf("got %d %s", consent.status, consent.text())
	}
	for name := range p.jar {
		if strings.Contains(name, upstreamCookie) {
			t.Errorf("%s is left over", name)
		}
	}
	if got := p.get(firstCallback); got.status != 400 || provider.finished != 1 {
		t.Errorf("the same answer again: got %d %s, %d exchanged", got.status, got.text(), provider.finished)
	}
	copied := p.copied()
	p.get(accountPath).press("where", "everywhere")
	if p.signedInAs() != "" || copied.signedInAs() != "" {
		t.Error("signing out doesn't end a session of an upstream's user")
	}
	if got := p.get(p.get(accountPath).link(upstreamPath + "first")); got.location == "" {
		t.Errorf("to the account page: got %d %s", got.status, got.text())
	}
	if got := p.get(firstCallback).follow(); !strings.Contains(got.text(), "Your account") {
		t.Errorf("to the account page: got %d %s", got.status, got.text())
	}
	// The rules are asked at every page.
	s.Upstreams[0].rules = upstream.Rules{{Kind: "email", Values: []string{"*@elsewhere.example"}}}
	if got := p.signedInAs(); got != "" {
		t.Errorf("still signed in as %s, whom no rule allows", got)
	}
}

func TestUpstreamFailures(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		begin, finish error
		change        func(*idp)
		status        int
		want          string
	}{
		{"away at the start", &outbound.UnavailableError{Err: errAway}, nil, nil, 503, "Company does not answer right now."},
		{"away at the end", nil, &outbound.UnavailableError{Err: errAway}, nil, 503, "Try again in a minute."},
		{"refused", nil, &upstream.DeniedError{Code: "access_denied"}, nil, 403, "The sign-in was refused"},
		{"nonsense", nil, &upstream.InvalidError{Err: errAway}, nil, 400, "does not belong to this sign-in"},
		{"an address that no rule allows", nil, nil, func(i *idp) { i.id.Email = "eve@evil.example" }, 403, "you are eve@evil.example. That account has no access"},
		{"not verified", nil, nil, func(i *idp) { i.id.EmailVerified = false }, 403, "has no access"},
		{"a subject without end", nil, nil, func(i *idp) { i.id.Subject = strings.Repeat("x", maxUserText+1) }, 400, "does not belong"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, provider := withUpstreams(t)
			provider.begin, provider.finish = tt.begin, tt.finish
			if tt.change != nil {
				tt.change(provider)
			}
			p := s.person()
			got := p.get(p.get(accountPath).link(upstreamPath + "first"))
			if tt.begin == nil {
				got = p.get(firstCallback)
			}
			if got.status != tt.status || !strings.Contains(got.text(), tt.want) || got.location != "" {
				t.Errorf("got %d %s, want %d %q", got.status, got.text(), tt.status, tt.want)
			}
			if (tt.status == 503) != (got.header.Get("Retry-After") != "") {
				t.Errorf("got Retry-After %q", got.header.Get("Retry-After"))
			}
			if p.signedInAs() != "" {
				t.Error("signed in")
			}
		})
	}
}

// An answer is for the browser, the upstream and the time that it was asked for.
func TestUpstreamCallbacks(t *testing.T) {
	t.Parallel()
	s, provider := withUpstreams(t)
	p := s.person()
	page := p.get(accountPath)
	p.get(page.link(upstreamPath + "first"))
	cookie := siteCookie(pendingCookie("state-of-first"))
	for name, try := range map[string]func() *shown{
		"another browser": func() *shown { return s.person().get(firstCallback) },
		"a cookie alone": func() *shown {
			q := s.person()
			q.get(accountPath)
			q.jar[cookie] = p.jar[cookie]
			return q.get(firstCallback)
		},
		"another upstream's answer": func() *shown { return p.copied().get(callbackPath + "other?code=c&state=state-of-first") },
		"no state":                  func() *shown { return p.get(callbackPath + "first?code=c") },
		"malformed":                 func() *shown { return p.get(callbackPath + "first?state=%zz") },
		"a sign-in as the cookie": func() *shown {
			q := p.copied()
			q.jar[cookie] = page.field("request")
			return q.get(firstCallback)
		},
		"a start without a sign-in":   func() *shown { return p.get(upstreamPath + "first") },
		"a start in another browser":  func() *shown { return s.person().get(page.link(upstreamPath + "first")) },
		"a start with a broken value": func() *shown { return p.get(upstreamPath + "first?request=x") },
	} {
		if got := try(); got.status != 400 || got.location != "" || !strings.Contains(got.text(), "This sign-in has expired") {
			t.Errorf("%s: got %d %s", name, got.status, got.text())
		}
	}
	if provider.finished != 0 {
		t.Errorf("%d codes were exchanged", provider.finished)
	}
	s.clock = s.clock.Add(stepLifetime)
	if got := p.get(firstCallback); got.status != 400 || provider.finished != 0 {
		t.Errorf("too late: got %d %s", got.status, got.text())
	}
}

// The longest state that a client may send fits into what the browser keeps while
// the user is away.
func TestUpstreamSignInWithALongState(t *testing.T) {
	t.Parallel()
	s, _ := withUpstreams(t)
	client := s.register("App", webSite)
	for _, state := range []string{strings.Repeat("x", 4096), strings.Repeat("<", 4096)} {
		p := s.person()
		start := p.get(p.get(request(client, webSite, "state", state, "prompt", "consent")).link(upstreamPath + "first"))
		if start.location == "" {
			t.Fatalf("got %d %s", start.status, start.text())
		}
		if got := p.get(firstCallback).follow().press("decision", "allow").sent(t); got.Get("code") == "" || got.Get("state") != state {
			t.Errorf("got %.100v", got)
		}
		for name := range p.jar {
			if strings.Contains(name, upstreamCookie) {
				t.Errorf("%s is left over", name)
			}
		}
	}
}

// Sign-ins that are never finished don't fill up the header that a server takes.
func TestUpstreamSignInsNeverFinished(t *testing.T) {
	t.Parallel()
	s, provider := withUpstreams(t)
	p := s.person()
	for i := range 30 {
		provider.state = fmt.Sprintf("state%d-", i)
		p.get(p.get(request("desk", "https://desk.example/callback", "state", strings.Repeat("x", 300))).link(upstreamPath + "first"))
		size := 0
		for name, value := range p.jar {
			size += len(name) + len(value) + 3
		}
		if size > 8<<10 {
			t.Fatalf("after %d: %d bytes of cookies", i+1, size)
		}
	}
	if got := p.get(callbackPath + "first?code=c&state=" + provider.state + "first").follow(); !got.button("allow") {
		t.Errorf("the last one: got %d %s", got.status, got.text())
	}
}

// An upstream is told who the client thinks the user is, and to ask if the client
// or the user wants that.
func TestWish(t *testing.T) {
	t.Parallel()
	s, provider := withUpstreams(t)
	for name, tt := range map[string]struct {
		fields []string
		want   upstream.Wish
	}{
		"nothing":        {nil, upstream.Wish{}},
		"a hint":         {[]string{"login_hint", "ada@example.com"}, upstream.Wish{LoginHint: "ada@example.com"}},
		"a sign-in":      {[]string{"prompt", "login"}, upstream.Wish{Prompt: "login"}},
		"a recent one":   {[]string{"max_age", "60"}, upstream.Wish{Prompt: "login", MaxAge: new(int64(60))}},
		"a choice":       {[]string{"prompt", "select_account", "login_hint", "ada"}, upstream.Wish{LoginHint: "ada", Prompt: "select_account"}},
		"only a consent": {[]string{"prompt", "consent"}, upstream.Wish{}},
	} {
		p := s.person()
		p.get(p.get(request("desk", "https://desk.example/callback", tt.fields...)).link(upstreamPath + "first"))
		if !reflect.DeepEqual(provider.wish, tt.want) {
			t.Errorf("%s: got %+v, want %+v", name, provider.wish, tt.want)
		}
	}
	p := s.person()
	page := p.get(request("desk", "https://desk.example/callback", "login_hint", "ada")).signIn("ada").press("decision", "switch")
	p.get(page.link(upstreamPath + "first"))
	if want := (upstream.Wish{Prompt: "select_account"}); !reflect.DeepEqual(provider.wish, want) {
		t.Errorf("another account: got %+v, want %+v", provider.wish, want)
	}
}
