package oauth

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

// Revoking does what it says for every kind of token, and for its owner only.
func TestRevocation(t *testing.T) {
	t.Parallel()
	change := func(c *Config) {
		c.Clients[1].ClientCredentials = true
		c.Clients = append(c.Clients, Client{ID: "machine", Secret: "a-secret-of-the-machine", ClientCredentials: true})
	}
	machine := url.Values{"client_id": {"machine"}, "client_secret": {"a-secret-of-the-machine"}}
	backend := url.Values{"client_id": {"backend"}, "client_secret": {"a-secret-of-the-backend"}}
	app := url.Values{"client_id": {"app"}}
	with := func(client url.Values, fields ...string) url.Values {
		form := url.Values{}
		for name, values := range client {
			form[name] = values
		}
		for i := 0; i < len(fields); i += 2 {
			form.Set(fields[i], fields[i+1])
		}
		return form
	}
	for _, test := range []struct {
		name   string
		by     url.Values
		token  string // access, refresh or machine
		hint   string
		active bool // afterwards
	}{
		{"an access token", app, "access", "", false},
		{"a refresh token", app, "refresh", "", false},
		{"a refresh token, hinted wrongly", app, "refresh", "access_token", false},
		{"a machine's token", machine, "machine", "", false},
		{"a machine's token, hinted", machine, "machine", "access_token", false},
		{"a machine's token, hinted wrongly", machine, "machine", "refresh_token", false},
		{"a hint that nobody knows", machine, "machine", "x", false},
		{"another's access token", backend, "access", "", true},
		{"another's refresh token", backend, "refresh", "", true},
		{"another machine's token", backend, "machine", "", true},
	} {
		f := newFixture(t, change)
		user := f.tokens()
		tokens := map[string]string{"access": user.Access, "refresh": user.Refresh}
		tokens["machine"] = post(t, f.Server, TokenPath, with(machine, "grant_type", clientCredentials)).Access
		other := post(t, f.Server, TokenPath, with(machine, "grant_type", clientCredentials)).Access
		form := with(test.by, "token", tokens[test.token])
		if test.hint != "" {
			form.Set("token_type_hint", test.hint)
		}
		if got := post(t, f.Server, RevokePath, form); got.status != 200 {
			t.Errorf("%s: got %d %s, want 200", test.name, got.status, got.body)
		}
		shown := tokens["access"]
		if test.token == "machine" {
			shown = tokens["machine"]
		}
		// Every server on the store knows.
		if got := post(t, f.again(change), IntrospectPath, introspectForm(shown)); got.Active != test.active {
			t.Errorf("%s: introspected %s, want active %t", test.name, got.body, test.active)
		}
		if got := post(t, f.Server, IntrospectPath, introspectForm(other)); !got.Active {
			t.Errorf("%s: another token went with it: %s", test.name, got.body)
		}
		if got := post(t, f.Server, TokenPath, refreshForm(user.Refresh)); (got.status == 200) != (test.active || test.token == "machine") {
			t.Errorf("%s: refreshing: %d %s", test.name, got.status, got.body)
		}
	}

	f := newFixture(t, change)
	access := post(t, f.Server, TokenPath, with(machine, "grant_type", clientCredentials)).Access
	for name, token := range map[string]string{"garbage": "x", "a forged one": access[:len(access)-4] + "AAAA", "a forged refresh token": refreshPrefix + strings.Repeat("A", refreshEncoded)} {
		if got := post(t, f.Server, RevokePath, with(machine, "token", token)); got.status != 200 {
			t.Errorf("%s: got %d %s, want 200", name, got.status, got.body)
		}
	}
	if keys := f.store.Keys(revokedPrefix); len(keys) != 0 {
		t.Errorf("what is no token leaves %q", keys)
	}
	if got := post(t, f.Server, RevokePath, with(machine, "token", access)); got.status != 200 {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	f.store.Fail(func(op, _ string) error {
		if op == "load" {
			return errStore
		}
		return nil
	})
	if got := post(t, f.Server, IntrospectPath, introspectForm(access)); got.status != 503 {
		t.Errorf("without the store: got %d %s, want 503", got.status, got.body)
	}
	f.store.Fail(nil)
	f.clock.Advance(DefaultAccessTokenLifetime + revokedMemory + time.Second)
	if err := f.Sweep(t.Context()); err != nil || len(f.store.Keys(revokedPrefix)) != 0 {
		t.Errorf("what has expired stays: %q, %v", f.store.Keys(revokedPrefix), err)
	}
}
