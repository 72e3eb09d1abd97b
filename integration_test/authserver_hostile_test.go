package integration_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

const callback = "http://127.0.0.1:1/callback"

// Refused authorization requests, over the wire: at the client if its redirect URI is
// right, else on a page that sends the user nowhere. TestAuthorizationRequests in
// authserver/oauth has every rule.
func TestEmbeddedServerAuthorizationRequests(t *testing.T) {
	t.Parallel()
	c := startEmbedded(t, embedded)
	a := c.register(t, callback)
	for _, test := range []struct {
		name   string
		fields []string
		// code is what the client is told; empty if only the user is.
		code string
	}{
		{"no PKCE", []string{"code_challenge", "", "code_challenge_method", ""}, "invalid_request"},
		{"another resource", []string{"resource", "https://evil.example/mcp"}, "invalid_target"},
		{"silent without a session", []string{"prompt", "none"}, "login_required"},

		{"forged client", []string{"client_id", a.id[:len(a.id)-2] + "AA"}, ""},
		{"other redirect URI", []string{"redirect_uri", "https://evil.example/callback"}, ""},
		{"oversized", []string{"x", strings.Repeat("x", 14_500)}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			pg := c.person(t).get(a.authorizationURL(test.fields...))
			if test.code == "" {
				if pg.status < 400 || pg.header.Get("Location") != "" || !strings.Contains(pg.text(), "can't sign you in") {
					t.Errorf("got %d, Location %q, %s; want a page that leads nowhere", pg.status, pg.header.Get("Location"), pg.text())
				}
				return
			}
			to := pg.location(t)
			got := to.Query()
			if !strings.HasPrefix(to.String(), callback+"?") || got.Get("error") != test.code || got.Get("state") != "the-state" || got.Get("iss") != c.URL || got.Has("code") {
				t.Errorf("the client was told %s, want %s with state and iss", to, test.code)
			}
		})
	}
}

// A link to this server leads nowhere else unless the user wants to go there,
// although anyone can register any address.
func TestEmbeddedServerIsNoOpenRedirector(t *testing.T) {
	t.Parallel()
	c := startEmbedded(t, embedded)
	stranger := c.register(t, "https://evil.example/phish")
	for code, fields := range map[string][]string{
		"unsupported_response_type": {"response_type", "token"},
		"invalid_scope":             {"scope", "root"},
		"login_required":            {"prompt", "none"},
	} {
		pg := c.person(t).get(stranger.authorizationURL(fields...))
		if pg.status != 400 || pg.header.Get("Location") != "" || !strings.Contains(pg.text(), "can't sign you in") {
			t.Errorf("%s: got %d, Location %q, %s; want a page", code, pg.status, pg.header.Get("Location"), pg.text())
		}
		to, err := url.Parse(pg.link("Go back to evil.example"))
		if err != nil || to.Host != "evil.example" || to.Query().Get("error") != code || to.Query().Get("state") != "the-state" {
			t.Errorf("%s: the way back is %s", code, to)
		}
	}
	p := c.person(t)
	pg := p.submit(p.get(stranger.authorizationURL()), "cancel")
	if to := pg.location(t); to.Host != "evil.example" || to.Query().Get("error") != "access_denied" {
		t.Errorf("who was asked and says no gets to %s", to)
	}

	// The operator's own are trusted.
	c.reload(strings.NewReplacer("CAFILE", c.CA, "\tclients {", "\tregistration redirect_uris https://evil.example/phish\n\tclients {").Replace(embedded))
	if to := c.person(t).get(stranger.authorizationURL("scope", "root")).location(t); to.Host != "evil.example" {
		t.Errorf("an address that the operator lists: got %s", to)
	}
}

