package integration_test

import (
	"strings"
	"sync"
	"testing"
)

// Two Caddys on one storage are one authorization server: what one begins the
// other finishes.
func TestEmbeddedServerCluster(t *testing.T) {
	t.Parallel()
	embedded := withoutGrace(embedded)
	one := startEmbedded(t, embedded)
	two := newCaddy(t)
	two.dir, two.CA = one.dir, one.CA
	// The issuer and the resource are the same: as behind a load balancer.
	site := strings.ReplaceAll(strings.ReplaceAll(embedded, "CAFILE", one.CA), "SITE", one.URL)
	two.start(two.caddyfile(site))

	if a, b := one.do("GET", "/oauth/jwks", "").body, two.do("GET", "/oauth/jwks", "").body; a != b || !strings.Contains(a, `"kid"`) {
		t.Fatalf("the key sets differ: %s and %s", a, b)
	}
	a := one.register(t, callback)
	there := a.at(two)
	p := one.person(t)

	// Sign in at the first, decide at the second, redeem at the first, refresh
	// at the second.
	move := func(pg *page, to *caddyServer) *page {
		moved := *pg
		u := *pg.url
		u.Host = to.Host
		moved.url = &u
		return &moved
	}
	consent := p.signIn(p.get(a.authorizationURL()), "demo")
	answer := p.submit(move(consent, two), "allow").location(t).Query()
	tokens := a.redeem(answer.Get("code"))
	if tokens.status != 200 {
		t.Fatalf("redeeming elsewhere: %+v", tokens)
	}
	if !two.passes(tokens.Access) || two.introspect(t, tokens.Access)["active"] != true {
		t.Error("a token of one is none at the other")
	}
	refreshed := there.refresh(tokens.Refresh)
	if refreshed.status != 200 || !one.passes(refreshed.Access) {
		t.Fatalf("refreshing elsewhere: %+v", refreshed)
	}
	if got := a.refresh(tokens.Refresh); got.Error != "invalid_grant" {
		t.Errorf("reuse at the other: got %+v, want invalid_grant", got)
	}
	if got := there.refresh(refreshed.Refresh); got.Error != "invalid_grant" {
		t.Errorf("the grant lives on at one: %+v", got)
	}

	// Codes and refresh tokens used at both at once are used once.
	code := p.allow(a.authorizationURL(), "demo").Get("code")
	if wins := race(func(i int) bool { return a.at([]*caddyServer{one, two}[i%2]).redeemFor(one, code) }); wins > 1 {
		t.Errorf("a code was redeemed %d times", wins)
	}
	fresh := a.signIn(p, "demo")
	if wins := race(func(i int) bool { return a.at([]*caddyServer{one, two}[i%2]).refresh(fresh.Refresh).status == 200 }); wins != 1 {
		t.Errorf("a refresh token was used %d times, want once", wins)
	}
}

// withoutGrace returns the site with refresh tokens that work exactly once.
func withoutGrace(site string) string {
	return strings.Replace(site, "resource SITE/mcp", "resource SITE/mcp\n\t\trefresh_token_grace off", 1)
}

// redeemFor redeems a code for the resource of owner.
func (a *app) redeemFor(owner *caddyServer, code string) bool {
	return a.redeem(code, "resource", owner.URL+"/mcp").status == 200
}

// race calls f from several goroutines and returns how often it was true.
func race(f func(int) bool) (wins int) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			if f(i) {
				mu.Lock()
				defer mu.Unlock()
				wins++
			}
		})
	}
	wg.Wait()
	return wins
}

