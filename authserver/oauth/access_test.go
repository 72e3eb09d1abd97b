package oauth

import (
	"net/url"
	"reflect"
	"testing"
	"time"
)

// tokensOf has the user approve a request of the client, and redeems the code.
func (f *fixture) tokensOf(user User, client string) answer {
	f.t.Helper()
	a, _, err := f.Authorize(f.t.Context(), testQuery("client_id", client).Encode())
	if err != nil {
		f.t.Fatal(err)
	}
	to, err := f.Approve(f.t.Context(), user, a)
	if err != nil {
		f.t.Fatal(err)
	}
	u, err := url.Parse(to)
	if err != nil {
		f.t.Fatal(err)
	}
	form := redeemForm(u.Query().Get("code"))
	form.Set("client_id", client)
	if client == "backend" {
		form.Set("client_secret", "a-secret-of-the-backend")
	}
	got := post(f.t, f.Server, TokenPath, form)
	if got.status != 200 {
		f.t.Fatalf("redeeming: %d %s", got.status, got.body)
	}
	return got
}

// active reports whether an access token is active.
func (f *fixture) active(tokens answer) bool {
	f.t.Helper()
	return post(f.t, f.Server, IntrospectPath, introspectForm(tokens.Access)).Active
}

var grace = User{Subject: "github:7", Source: "github", Username: "grace", SignedIn: testUser.SignedIn}

// row is what of an [Access] can be compared.
type row struct {
	subject, username, client, provider string
	grants                              int
}