// Token requests over the wire: a code and a refresh token count once, and
// using one again ends what came of it. The rules are in authserver/oauth.
func TestEmbeddedServerTokenRequests(t *testing.T) {
	t.Parallel()
	c := startEmbedded(t, withoutGrace(embedded))
	a := c.register(t, callback)
	p := c.person(t)
	code := p.allow(a.authorizationURL(), "demo").Get("code")
	if got := a.redeem(code, "code_verifier", strings.Repeat("a", 43)); got.Error != "invalid_grant" || got.Access != "" {
		t.Errorf("another verifier: got %+v, want invalid_grant", got)
	}

	code = p.allow(a.authorizationURL(), "demo").Get("code")
	first := a.redeem(code)
	if first.status != 200 {
		t.Fatalf("redeeming: %+v", first)
	}
	if second := a.redeem(code); second.Error != "invalid_grant" {
		t.Errorf("the code again: got %+v, want invalid_grant", second)
	}
	if got := a.refresh(first.Refresh); got.Error != "invalid_grant" {
		t.Errorf("what the first use gave still works: %+v", got)
	}
	if got := c.introspect(t, first.Access); got["active"] != false {
		t.Errorf("introspection says %v, want inactive", got)
	}

	tokens := a.signIn(p, "demo")
	if c.passes(tokens.Refresh) {
		t.Error("a refresh token passes as an access token")
	}
	second := a.refresh(tokens.Refresh)
	if second.status != 200 || second.Refresh == tokens.Refresh || !c.passes(second.Access) {
		t.Fatalf("refreshing: %+v", second)
	}
	if got := a.refresh(tokens.Refresh); got.Error != "invalid_grant" {
		t.Errorf("the old token: got %+v, want invalid_grant", got)
	}
	if got := a.refresh(second.Refresh); got.Error != "invalid_grant" {
		t.Errorf("the thief's, or the owner's, goes on working: %+v", got)
	}
	c.logs("a refresh token was used twice")

	got := c.do("POST", "/oauth/introspect", url.Values{"token": {"x"}, "client_id": {a.id}}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	if got.status != 403 {
		t.Errorf("introspection by a public client: got %d %s, want 403", got.status, got.body)
	}
}

// Registering clients fills nothing, and a metadata document is no way into the
// network behind.
func TestEmbeddedServerRegistration(t *testing.T) {
	t.Parallel()
	site := strings.ReplaceAll(embedded, "insecure_allow_private", "")
	c := startEmbedded(t, site)
	count := func() (n int) {
		_ = filepath.WalkDir(filepath.Join(c.dir, "caddy", "mcp_auth_server"), func(string, fs.DirEntry, error) error { n++; return nil })
		return n
	}
	c.register(t, callback)
	c.do("GET", "/oauth/jwks", "")
	for _, test := range []struct{ name, body, code string }{
		{"javascript", `{"redirect_uris":["javascript:alert(1)"]}`, "invalid_redirect_uri"},
		{"oversized", `{"redirect_uris":["https://a.example/"],"x":"` + strings.Repeat("x", 100_000) + `"}`, "invalid_client_metadata"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := c.do("POST", "/oauth/register", test.body, "Content-Type", "application/json")
			var answer tokenAnswer
			if err := json.Unmarshal([]byte(got.body), &answer); err != nil || got.status < 400 || got.status > 413 || answer.Error != test.code {
				t.Errorf("got %d %s, want %s", got.status, got.body, test.code)
			}
		})
	}

	a := c.register(t, callback)
	for _, inward := range []string{c.URL + "/client.json", "https://127.0.0.1:" + c.URL[len("https://localhost:"):] + "/client.json", "https://169.254.169.254/latest", "https://[::1]/client.json"} {
		pg := c.person(t).get(a.authorizationURL("client_id", inward))
		if pg.status < 400 || pg.header.Get("Location") != "" {
			t.Errorf("%s: got %d %s", inward, pg.status, pg.text())
		}
	}
	// A name with an address inside is answered as one that does not exist.
	there := c.person(t).get(a.authorizationURL("client_id", c.URL+"/client.json"))
	nowhere := c.person(t).get(a.authorizationURL("client_id", "https://no-such-host.invalid/client.json"))
	// The page names the host that was asked for, and nothing else differs.
	thereText := strings.ReplaceAll(there.text(), strings.TrimPrefix(c.URL, "https://"), "no-such-host.invalid")
	if there.status != 503 || there.status != nowhere.status || thereText != nowhere.text() ||
		there.header.Get("Retry-After") != nowhere.header.Get("Retry-After") {
		t.Errorf("a host of this network can be told from one that does not exist: %d %s, %d %s", there.status, there.text(), nowhere.status, nowhere.text())
	}
	if n := c.asked("/client.json"); n != 0 {
		t.Errorf("the server asked itself for a metadata document, %d times", n)
	}
	// A flood from one address: more than enough of it pass, the rest is told when to
	// come back, and nothing is left of either. It comes last, because the address is
	// ours.
	before := count()
	var registered atomic.Int64
	var wg sync.WaitGroup
	for worker := range 10 {
		wg.Go(func() {
			for i := range 1000 {
				body := fmt.Sprintf(`{"client_name":"n%d-%d","redirect_uris":["https://n%d-%d.example/cb"],"token_endpoint_auth_method":"none"}`, worker, i, worker, i)
				got := c.do("POST", "/oauth/register", body, "Content-Type", "application/json")
				switch {
				case got.status == 201:
					registered.Add(1)
				case got.status != 429 || got.header.Get("Retry-After") == "":
					t.Errorf("registering: got %d %s", got.status, got.body)
					return
				}
			}
		})
	}
	wg.Wait()
	if after := count(); after != before {
		t.Errorf("10,000 registrations left %d files more", after-before)
	}
	if n := registered.Load(); n < 900 {
		t.Errorf("%d registrations passed, want those of an honest burst", n)
	}
}