// A reload in the middle of a sign-in changes nothing for the user.
func TestEmbeddedServerReload(t *testing.T) {
	t.Parallel()
	c := startEmbedded(t, embedded)
	site := strings.ReplaceAll(embedded, "CAFILE", c.CA)
	a := c.register(t, callback)
	p := c.person(t)
	pg := p.get(a.authorizationURL())
	c.reload(site)
	pg = p.signIn(pg, "demo")
	c.reload(site)
	answer := p.submit(pg, "allow").location(t).Query()
	c.reload(site)
	tokens := a.redeem(answer.Get("code"))
	if tokens.status != 200 || !c.passes(tokens.Access) {
		t.Fatalf("redeeming: %+v", tokens)
	}
	c.reload(site)
	if !c.passes(tokens.Access) {
		t.Error("a reload made the access token worthless")
	}
	if tokens = a.refresh(tokens.Refresh); tokens.status != 200 {
		t.Errorf("refreshing: %+v", tokens)
	}
	if pg := p.get(a.authorizationURL()); !pg.button("allow") {
		t.Errorf("the user has to sign in again: %s", pg.text())
	}

	// A changed password ends what rests on the old one; so does a user's end.
	ada := c.person(t)
	hers := a.signIn(ada, "ada")
	lines := strings.Split(site, "\n")
	for i, line := range lines {
		if strings.Contains(line, "ada $2a$") {
			lines[i] = ""
		}
		// `other-password`, hashed with bcrypt.
		lines[i] = strings.Replace(lines[i], "demo $2a$04$VxJ1bKKHAzTj/lJL.LkBdOc2tKJ.1HLJ0SLQsnv8xXTwCt9DPZpVu", "demo OTHERHASH", 1)
	}
	c.reload(strings.ReplaceAll(strings.Join(lines, "\n"), "OTHERHASH", hashPassword(t, "other-password")))
	if got := a.refresh(hers.Refresh); got.Error != "invalid_grant" {
		t.Errorf("a user who is gone: got %+v, want invalid_grant", got)
	}
	if got := a.refresh(tokens.Refresh); got.Error != "invalid_grant" {
		t.Errorf("a user with another password: got %+v, want invalid_grant", got)
	}
	if pg := p.get(a.authorizationURL()); !pg.button("signin") {
		t.Errorf("the session lives on: %s", pg.header.Get("Location"))
	}
}

// kill -9 loses nothing that was confirmed to a client.
func TestEmbeddedServerKilled(t *testing.T) { onStorages(t, testKilled) }

func testKilled(t *testing.T, st *storageUnderTest) {
	c := st.start(t, embedded)
	text := c.caddyfile(strings.ReplaceAll(embedded, "CAFILE", c.CA))
	a := c.register(t, callback)
	p := c.person(t)
	kept := a.signIn(p, "demo")
	keys := c.do("GET", "/oauth/jwks", "").body
	other := c.person(t)
	halfDone := other.get(a.authorizationURL())
	code := p.allow(a.authorizationURL(), "demo").Get("code")
	grants := make([]tokenAnswer, 6)
	for i := range grants {
		grants[i] = a.signIn(p, "demo")
	}

	// It dies while tokens are being refreshed, with locks held.
	var wg sync.WaitGroup
	results := make([]int, len(grants))
	died := make(chan struct{})
	for i := range grants {
		wg.Go(func() {
			for {
				select {
				case <-died:
					return
				default:
				}
				answer, err := c.tryToken(a.id, grants[i].Refresh)
				if err != nil {
					results[i] = -1 // nobody knows how far it came
					return
				}
				if answer.status != 200 {
					t.Errorf("refreshing before: %+v", answer)
					return
				}
				grants[i] = answer
			}
		})
	}
	c.waitFor("tokens to be refreshed", func() bool { return c.asked("/oauth/token") > 40 })
	_ = c.cmd.Process.Kill()
	<-c.exited
	close(died)
	wg.Wait()
	c.start(text)

	if got := c.do("GET", "/oauth/jwks", "").body; got != keys {
		t.Errorf("the keys were %s, are %s", keys, got)
	}
	if !c.passes(kept.Access) {
		t.Error("an access token is worthless")
	}
	if got := a.refresh(kept.Refresh); got.status != 200 {
		t.Errorf("a refresh token is worthless: %+v", got)
	}
	if got := a.redeem(code); got.status != 200 {
		t.Errorf("a code is worthless: %+v", got)
	}
	for i, g := range grants {
		wg.Go(func() {
			got := a.refresh(g.Refresh)
			if got.status == 200 || results[i] == -1 && got.Error == "invalid_grant" {
				return
			}
			t.Errorf("grant %d: got %+v", i, got)
		})
	}
	wg.Wait()
	if pg := other.signIn(halfDone, "ada"); !pg.button("allow") {
		t.Errorf("a sign-in half done is over: %d %s", pg.status, pg.text())
	}
	if pg := p.get(a.authorizationURL()); !pg.button("allow") {
		t.Errorf("a session is over: %s", pg.text())
	}
}
