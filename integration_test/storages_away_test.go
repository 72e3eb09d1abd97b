package integration_test

import (
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// Of two Caddys one is killed while both refresh the tokens of the same grants: what
// it had locked is free for the other, and no grant is lost.
func TestStorageSurvivor(t *testing.T) { onStorages(t, testSurvivor) }

func testSurvivor(t *testing.T, st *storageUnderTest) {
	one, two := st.startTwo(t, embedded)
	a := one.register(t, callback)
	p := one.person(t)
	grants := make([]tokenAnswer, 6)
	for i := range grants {
		grants[i] = a.signIn(p, "demo")
	}
	servers := []*caddyServer{one, two}
	var wg sync.WaitGroup
	died := make(chan struct{})
	for i := range grants {
		wg.Go(func() {
			for n := i; ; n++ {
				select {
				case <-died:
					return
				default:
				}
				answer, err := servers[n%2].tryToken(a.id, grants[i].Refresh)
				if err != nil {
					return // it died: how far this came, nobody knows
				}
				if answer.status != 200 {
					t.Errorf("refreshing before: %+v", answer)
					return
				}
				grants[i] = answer
			}
		})
	}
	one.waitFor("tokens to be refreshed", func() bool { return one.asked("/oauth/token") > 30 && two.asked("/oauth/token") > 30 })
	_ = one.cmd.Process.Kill()
	<-one.exited
	close(died)
	wg.Wait()
	for i, g := range grants {
		// An answer that was lost is given again within refresh_token_grace.
		if got := a.at(two).refresh(g.Refresh); got.status != 200 {
			t.Errorf("grant %d: got %+v", i, got)
		}
	}
}

// While Redis is away nobody is told that a token is not active, that it was revoked,
// or that a grant has ended. When it is back, so is everything.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	st := startRedis(t)
	one, two := st.startTwo(t, embedded)
	a := one.register(t, callback)
	p := one.person(t)
	kept, revoked := a.signIn(p, "demo"), a.signIn(p, "demo")
	machine := url.Values{"client_id": {"machine"}, "client_secret": {"machine-secret-0123"}}
	acting := two.token(t, clone(machine, "grant_type", "client_credentials"))
	code := p.allow(a.authorizationURL(), "demo").Get("code")
	const form = "application/x-www-form-urlencoded"
	public := url.Values{"client_id": {a.id}}

	st.redis.stop()
	for name, c := range map[string]*caddyServer{"one": one, "two": two} {
		for request, ask := range map[string]func() answer{
			"redeeming a code": func() answer {
				return c.do("POST", "/oauth/token", clone(public, "grant_type", "authorization_code", "code", code, "code_verifier", a.verifier, "redirect_uri", callback).Encode(), "Content-Type", form)
			},
			"refreshing": func() answer {
				return c.do("POST", "/oauth/token", clone(public, "grant_type", "refresh_token", "refresh_token", kept.Refresh).Encode(), "Content-Type", form)
			},
			"introspecting": func() answer {
				return c.do("POST", "/oauth/introspect", clone(machine, "token", kept.Access).Encode(), "Content-Type", form)
			},
			"introspecting a machine's token": func() answer {
				return c.do("POST", "/oauth/introspect", clone(machine, "token", acting.Access).Encode(), "Content-Type", form)
			},
			"revoking a refresh token": func() answer {
				return c.do("POST", "/oauth/revoke", clone(public, "token", revoked.Refresh).Encode(), "Content-Type", form)
			},
			"revoking an access token": func() answer {
				return c.do("POST", "/oauth/revoke", clone(public, "token", revoked.Access).Encode(), "Content-Type", form)
			},
			"revoking a machine's token": func() answer {
				return c.do("POST", "/oauth/revoke", clone(machine, "token", acting.Access).Encode(), "Content-Type", form)
			},
		} {
			if got := ask(); got.status != 503 || got.header.Get("Retry-After") == "" {
				t.Errorf("at %s, %s: got %d %s, want 503", name, request, got.status, got.body)
			}
		}
		if !c.passes(kept.Access) {
			t.Errorf("at %s: the front door refuses a token whose signature is good", name)
		}
	}
	if pg := p.get(one.URL + "/oauth/account"); pg.status != 503 || pg.button("signin") {
		t.Errorf("the account page: got %d %s, want 503", pg.status, pg.text())
	}
	if pg := p.get(a.authorizationURL("prompt", "none")); pg.status != 503 || pg.header.Get("Location") != "" {
		t.Errorf("an authorization request: got %d %s, want 503", pg.status, pg.header.Get("Location"))
	}

	st.redis.start()
	// Each notices by itself that it is back.
	for _, c := range []*caddyServer{one, two} {
		c.waitFor("the storage to be back", func() bool {
			return c.do("POST", "/oauth/introspect", clone(machine, "token", kept.Access).Encode(), "Content-Type", form).status == 200
		})
	}
	for name, token := range map[string]string{"kept": kept.Access, "not revoked after all": revoked.Access, "a machine's": acting.Access} {
		if got := two.introspect(t, token); got["active"] != true {
			t.Errorf("afterwards, a token (%s): got %v, want it active", name, got)
		}
	}
	if got := a.refresh(kept.Refresh); got.status != 200 {
		t.Errorf("afterwards, refreshing: %+v", got)
	}
	two.do("POST", "/oauth/revoke", clone(public, "token", revoked.Refresh).Encode(), "Content-Type", form)
	if got := one.introspect(t, revoked.Access); got["active"] != false {
		t.Errorf("afterwards, a revoked token: got %v", got)
	}
	if pg := p.get(one.URL + "/oauth/account"); pg.status != 200 || pg.button("signin") {
		t.Errorf("afterwards, the session: got %d %s", pg.status, pg.text())
	}
}

// Redis is killed and started while clients refresh their tokens: each is told to
// try again, or gets its tokens, and none loses its grant.
func TestRedisRestartsUnderLoad(t *testing.T) {
	t.Parallel()
	st := startRedis(t)
	one, two := st.startTwo(t, embedded)
	a := one.register(t, callback)
	p := one.person(t)
	grants := make([]tokenAnswer, 4)
	for i := range grants {
		grants[i] = a.signIn(p, "demo")
	}
	var refreshed, refused atomic.Int32
	stop := make(chan struct{})
	var wg sync.WaitGroup
	servers := []*caddyServer{one, two}
	for i := range grants {
		wg.Go(func() {
			for n := i; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				got, err := servers[n%2].tryToken(a.id, grants[i].Refresh)
				switch {
				case err == nil && got.status == 200:
					grants[i] = got
					refreshed.Add(1)
				case err == nil && got.status == 503:
					refused.Add(1)
				default:
					t.Errorf("grant %d: got %+v, %v", i, got, err)
					return
				}
			}
		})
	}
	for range 3 {
		before, told := refreshed.Load(), refused.Load()
		one.waitFor("tokens to be refreshed", func() bool { return refreshed.Load() > before+20 || t.Failed() })
		st.redis.stop()
		one.waitFor("clients to be told to try again", func() bool { return refused.Load() > told || t.Failed() })
		st.redis.start()
	}
	before := refreshed.Load()
	one.waitFor("tokens to be refreshed again", func() bool { return refreshed.Load() > before+20 || t.Failed() })
	close(stop)
	wg.Wait()
}
