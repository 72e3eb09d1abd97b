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

// What an authorization request must not get away with: refused at the client
// if its redirect URI is right, else on a page that sends the user nowhere.
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
		{"PKCE plain", []string{"code_challenge_method", "plain"}, "invalid_request"},
		{"PKCE without method", []string{"code_challenge_method", ""}, "invalid_request"},
		{"malformed challenge", []string{"code_challenge", "short"}, "invalid_request"},
		{"implicit grant", []string{"response_type", "token"}, "unsupported_response_type"},
		{"fragment mode", []string{"response_mode", "fragment"}, "invalid_request"},
		{"request object", []string{"request", "eyJhbGciOiJub25lIn0.e30."}, "request_not_supported"},
		{"somebody else's resource", []string{"resource", "https://evil.example/mcp"}, "invalid_target"},
		{"no such scope", []string{"scope", "root"}, "invalid_scope"},
		{"silent without a session", []string{"prompt", "none"}, "login_required"},

		{"unknown client", []string{"client_id", "nobody"}, ""},
		{"forged client", []string{"client_id", a.id[:len(a.id)-2] + "AA"}, ""},
		{"other redirect URI", []string{"redirect_uri", "https://evil.example/callback"}, ""},
		{"other path", []string{"redirect_uri", "http://127.0.0.1:1/callback/../evil"}, ""},
		{"credentials in the redirect URI", []string{"redirect_uri", "http://127.0.0.1:1@evil.example/callback"}, ""},
		{"javascript", []string{"redirect_uri", "javascript:alert(1)"}, ""},
		{"no redirect URI", []string{"redirect_uri", ""}, ""},
		{"metadata document on loopback by http", []string{"client_id", "http://127.0.0.1/client.json"}, ""},
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

// What a token request must not get away with.
func TestEmbeddedServerTokenRequests(t *testing.T) {
	t.Parallel()
	c := startEmbedded(t, withoutGrace(embedded))
	a, other := c.register(t, callback), c.register(t, "http://127.0.0.1:1/other")
	p := c.person(t)
	for _, test := range []struct {
		name   string
		fields []string
		code   string
	}{
		{"no verifier", []string{"code_verifier", ""}, "invalid_request"},
		{"another verifier", []string{"code_verifier", strings.Repeat("a", 43)}, "invalid_grant"},
		{"another client", []string{"client_id", other.id}, "invalid_grant"},
		{"another redirect URI", []string{"redirect_uri", "http://127.0.0.1:1/other"}, "invalid_grant"},
		{"another resource", []string{"resource", "https://evil.example/mcp"}, "invalid_target"},
		{"no grant type", []string{"grant_type", ""}, "invalid_request"},
		{"password grant", []string{"grant_type", "password"}, "unsupported_grant_type"},
		{"machine's grant", []string{"grant_type", "client_credentials"}, "unauthorized_client"},
		{"secret of a public client", []string{"client_secret", "x"}, "invalid_client"},
		{"oversized", []string{"x", strings.Repeat("x", 100_000)}, "invalid_request"},
	} {
		t.Run(test.name, func(t *testing.T) {
			code := p.allow(a.authorizationURL(), "demo").Get("code")
			if got := a.redeem(code, test.fields...); got.Error != test.code || got.Access != "" {
				t.Errorf("got %+v, want %s", got, test.code)
			}
		})
	}

	t.Run("code replay", func(t *testing.T) {
		code := p.allow(a.authorizationURL(), "demo").Get("code")
		first := a.redeem(code)
		if first.status != 200 {
			t.Fatalf("first use: %+v", first)
		}
		if second := a.redeem(code); second.Error != "invalid_grant" {
			t.Errorf("second use: got %+v, want invalid_grant", second)
		}
		if got := a.refresh(first.Refresh); got.Error != "invalid_grant" {
			t.Errorf("what the first use gave still works: %+v", got)
		}
		if got := c.introspect(t, first.Access); got["active"] != false {
			t.Errorf("introspection says %v, want inactive", got)
		}
	})
	t.Run("codes race", func(t *testing.T) {
		code := p.allow(a.authorizationURL(), "demo").Get("code")
		var mu sync.Mutex
		var wins int
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if a.redeem(code).status == 200 {
					mu.Lock()
					defer mu.Unlock()
					wins++
				}
			})
		}
		wg.Wait()
		if wins > 1 {
			t.Errorf("a code was redeemed %d times", wins)
		}
	})
	t.Run("refresh reuse", func(t *testing.T) {
		tokens := a.signIn(p, "demo")
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
	})
	t.Run("refresh token of another client", func(t *testing.T) {
		tokens := a.signIn(p, "demo")
		if got := other.refresh(tokens.Refresh); got.Error != "invalid_grant" {
			t.Errorf("got %+v, want invalid_grant", got)
		}
		if got := a.refresh(tokens.Refresh); got.status != 200 {
			t.Errorf("the owner's is gone with it: %+v", got)
		}
	})
	t.Run("refresh token as access token", func(t *testing.T) {
		tokens := a.signIn(p, "demo")
		if c.passes(tokens.Refresh) || c.introspect(t, tokens.Refresh)["active"] != false {
			t.Error("it passes")
		}
	})
	t.Run("wider scope", func(t *testing.T) {
		tokens := a.signIn(p, "demo")
		if got := a.refresh(tokens.Refresh, "scope", "mcp:tools mcp:admin"); got.Error != "invalid_scope" {
			t.Errorf("got %+v, want invalid_scope", got)
		}
	})
	t.Run("introspection by anybody", func(t *testing.T) {
		got := c.do("POST", "/oauth/introspect", url.Values{"token": {"x"}, "client_id": {a.id}}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
		if got.status != 403 {
			t.Errorf("got %d %s, want 403", got.status, got.body)
		}
	})
}

