package oauth

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// damage spoils all records of a kind.
func (f *fixture) damage(prefix, with string) {
	f.t.Helper()
	keys := f.store.Keys(prefix)
	if len(keys) == 0 {
		f.t.Fatalf("there are no %s", prefix)
	}
	for _, key := range keys {
		f.store.Put(key, []byte(with))
	}
}

// A damaged record gives nothing, and stands in nobody's way.
func TestDamagedRecords(t *testing.T) {
	t.Parallel()
	for _, with := range []string{"", "{", "null", "[]", `"x"`, `{"user":1}`, "\x00\x00\x00"} {
		f := newFixture(t)
		got := f.tokens()
		f.damage(grantsPrefix, with)
		if a := post(t, f.Server, TokenPath, refreshForm(got.Refresh)); a.status != 400 || a.Error != "invalid_grant" {
			t.Errorf("%q for a grant: the refresh got %d %s, want invalid_grant", with, a.status, a.body)
		}
		if a := post(t, f.Server, IntrospectPath, introspectForm(got.Access)); a.status != 200 || a.Active {
			t.Errorf("%q for a grant: introspection got %d %s, want inactive", with, a.status, a.body)
		}

		got = f.tokens()
		f.damage(consentsPrefix, with)
		if a := post(t, f.Server, TokenPath, refreshForm(got.Refresh)); a.status != 400 || a.Error != "invalid_grant" {
			t.Errorf("%q for a consent: the refresh got %d %s, want invalid_grant", with, a.status, a.body)
		}
		if list, err := f.Consents(t.Context(), testUser.Subject); err != nil || len(list) != 0 {
			t.Errorf("%q for a consent: the account page got %v, %v, want none", with, list, err)
		}
		f.tokens() // the user allows it again

		code := f.code()
		f.damage(codesPrefix, with)
		if a := post(t, f.Server, TokenPath, redeemForm(code)); a.status != 400 || a.Error != "invalid_grant" {
			t.Errorf("%q for a code: got %d %s, want invalid_grant", with, a.status, a.body)
		}

		id, err := f.StartSession(t.Context(), testUser, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		f.damage(sessionsPrefix, with)
		if user, err := f.SessionUser(t.Context(), id, time.Hour); user != nil || err != nil {
			t.Errorf("%q for a session: got %v, %v, want nobody", with, user, err)
		}

		f.damage(keysPrefix, with)
		f.clock.Advance(time.Hour)
		if a := post(t, f.Server, TokenPath, redeemForm(f.code())); a.status != 200 {
			t.Errorf("%q for a signing key: got %d %s", with, a.status, a.body)
		}
		if with != "null" && !slices.ContainsFunc(f.events, func(e Event) bool { return strings.Contains(e.Warning, "damaged") }) {
			t.Errorf("%q: no operator hears of it", with)
		}
	}
}

// What says that a token was revoked is no reason to believe in the token when it
// can't be read.
func TestDamagedRevocation(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) {
		c.Clients = append(c.Clients, Client{ID: "robot", Secret: "a-secret-of-the-robot", ClientCredentials: true})
	})
	form := map[string][]string{"grant_type": {"client_credentials"}, "client_id": {"robot"}, "client_secret": {"a-secret-of-the-robot"}}
	got := post(t, f.Server, TokenPath, form)
	form = map[string][]string{"client_id": {"robot"}, "client_secret": {"a-secret-of-the-robot"}, "token": {got.Access}}
	if a := post(t, f.Server, RevokePath, form); a.status != 200 {
		t.Fatalf("revoking: got %d %s", a.status, a.body)
	}
	for _, with := range []string{"", "{", "[]", "null", "{}"} {
		f.damage(revokedPrefix, with)
		if a := post(t, f.Server, IntrospectPath, introspectForm(got.Access)); a.Active {
			t.Errorf("%q: the revoked token is active", with)
		}
	}
}
