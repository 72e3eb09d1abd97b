package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/signing"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

func TestCodeLasts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	code := f.code()
	f.clock.Advance(codeLifetime - time.Second)
	if got := post(t, f.Server, TokenPath, redeemForm(code)); got.status != 200 {
		t.Errorf("a second before its end: %d %s", got.status, got.body)
	}
	code = f.code()
	f.clock.Advance(codeLifetime)
	if got := post(t, f.Server, TokenPath, redeemForm(code)); got.Error != "invalid_grant" {
		t.Errorf("at its end: %d %s, want invalid_grant", got.status, got.body)
	}
}

func TestRefreshTokenLasts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tokens := f.tokens()
	for range 3 { // the time starts again with each use
		f.clock.Advance(DefaultRefreshTokenLifetime - time.Second)
		if tokens = post(t, f.Server, TokenPath, refreshForm(tokens.Refresh)); tokens.status != 200 {
			t.Fatalf("before its end: %d %s", tokens.status, tokens.body)
		}
	}
	f.clock.Advance(DefaultRefreshTokenLifetime)
	if got := post(t, f.Server, TokenPath, refreshForm(tokens.Refresh)); got.Error != "invalid_grant" {
		t.Errorf("at its end: %d %s, want invalid_grant", got.status, got.body)
	}
}

// What an upstream said of a user, such as that they are of an organization, isn't
// believed forever: they have to sign in there again.
func TestUpstreamUsersComeBack(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{"": "", "github": "invalid_grant"} {
		f := newFixture(t)
		user := testUser
		user.Source, user.SignedIn = source, f.clock.Now()
		a, _, err := f.Authorize(t.Context(), testQuery().Encode())
		if err != nil {
			t.Fatal(err)
		}
		to, err := f.Approve(t.Context(), user, a)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		got := post(t, f.Server, TokenPath, redeemForm(u.Query().Get("code")))
		for range 3 {
			f.clock.Advance(DefaultRefreshTokenLifetime/3 - time.Second)
			if got = post(t, f.Server, TokenPath, refreshForm(got.Refresh)); got.status != 200 {
				t.Fatalf("%q: got %d %s", source, got.status, got.body)
			}
		}
		f.clock.Advance(3 * time.Second)
		if got = post(t, f.Server, TokenPath, refreshForm(got.Refresh)); got.Error != want {
			t.Errorf("%q: got %d %s, want %q", source, got.status, got.body, want)
		}
	}
}

// Within the grace a replaced refresh token gets the same replacement again, and
// nothing else does.
func TestRefreshTokenGrace(t *testing.T) {
	t.Parallel()
	const grace = time.Minute
	begin := func() (*fixture, answer, answer) {
		f := newFixture(t, func(c *Config) { c.RefreshTokenGrace = grace })
		first := f.tokens()
		f.clock.Advance(time.Hour)
		second := post(t, f.Server, TokenPath, refreshForm(first.Refresh))
		if second.status != 200 || second.Refresh == first.Refresh {
			t.Fatalf("refreshing: %d %s", second.status, second.body)
		}
		return f, first, second
	}
	refused := func(name string, f *fixture, value string) {
		t.Helper()
		if got := post(t, f.Server, TokenPath, refreshForm(value)); got.Error != "invalid_grant" {
			t.Errorf("%s: got %d %s, want invalid_grant", name, got.status, got.body)
		}
	}

	f, first, second := begin()
	for range 3 {
		f.clock.Advance(grace/3 - time.Second)
		again := post(t, f.Server, TokenPath, refreshForm(first.Refresh))
		if again.status != 200 || again.Refresh != second.Refresh || again.Access == second.Access || again.Scope != second.Scope {
			t.Errorf("in the grace: got %d %s, want the same refresh token", again.status, again.body)
		}
	}
	// The time doesn't start again; after it, this is an ordinary reuse.
	f.clock.Advance(3 * time.Second)
	refused("after the grace", f, first.Refresh)
	refused("the replacement, after the reuse", f, second.Refresh)

	// When the replacement has been used, nobody can have missed it.
	f, first, second = begin()
	third := post(t, f.Server, TokenPath, refreshForm(second.Refresh))
	if third.status != 200 {
		t.Fatalf("the replacement: %d %s", third.status, third.body)
	}
	refused("one before the last", f, first.Refresh)
	refused("the last, after the reuse", f, third.Refresh)

	// Another server on the store, another client, no grace.
	f, first, second = begin()
	if again := post(t, f.again(func(c *Config) { c.RefreshTokenGrace = grace }), TokenPath, refreshForm(first.Refresh)); again.Refresh != second.Refresh {
		t.Errorf("another server: got %d %s", again.status, again.body)
	}
	form := refreshForm(first.Refresh)
	form.Set("client_id", "backend")
	form.Set("client_secret", "a-secret-of-the-backend")
	if got := post(t, f.Server, TokenPath, form); got.Error != "invalid_grant" {
		t.Errorf("another client: got %d %s", got.status, got.body)
	}
	refused("without a grace", &fixture{Server: f.again(func(c *Config) { c.RefreshTokenGrace = -1 })}, first.Refresh)
	refused("the replacement, after the reuse", f, second.Refresh)

	// Processes that share a token meet.
	f = newFixture(t, func(c *Config) { c.RefreshTokenGrace = grace })
	shared := f.tokens().Refresh
	answers := make([]answer, 8)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i] = post(t, f.Server, TokenPath, refreshForm(shared)) })
	}
	wg.Wait()
	for _, got := range answers {
		if got.status != 200 || got.Refresh != answers[0].Refresh {
			t.Errorf("at once: got %d %s", got.status, got.body)
		}
	}
	if got := post(t, f.Server, TokenPath, refreshForm(answers[0].Refresh)); got.status != 200 {
		t.Errorf("then: got %d %s", got.status, got.body)
	}
}