// What another site, or another browser, must not be able to do with pages.
func TestEmbeddedServerPages(t *testing.T) {
	t.Parallel()
	c := startEmbedded(t, embedded)
	a := c.register(t, callback)

	t.Run("headers", func(t *testing.T) {
		pg := c.person(t).get(a.authorizationURL())
		policy := pg.header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("Content-Security-Policy is %q", policy)
		}
		if pg.header.Get("X-Frame-Options") != "DENY" || pg.header.Get("Cache-Control") != "no-store" {
			t.Errorf("headers are %v", pg.header)
		}
		for _, cookie := range pg.header.Values("Set-Cookie") {
			if !strings.HasPrefix(cookie, "__Host-") || !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "Secure") || !strings.Contains(cookie, "SameSite=Lax") {
				t.Errorf("cookie %q is not protected", cookie)
			}
		}
		if !strings.Contains(pg.text(), "A test's application") || !strings.Contains(pg.text(), "127.0.0.1") {
			t.Errorf("the page names neither the client nor where it leads: %s", pg.text())
		}
	})
	t.Run("form of another site", func(t *testing.T) {
		p := c.person(t)
		pg := p.get(a.authorizationURL())
		form := url.Values{"request": {pg.field("request")}, "username": {"demo"}, "password": {"demo-password"}, "decision": {"signin"}}
		for _, headers := range [][]string{
			{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"},
			{"Origin", "null", "Sec-Fetch-Site", "cross-site"},
			{"Origin", "https://evil.example", "Sec-Fetch-Site", ""},
		} {
			got := p.post(c.URL+"/oauth/signin", form, headers...)
			if got.status != 403 || strings.Contains(fmt.Sprint(got.header), "mcp_auth_session") {
				t.Errorf("%v: got %d %s, want 403 and no session", headers, got.status, got.text())
			}
		}
	})
	t.Run("begun in another browser", func(t *testing.T) {
		stranger := c.person(t).get(a.authorizationURL())
		p := c.person(t)
		p.get(a.authorizationURL())
		got := p.submit(stranger, "signin", "username", "demo", "password", "demo-password")
		if got.status != 400 || !strings.Contains(got.text(), "another browser") {
			t.Errorf("got %d %s, want 400", got.status, got.text())
		}
	})
	t.Run("consent skipped", func(t *testing.T) {
		p := c.person(t)
		signIn := p.get(a.authorizationURL())
		consent := p.signIn(signIn, "demo")
		if !consent.button("allow") {
			t.Fatalf("no consent page: %d %s", consent.status, consent.text())
		}
		// The ticket of the sign-in page is none for the decision.
		got := p.post(c.URL+"/oauth/consent", url.Values{"request": {signIn.field("request")}, "decision": {"allow"}})
		if got.header.Get("Location") != "" {
			t.Errorf("got %d %s: a code without consent", got.status, got.header.Get("Location"))
		}
		for _, decision := range []string{"", "ALLOW", "yes"} {
			if got := p.submit(consent, decision); got.header.Get("Location") != "" {
				t.Errorf("decision %q: got %s", decision, got.header.Get("Location"))
			}
		}
		// Nor is another user's consent.
		other := c.person(t)
		other.signIn(other.get(a.authorizationURL()), "ada")
		if got := other.submit(consent, "allow"); got.header.Get("Location") != "" {
			t.Errorf("another user's consent: got %s", got.header.Get("Location"))
		}
		if answer := p.submit(consent, "deny").location(t).Query(); answer.Get("error") != "access_denied" || answer.Get("iss") != c.URL {
			t.Errorf("refused: the client was told %v", answer)
		}
	})
	t.Run("consent of a user who is somebody else by now", func(t *testing.T) {
		p := c.person(t)
		consent := p.signIn(p.get(a.authorizationURL()), "demo")
		switched := p.submit(consent, "switch")
		p.signIn(switched, "ada")
		if got := p.submit(consent, "allow"); got.header.Get("Location") != "" || !got.button("allow") {
			t.Errorf("got %d %s: ada allowed what demo was asked", got.status, got.header.Get("Location"))
		}
	})
	t.Run("remembered", func(t *testing.T) {
		p := c.person(t)
		web := c.register(t, "https://client.example/callback")
		web.signIn(p, "ada")
		if pg := p.get(web.authorizationURL()); pg.header.Get("Location") == "" {
			t.Errorf("asked again: %s", pg.text())
		}
		for _, fields := range [][]string{
			{"scope", "mcp:tools mcp:admin"},
			{"prompt", "consent"},
			{"prompt", "login"},
			{"max_age", "0"},
		} {
			if pg := p.get(web.authorizationURL(fields...)); pg.header.Get("Location") != "" {
				t.Errorf("%v: not asked", fields)
			}
		}
		for _, fields := range [][]string{{"prompt", "none"}, {"prompt", "none", "max_age", "3600"}} {
			if got := p.get(web.authorizationURL(fields...)).location(t).Query(); got.Get("code") == "" {
				t.Errorf("%v: got %v, want a code", fields, got)
			}
		}
		// Not into the open: anyone may have registered the address.
		pg := p.get(web.authorizationURL("prompt", "none", "max_age", "0"))
		if pg.header.Get("Location") != "" || !strings.Contains(pg.text(), "login_required") {
			t.Errorf("prompt=none, max_age=0: got %q %s, want login_required", pg.header.Get("Location"), pg.text())
		}
	})
	t.Run("not remembered on loopback", func(t *testing.T) {
		p := c.person(t)
		a.signIn(p, "ada")
		// Another program registers the same words, and is the same client.
		if twin := c.register(t, callback); twin.id != a.id {
			t.Fatal("the identifiers of twins differ")
		}
		if pg := p.get(a.authorizationURL()); pg.button("signin") || !pg.button("allow") {
			t.Errorf("got %q %s, want the question", pg.header.Get("Location"), pg.text())
		}
		if got := p.get(a.authorizationURL("prompt", "none")).location(t).Query(); got.Get("error") != "interaction_required" || got.Has("code") {
			t.Errorf("prompt=none: got %v, want interaction_required", got)
		}
		// The operator answers for its own.
		desk := *a
		desk.id = "desk"
		desk.redirect = "http://127.0.0.1:1/callback"
		desk.signIn(p, "ada")
		if got := p.get(desk.authorizationURL("prompt", "none")).location(t).Query(); got.Get("code") == "" {
			t.Errorf("the operator's client: got %v, want a code", got)
		}
	})
	t.Run("guessing", func(t *testing.T) {
		p := c.person(t)
		pg := p.get(a.authorizationURL())
		wrong, nobody := "", ""
		for range 4 {
			pg = p.submit(pg, "signin", "username", "demo", "password", "wrong")
			if pg.status != 401 || !pg.button("signin") {
				t.Fatalf("wrong password: got %d %s", pg.status, pg.text())
			}
			wrong = pg.text()
		}
		pg = p.submit(pg, "signin", "username", "nobody", "password", "wrong")
		if nobody = pg.text(); nobody != wrong {
			t.Errorf("a wrong password reads %q, an unknown user %q", wrong, nobody)
		}
		slowed := false
		for range 10 {
			pg = p.submit(pg, "signin", "username", "demo", "password", "wrong")
			slowed = slowed || pg.status == 429 && pg.header.Get("Retry-After") != ""
		}
		if !slowed {
			t.Error("nobody slows the guessing down")
		}
	})
}

// Whoever registers clients fills nothing, and a metadata document leads nobody
// into the network behind.
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
		{"fragment", `{"redirect_uris":["https://a.example/#x"]}`, "invalid_redirect_uri"},
		{"wildcard", `{"redirect_uris":["https://*.example/"]}`, "invalid_redirect_uri"},
		{"remote http", `{"redirect_uris":["http://a.example/"]}`, "invalid_redirect_uri"},
		{"private scheme", `{"redirect_uris":["cursor://x/callback"]}`, "invalid_redirect_uri"},
		{"none", `{}`, "invalid_redirect_uri"},
		{"one good, one bad", `{"redirect_uris":["https://a.example/","data:text/html,x"]}`, "invalid_redirect_uri"},
		{"twice", `{"redirect_uris":["https://a.example/"],"redirect_uris":["https://b.example/"]}`, "invalid_client_metadata"},
		{"not JSON", `redirect_uris`, "invalid_client_metadata"},
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