func (f *fixture) rows() (rows []row) {
	f.t.Helper()
	list, err := f.Access(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	for _, a := range list {
		rows = append(rows, row{a.Subject, a.Username, a.ClientID, a.Provider, a.Grants})
	}
	return rows
}

func TestAccess(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if got := f.rows(); len(got) != 0 {
		t.Errorf("at first: got %v", got)
	}
	user := grace
	user.SignedIn = f.clock.Now()
	f.tokens()
	began := f.clock.Now()
	f.clock.Advance(time.Minute)
	revoked := f.tokens()
	f.tokensOf(testUser, "backend")
	f.tokensOf(user, "app")
	want := []row{{"ada", "ada", "app", "", 2}, {"ada", "ada", "backend", "", 1}, {"github:7", "grace", "app", "", 1}}
	if got := f.rows(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	list, err := f.Access(t.Context())
	if err != nil || !reflect.DeepEqual(list[0].Scopes, map[string][]string{testResource: {"read"}}) || !list[0].Since.Equal(began) || !list[0].Used.Equal(f.clock.Now()) || list[0].Kind != PreRegistered {
		t.Errorf("got %+v, %v", list[0], err)
	}

	// What has ended doesn't count, and a damaged record doesn't hide the others.
	if got := post(t, f.Server, RevokePath, map[string][]string{"client_id": {"app"}, "token": {revoked.Refresh}}); got.status != 200 {
		t.Fatalf("got %d", got.status)
	}
	want[0].grants = 1
	if got := f.rows(); !reflect.DeepEqual(got, want) {
		t.Errorf("after a revocation: got %v, want %v", got, want)
	}
	f.clock.Advance(DefaultRefreshTokenLifetime)
	for i, got := range f.rows() {
		if got.grants != 0 || got.client != want[i].client {
			t.Errorf("after they expired: got %v, want no grants of %v", got, want[i])
		}
	}
	f.damage(consentsPrefix, "{")
	if got := f.rows(); len(got) != 0 {
		t.Errorf("damaged: got %v", got)
	}
}

func TestAccessWithoutTheStore(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.tokens()
	for _, op := range []string{"list", "load"} {
		f.store.Fail(func(got, _ string) error {
			if got == op {
				return errStore
			}
			return nil
		})
		if list, err := f.Access(t.Context()); err == nil {
			t.Errorf("%s fails: got %v, want an error", op, list)
		}
		if subjects, err := f.Subjects(t.Context(), "ada"); err == nil {
			t.Errorf("%s fails: got %v, want an error", op, subjects)
		}
		if ended, err := f.EndUser(t.Context(), "ada"); err == nil {
			t.Errorf("%s fails: got %v, want an error", op, ended)
		}
	}
}

// An employee leaves: sessions, refresh tokens and introspection end, and those of
// others stay.
func TestEndUser(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	user := grace
	user.SignedIn = f.clock.Now()
	mine, backend, others := f.tokens(), f.tokensOf(testUser, "backend"), f.tokensOf(user, "app")
	code := f.code()
	session, otherSession := f.session(testUser), f.session(user)

	ended, err := f.EndUser(t.Context(), "ada")
	if want := (Ended{Sessions: 1, Consents: 2, Grants: 2}); err != nil || ended != want {
		t.Errorf("got %+v, %v, want %+v", ended, err, want)
	}
	if f.lives(mine) || f.active(backend) {
		t.Error("a token still works")
	}
	if got := post(t, f.Server, TokenPath, redeemForm(code)); got.Error != "invalid_grant" {
		t.Errorf("a code still works: %d %s", got.status, got.body)
	}
	if f.signedIn(session) {
		t.Error("the session goes on")
	}
	if !f.lives(others) || !f.signedIn(otherSession) {
		t.Error("another user was signed out")
	}
	if ended, err := f.EndUser(t.Context(), "ada"); err != nil || ended != (Ended{}) {
		t.Errorf("again: got %+v, %v, want nothing", ended, err)
	}
	// Who may still sign in can come back.
	if !f.lives(f.tokens()) {
		t.Error("the user can't sign in again")
	}
}

func TestEndAccess(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	user := grace
	user.SignedIn = f.clock.Now()
	first, second, backend, others := f.tokens(), f.tokens(), f.tokensOf(testUser, "backend"), f.tokensOf(user, "app")
	session := f.session(testUser)
	for name, of := range map[string][2]string{"another client": {"ada", "nobody"}, "another user": {"eve", "app"}, "nothing": {"", ""}} {
		if ended, err := f.EndAccess(t.Context(), of[0], of[1]); err != nil || ended != (Ended{}) {
			t.Errorf("%s: got %+v, %v, want nothing", name, ended, err)
		}
	}
	ended, err := f.EndAccess(t.Context(), "ada", "app")
	if want := (Ended{Consents: 1, Grants: 2}); err != nil || ended != want {
		t.Errorf("got %+v, %v, want %+v", ended, err, want)
	}
	if f.lives(first) || f.lives(second) {
		t.Error("a token of the client still works")
	}
	if !f.active(backend) || !f.lives(others) || !f.signedIn(session) {
		t.Error("something else has ended")
	}
}

func TestSubjects(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.tokens()
	user := grace
	user.SignedIn = f.clock.Now()
	f.tokensOf(user, "app")
	user.Subject, user.Source = "company:grace", "company"
	f.session(user)
	user.Subject, user.Username = "grace2", "ada"
	f.session(user)
	for name, want := range map[string][]string{
		"ada":           {"ada"}, // a subject comes before a name
		"github:7":      {"github:7"},
		"grace":         {"company:grace", "github:7"},
		"company:grace": {"company:grace"},
		"grac":          nil,
		"":              nil,
	} {
		if got, err := f.Subjects(t.Context(), name); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %q, %v, want %q", name, got, err, want)
		}
	}
}

// Access that a provider has given is seen and ended too.
func TestAccessOfProviders(t *testing.T) {
	t.Parallel()
	f := newEnterprise(t)
	tokens := post(t, f.Server, TokenPath, identityForm(f.identity(nil)))
	want := []row{{"company:ada", "", "backend", f.idp.Issuer(), 1}}
	if got := f.rows(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	list, err := f.Access(t.Context())
	if err != nil || !reflect.DeepEqual(list[0].Scopes, map[string][]string{testResource: {"read", "write"}}) {
		t.Errorf("got %+v, %v", list[0], err)
	}
	if got, err := f.Subjects(t.Context(), "company:ada"); err != nil || !reflect.DeepEqual(got, []string{"company:ada"}) {
		t.Errorf("got %q, %v", got, err)
	}
	if ended, err := f.EndAccess(t.Context(), "company:ada", "backend"); err != nil || ended != (Ended{Grants: 1}) {
		t.Errorf("got %+v, %v, want a grant", ended, err)
	}
	if f.active(tokens) || len(f.rows()) != 0 {
		t.Error("the token is still active")
	}
}