func TestAccessTokenLasts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tokens := f.tokens()
	f.clock.Advance(DefaultAccessTokenLifetime - time.Second)
	if got := post(t, f.Server, IntrospectPath, introspectForm(tokens.Access)); !got.Active {
		t.Errorf("before its end: %s", got.body)
	}
	f.clock.Advance(2 * time.Second)
	if got := post(t, f.Server, IntrospectPath, introspectForm(tokens.Access)); got.Active || got.status != 200 {
		t.Errorf("after its end: %s", got.body)
	}
}

// A failing store causes 503, and nobody loses a grant.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"load", "store", "lock"} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			tokens := f.tokens()
			f.store.Fail(func(op, _ string) error {
				if op == operation {
					return errStore
				}
				return nil
			})
			got := post(t, f.Server, TokenPath, refreshForm(tokens.Refresh))
			if got.status != 503 || got.Error != "temporarily_unavailable" || got.header.Get("Retry-After") == "" || strings.Contains(got.body, "fire") {
				t.Errorf("refreshing: %d %s, want 503 that says nothing of the cause", got.status, got.body)
			}
			f.store.Fail(nil)
			if got := post(t, f.Server, TokenPath, refreshForm(tokens.Refresh)); got.status != 200 {
				t.Errorf("afterwards: %d %s", got.status, got.body)
			}
		})
	}
	t.Run("keys go on serving", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t)
		f.tokens()
		f.store.Fail(func(string, string) error { return errStore })
		f.clock.Advance(time.Hour)
		if got := f.keySet(f.Server); got == "" {
			t.Error("no keys")
		}
	})
}

func (f *fixture) keySet(s *Server) string {
	f.t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", testIssuer+KeysPath, nil))
	if w.Code != 200 {
		return ""
	}
	return w.Body.String()
}

// kid returns the key that an access token is signed with.
func kid(t *testing.T, access string) string {
	t.Helper()
	p, err := token.Present(access)
	if err != nil || p.JWS == nil {
		t.Fatalf("not a JWS: %v", err)
	}
	var header struct {
		Kid string `json:"kid"`
		Typ string `json:"typ"`
	}
	raw, _, _ := strings.Cut(access, ".")
	if err := json.Unmarshal(decode(t, raw), &header); err != nil || header.Typ != "at+jwt" {
		t.Fatalf("header %+v, %v", header, err)
	}
	return header.Kid
}

func TestKeysRotate(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tokens := f.tokens()
	first := kid(t, tokens.Access)

	f.clock.Advance(signing.Lifetime)
	set := f.keySet(f.Server)
	if n := strings.Count(set, `"kid"`); n != 2 {
		t.Fatalf("after %s there are %d keys, want the old and the new: %s", signing.Lifetime, n, set)
	}
	tokens = f.tokens()
	if got := kid(t, tokens.Access); got != first {
		t.Errorf("the new key signs before everybody has it")
	}
	f.clock.Advance(signing.Lead + time.Minute)
	old := tokens.Access
	tokens = f.tokens()
	second := kid(t, tokens.Access)
	if second == first {
		t.Error("the new key doesn't sign")
	}
	// Another server, and one after a restart, agree.
	if got := kid(t, post(t, f.again(), TokenPath, refreshForm(tokens.Refresh)).Access); got != second {
		t.Error("another server signs with another key")
	}
	_ = old
	if n := strings.Count(f.keySet(f.Server), `"kid"`); n != 2 {
		t.Errorf("the old key is gone while its tokens live: %d keys", n)
	}
	f.clock.Advance(DefaultAccessTokenLifetime + signing.After + time.Minute)
	if set := f.keySet(f.Server); strings.Count(set, `"kid"`) != 1 || strings.Contains(set, first) {
		t.Errorf("the old key stays: %s", set)
	}
	if keys := f.store.Keys(keysPrefix); len(keys) != 1 {
		t.Errorf("the store has %d keys, want 1", len(keys))
	}
}

