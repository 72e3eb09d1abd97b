package oauth

import (
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// lives reports whether a grant's refresh token works, and its access token is
// active; the two agree.
func (f *fixture) lives(tokens answer) bool {
	f.t.Helper()
	active := post(f.t, f.Server, IntrospectPath, introspectForm(tokens.Access)).Active
	got := post(f.t, f.Server, TokenPath, refreshForm(tokens.Refresh))
	if refreshed := got.status == 200; refreshed != active || !refreshed && got.Error != "invalid_grant" {
		f.t.Errorf("active: %t, but refreshing: %d %s", active, got.status, got.body)
	}
	return active
}

func TestNewestGrants(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	other := testUser
	other.Subject = "grace"
	ofOther := func() answer {
		a, _, err := f.Authorize(t.Context(), testQuery().Encode())
		if err != nil {
			t.Fatal(err)
		}
		to, err := f.Approve(t.Context(), other, a)
		if err != nil {
			t.Fatal(err)
		}
		u, _ := url.Parse(to)
		return post(t, f.Server, TokenPath, redeemForm(u.Query().Get("code")))
	}()
	all := make([]answer, 0, maxGrants+5)
	for range cap(all) {
		all = append(all, f.tokens())
	}
	for i, tokens := range all {
		if got, want := f.lives(tokens), i >= 5; got != want {
			t.Errorf("grant %d of %d: lives: %t, want %t", i, len(all), got, want)
		}
	}
	if !f.lives(ofOther) {
		t.Error("another user's grant made room")
	}
	if n := len(f.store.Keys(grantsPrefix)); n != maxGrants+1 {
		t.Errorf("there are %d records, want %d", n, maxGrants+1)
	}
}

// Grants that have ended make room before those that live, however they ended.
func TestEndedGrantsMakeRoom(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.RefreshTokenLifetime = 2 * time.Hour })
	first := f.tokens()
	for range maxGrants {
		post(t, f.Server, RevokePath, url.Values{"client_id": {"app"}, "token": {f.tokens().Refresh}})
	}
	if !f.lives(first) {
		t.Error("a live grant made room for revoked ones")
	}
	f = newFixture(t, func(c *Config) { c.RefreshTokenLifetime = 2 * time.Hour })
	for range maxGrants {
		f.tokens()
	}
	f.clock.Advance(3 * time.Hour) // they end, without being removed
	fresh := f.tokens()
	for range maxGrants - 1 {
		f.tokens()
	}
	if !f.lives(fresh) {
		t.Error("a live grant made room for expired ones")
	}
}

// A refresh that was under way when its grant made room doesn't bring it back.
func TestRefreshDoesNotBringBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.tokens()
	key := f.store.Keys(grantsPrefix)[0]
	record, err := f.store.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	for range maxGrants {
		f.tokens()
	}
	if err := f.store.Store(t.Context(), key, record); err != nil {
		t.Fatal(err)
	}
	if f.lives(first) {
		t.Error("it lives")
	}
}

// That a record could not be removed doesn't keep its grant alive, and the new one
// is issued.
func TestGrantEndsThoughStored(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.tokens()
	for range maxGrants - 1 {
		f.tokens()
	}
	f.store.Fail(func(operation, key string) error {
		if operation == "delete" && strings.HasPrefix(key, grantsPrefix) {
			return errStore
		}
		return nil
	})
	last := f.tokens()
	f.store.Fail(nil)
	if f.lives(first) || !f.lives(last) {
		t.Error("the oldest lives, or the newest doesn't")
	}
}

// Without the list there are no tokens.
func TestUnlistedGrant(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	code := f.code()
	f.store.Fail(func(operation, key string) error {
		if operation == "store" && strings.HasPrefix(key, consentsPrefix) {
			return errStore
		}
		return nil
	})
	if got := post(t, f.Server, TokenPath, redeemForm(code)); got.status != 503 || got.Access != "" {
		t.Errorf("got %d %s, want 503", got.status, got.body)
	}
}

// However many begin at once, maxGrants live.
func TestNewestGrantsAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	codes := make([]string, maxGrants+10)
	for i := range codes {
		codes[i] = f.code()
	}
	all := make([]answer, len(codes))
	var wg sync.WaitGroup
	for i, code := range codes {
		wg.Go(func() { all[i] = post(t, f.Server, TokenPath, redeemForm(code)) })
	}
	wg.Wait()
	lives := 0
	for _, tokens := range all {
		if tokens.status != 200 {
			t.Errorf("redeeming: %d %s", tokens.status, tokens.body)
		}
		if f.lives(tokens) {
			lives++
		}
	}
	if lives != maxGrants {
		t.Errorf("%d live, want %d", lives, maxGrants)
	}
}
