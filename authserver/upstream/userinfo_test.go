package upstream_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

func TestUserInfo(t *testing.T) {
	t.Parallel()
	type claims = map[string]any
	json := func(body string) http.HandlerFunc { return answer(http.StatusOK, "application/json", body) }
	for _, test := range []struct {
		name     string
		claims   claims // of the ID token, which has the name Ada
		handler  http.HandlerFunc
		email    string
		verified bool
	}{
		{"e-mail only there", nil, json(`{"sub":"u1","email":"ada@example.org","email_verified":true}`), "ada@example.org", true},
		{"verified as a text", nil, json(`{"sub":"u1","email":"ada@example.org","email_verified":"true"}`), "ada@example.org", true},
		{"not verified", nil, json(`{"sub":"u1","email":"ada@example.org","email_verified":false}`), "ada@example.org", false},
		{"does not say whether it is verified", nil, json(`{"sub":"u1","email":"ada@example.org"}`), "ada@example.org", false},
		{"of another sub", nil, json(`{"sub":"u2","email":"eve@example.org","email_verified":true}`), "", false},
		{"without a sub", nil, json(`{"email":"eve@example.org","email_verified":true}`), "", false},
		{"sub in upper case", nil, json(`{"sub":"U1","email":"eve@example.org","email_verified":true}`), "", false},
		{"500", nil, answer(http.StatusInternalServerError, "text/plain", "sesame"), "", false},
		{"401", nil, answer(http.StatusUnauthorized, "application/json", `{"sub":"u1","email":"eve@example.org"}`), "", false},
		{"HTML", nil, answer(http.StatusOK, "text/html", "<p>sesame"), "", false},
		{"a list", nil, json(`[{"sub":"u1","email":"eve@example.org"}]`), "", false},
		{"broken off", nil, brokenOff, "", false},
		{"too much", nil, json(`{"sub":"u1","x":"` + strings.Repeat("x", 1<<20) + `","email":"eve@example.org"}`), "", false},
		{
			"the ID token goes first",
			claims{"name": nil, "email": "ada@example.com", "email_verified": false},
			json(`{"sub":"u1","email":"eve@example.org","email_verified":true}`),
			"ada@example.com", false,
		},
		{
			// What userinfo says of its own address says nothing of another.
			"vouches for another address than the ID token's",
			claims{"name": nil, "email": "ada@example.com"},
			json(`{"sub":"u1","email":"eve@example.org","email_verified":true}`),
			"ada@example.com", false,
		},
		{
			"vouches for no address",
			claims{"name": nil, "email": "ada@example.com"},
			json(`{"sub":"u1","email_verified":true}`),
			"ada@example.com", false,
		},
		{
			"vouches for the ID token's address",
			claims{"name": nil, "email": "ada@example.com"},
			json(`{"sub":"u1","email":"ada@example.com","email_verified":true}`),
			"ada@example.com", true,
		},
		{
			"the ID token vouches for an address that it does not have",
			claims{"email_verified": true},
			json(`{"sub":"u1","email":"eve@example.org"}`),
			"eve@example.org", false,
		},
		{
			"addresses that are none",
			claims{"name": nil, "email": []string{"ada@example.com"}},
			json(`{"sub":"u1","email":["ada@example.com"],"email_verified":true}`),
			"", false,
		},
		{
			"the ID token's address is null",
			claims{"email": any(null{})},
			json(`{"sub":"u1","email":"ada@example.org","email_verified":true}`),
			"ada@example.org", true,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newOP(t)
			f.claims = claims{"email": nil, "email_verified": nil}
			for name, value := range test.claims {
				f.claims[name] = value
			}
			f.handle(userInfoPath, func(w http.ResponseWriter, r *http.Request) {
				if got, want := r.Header.Get("Authorization"), "Bearer "+accessToken; got != want {
					t.Errorf("got the Authorization %q, want %q", got, want)
				}
				test.handler(w, r)
			})
			id, err := f.signIn(t, f.oidc(t, nil), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := f.count(userInfoPath), 1; got != want {
				t.Errorf("got %d requests to userinfo, want %d", got, want)
			}
			if id.Subject != "u1" || id.Email != test.email || id.EmailVerified != test.verified {
				t.Errorf("got %q with %q, verified %v, want u1 with %q, %v", id.Subject, id.Email, id.EmailVerified, test.email, test.verified)
			}
		})
	}
}

// null is a claim that is there, and null.
type null struct{}

func (null) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

// TestUserInfoOverwritesNothing: not the subject, and no claim that rules look at.
func TestUserInfoOverwritesNothing(t *testing.T) {
	t.Parallel()
	f := newOP(t)
	f.claims = map[string]any{"name": nil, "groups": []string{"users"}, "role": "user"}
	f.handle(userInfoPath, answer(http.StatusOK, "application/json",
		`{"sub":"u1","name":"Ada L.","preferred_username":"root","groups":["admins"],"role":"admin","more":"x","iss":"https://evil.example"}`))
	id, err := f.signIn(t, f.oidc(t, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	if id.Username != "ada" || id.Name != "Ada L." || len(id.Groups) != 1 || id.Groups[0] != "users" ||
		id.Claims["role"] != "user" || id.Claims["more"] != "x" || id.Claims["iss"] != f.issuer {
		t.Errorf("got %+v, want only the name and more from userinfo", id)
	}
}

func TestUserInfoNotAsked(t *testing.T) {
	t.Parallel()
	f := newOP(t)
	delete(f.metadata, "userinfo_endpoint")
	f.claims = map[string]any{"email": nil}
	id, err := f.signIn(t, f.oidc(t, nil), nil)
	if err != nil || id.Subject != "u1" || id.Email != "" {
		t.Errorf("got %+v, %v, want u1 without an e-mail", id, err)
	}
	if got := f.count(userInfoPath); got != 0 {
		t.Errorf("got %d requests to userinfo, want 0", got)
	}
}

func TestUserInfoSigned(t *testing.T) {
	t.Parallel()
	for _, forged := range []bool{false, true} {
		f := newOP(t)
		f.claims = map[string]any{"email": nil}
		f.handle(userInfoPath, func(w http.ResponseWriter, r *http.Request) {
			key := f.key
			if forged {
				key = newKey(t)
			}
			body := signed(t, jose.ES256, key, f.kid, map[string]any{"sub": "u1", "email": "ada@example.org"})
			answer(http.StatusOK, "application/jwt", body)(w, r)
		})
		want := "ada@example.org"
		if forged {
			want = ""
		}
		id, err := f.signIn(t, f.oidc(t, nil), nil)
		if err != nil || id.Email != want {
			t.Errorf("forged %v: got %q, %v, want %q", forged, id.Email, err, want)
		}
	}
}