// However many servers begin at once, they are one.
func TestOneKeyForAll(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	sets := make([]string, 8)
	var wg sync.WaitGroup
	for i := range sets {
		s := f.again()
		wg.Go(func() { sets[i] = f.keySet(s) })
	}
	wg.Wait()
	for _, set := range sets {
		if set != sets[0] || strings.Count(set, `"kid"`) != 1 {
			t.Errorf("got the key sets %q", sets)
			break
		}
	}
}

// What the store has lets nobody in who reads a part of it.
func TestNothingInTheClear(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	code := f.code()
	tokens := post(t, f.Server, TokenPath, redeemForm(code))
	unused := f.code()
	for key, record := range f.store.Records() {
		for name, secret := range map[string]string{"code": code, "unused code": unused, "access token": tokens.Access, "refresh token": tokens.Refresh, "a client's secret": "a-secret-of-the-backend"} {
			if strings.Contains(key+string(record), secret) {
				t.Errorf("%s is in the record %s", name, key)
			}
		}
	}
	// Signing keys are sealed: the record of one doesn't open with another secret.
	s := f.again(func(c *Config) { c.Secret = testMaster("another master secret, of 32 byte") })
	if set := f.keySet(s); set != "" {
		t.Errorf("with another secret the keys are %s", set)
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.tokens()
	f.code()
	if err := f.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(f.store.Keys(codesPrefix)) != 2 || len(f.store.Keys(grantsPrefix)) != 1 || len(f.store.Keys(consentsPrefix)) != 1 {
		t.Fatalf("swept what is alive: %q", f.store.Keys(""))
	}
	f.clock.Advance(time.Hour)
	f.store.Put(codesPrefix+"damaged", []byte("{"))
	if err := f.Sweep(t.Context()); err == nil {
		t.Error("nobody hears of a damaged record")
	}
	f.store.Remove(codesPrefix + "damaged")
	if keys := f.store.Keys(codesPrefix); len(keys) != 0 {
		t.Errorf("codes that are over stay, or are saved by a damaged one: %q", keys)
	}
	f.clock.Advance(DefaultRefreshTokenLifetime)
	if err := f.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if keys := f.store.Keys(grantsPrefix); len(keys) != 0 {
		t.Errorf("grants that are over stay: %q", keys)
	}
	f.clock.Advance(consentLifetime)
	if err := f.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if keys := f.store.Keys(consentsPrefix); len(keys) != 0 {
		t.Errorf("consents that nobody uses stay: %q", keys)
	}
}

// A user can't have more clients than fit on a page, nor fill the disk.
func TestConsentsAreBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) {
		for i := range maxConsents + 20 {
			c.Clients = append(c.Clients, Client{ID: fmt.Sprintf("app-%d", i), RedirectURIs: []string{testRedirect}})
		}
	})
	for i := range maxConsents + 20 {
		f.clock.Advance(time.Second)
		f.code("client_id", fmt.Sprintf("app-%d", i))
	}
	list, err := f.Consents(t.Context(), "ada")
	if err != nil || len(list) != maxConsents {
		t.Fatalf("%d consents, %v; want %d", len(list), err, maxConsents)
	}
	if list[0].ClientID != fmt.Sprintf("app-%d", maxConsents+19) || list[len(list)-1].ClientID != "app-20" {
		t.Errorf("kept %s to %s", list[0].ClientID, list[len(list)-1].ClientID)
	}
}

// Whether the user may still be here is asked at every renewal; not to know is
// no answer.
func TestCheckUser(t *testing.T) {
	t.Parallel()
	var answer error
	f := newFixture(t, func(c *Config) { c.CheckUser = func(context.Context, User) error { return answer } })
	tokens := f.tokens()
	answer = fmt.Errorf("asking: %w", &outbound.UnavailableError{Err: errors.New("away")})
	if got := post(t, f.Server, TokenPath, refreshForm(tokens.Refresh)); got.status != 503 {
		t.Errorf("nobody knows: %d %s, want 503", got.status, got.body)
	}
	answer = nil
	if tokens = post(t, f.Server, TokenPath, refreshForm(tokens.Refresh)); tokens.status != 200 {
		t.Fatalf("afterwards: %d %s", tokens.status, tokens.body)
	}
	answer = errStore
	if got := post(t, f.Server, TokenPath, refreshForm(tokens.Refresh)); got.Error != "invalid_grant" {
		t.Errorf("not welcome: %d %s, want invalid_grant", got.status, got.body)
	}
}
