package oauth

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"
)

// An assertion works once, at all servers on the store.
func TestIdentityAssertionOnce(t *testing.T) {
	t.Parallel()
	f := newEnterprise(t)
	other := f.with()
	raw := f.identity(nil)
	var wg sync.WaitGroup
	var mu sync.Mutex
	tokens := 0
	for i := range 8 {
		wg.Go(func() {
			s := f.Server
			if i%2 == 0 {
				s = other
			}
			got := post(t, s, TokenPath, identityForm(raw))
			mu.Lock()
			defer mu.Unlock()
			if got.status == 200 {
				tokens++
			} else if got.Error != "invalid_grant" {
				t.Errorf("got %d %s, want invalid_grant", got.status, got.body)
			}
		})
	}
	wg.Wait()
	if tokens != 1 {
		t.Errorf("got %d tokens, want 1", tokens)
	}
	// Another user's jti is another one.
	if got := post(t, f.Server, TokenPath, identityForm(f.identity(map[string]any{"jti": "1"}))); got.status != 200 {
		t.Errorf("ada's: got %d %s", got.status, got.body)
	}
	if got := post(t, f.Server, TokenPath, identityForm(f.identity(map[string]any{"jti": "1", "sub": "grace"}))); got.status != 200 {
		t.Errorf("grace's with ada's jti: got %d %s", got.status, got.body)
	}
	// A user with too many has to wait, and nobody else.
	full := used{IDs: make(map[string]int64), Until: f.clock.Now().Add(2 * time.Minute)}
	for i := range maxIdentityAssertions {
		full.IDs[usedID(string(rune(i)))] = f.clock.Now().Add(time.Minute).Unix()
	}
	record, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	f.store.Put(usedPrefix+hashed("user\n"+f.idp.Issuer()+"\nada"), record)
	if got := post(t, f.Server, TokenPath, identityForm(f.identity(nil))); got.status != 429 || got.header.Get("Retry-After") == "" {
		t.Errorf("full: got %d %s, want 429", got.status, got.body)
	}
	if got := post(t, f.Server, TokenPath, identityForm(f.identity(map[string]any{"sub": "grace"}))); got.status != 200 {
		t.Errorf("another user: got %d %s", got.status, got.body)
	}
	f.clock.Advance(24 * time.Hour)
	if err := f.Sweep(t.Context()); err != nil || len(f.store.Keys(usedPrefix))+len(f.store.Keys(grantsPrefix)) != 0 {
		t.Errorf("swept: %v, %v", f.store.Keys(""), err)
	}
}

// An outage is no refusal.
func TestIdentityAssertionAway(t *testing.T) {
	t.Parallel()
	f := newEnterprise(t)
	raw := f.identity(nil)
	away := f.with(func(c *Config) { c.Providers[0].Keys = publishedKeys{published{}, "https://idp.example/jwks"} })
	if got := post(t, away, TokenPath, identityForm(raw)); got.status != 503 || got.Error != "temporarily_unavailable" || got.header.Get("Retry-After") == "" {
		t.Errorf("keys: got %d %s, want 503", got.status, got.body)
	}
	if got := post(t, f.Server, TokenPath, identityForm(f.identity(map[string]any{"sub": "unknown"}))); got.status != 503 {
		t.Errorf("users: got %d %s, want 503", got.status, got.body)
	}
	for _, prefix := range []string{usedPrefix, grantsPrefix} {
		f.store.Fail(func(_, key string) error {
			if strings.HasPrefix(key, prefix) {
				return errStore
			}
			return nil
		})
		if got := post(t, f.Server, TokenPath, identityForm(f.identity(nil))); got.status != 503 || got.Access != "" {
			t.Errorf("store of %s: got %d %s, want 503", prefix, got.status, got.body)
		}
	}
	f.store.Fail(nil)
	if got := post(t, f.Server, TokenPath, identityForm(raw)); got.status != 200 {
		t.Errorf("afterwards: got %d %s", got.status, got.body)
	}
}

// What the operator takes away ends tokens from before, where this server is asked.
func TestIdentityAssertionToday(t *testing.T) {
	t.Parallel()
	f := newEnterprise(t)
	got := post(t, f.Server, TokenPath, identityForm(f.identity(nil)))
	if got.status != 200 {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	denied := func(context.Context, User) error { return errMayNot }
	for name, test := range map[string]struct {
		server *Server
		want   bool
	}{
		"nothing":        {f.with(), true},
		"the provider":   {f.again(), false},
		"the user":       {f.with(func(c *Config) { c.CheckUser = denied }), false},
		"the client":     {f.with(func(c *Config) { c.Clients = c.Clients[2:] }), false},
		"its secret":     {f.with(func(c *Config) { c.Clients[1].Secret = "" }), false},
		"its redirect":   {f.with(func(c *Config) { c.Clients[1].RedirectURIs = nil }), true},
		"the resource":   {f.with(func(c *Config) { c.Resources = []string{"https://as.example/other"} }), false},
		"all scopes":     {f.with(func(c *Config) { c.Scopes = []Scope{{Name: "other"}} }), false},
		"one scope":      {f.with(func(c *Config) { c.Scopes = c.Scopes[:1] }), true},
		"not the tokens": {f.Server, true},
	} {
		if got := post(t, test.server, IntrospectPath, introspectForm(got.Access)); got.Active != test.want || got.status != 200 {
			t.Errorf("%s: got %d %s, want active: %t", name, got.status, got.body, test.want)
		}
	}
	f.clock.Advance(DefaultAccessTokenLifetime)
	if post(t, f.Server, IntrospectPath, introspectForm(got.Access)).Active {
		t.Error("it is active after it has expired")
	}
}

func TestProvidersAreChecked(t *testing.T) {
	t.Parallel()
	f := newEnterprise(t)
	good := Provider{Issuer: "https://idp.example", Keys: f.fetched, User: enterpriseUser}
	own, noKeys, noUser, nameless := good, good, good, good
	own.Issuer, noKeys.Keys, noUser.User, nameless.Issuer = testIssuer, nil, nil, ""
	for name, providers := range map[string][]Provider{
		"itself": {own}, "no keys": {noKeys}, "no users": {noUser}, "no issuer": {nameless}, "twice": {good, good},
	} {
		config := f.config
		config.Providers = providers
		if _, err := New(config); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	document, err := f.metadata()
	var m map[string]any
	if err != nil || json.Unmarshal(document, &m) != nil {
		t.Fatal(err)
	}
	if got := texts(m["authorization_grant_profiles_supported"]); len(got) != 1 || got[0] != "urn:ietf:params:oauth:grant-profile:id-jag" {
		t.Errorf("got the profiles %q", got)
	}
	if got := texts(m["grant_types_supported"]); len(got) != 3 || got[2] != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		t.Errorf("got the grants %q", got)
	}
	document, err = f.again().metadata()
	if err != nil || strings.Contains(string(document), "jwt-bearer") || strings.Contains(string(document), "id-jag") {
		t.Errorf("without a provider: %s, %v", document, err)
	}
}
