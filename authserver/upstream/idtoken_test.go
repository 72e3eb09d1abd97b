package upstream_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/upstream"
)

// unsigned is a token with the algorithm none.
func unsigned(t testing.TB, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none"}`)) + "." + encode(payload) + "."
}

// TestIDTokenRefused: each breaks only the one rule that it is named after.
func TestIDTokenRefused(t *testing.T) {
	t.Parallel()
	type claims = map[string]any
	for _, test := range []struct {
		name   string
		claims claims
		sign   func(f *fakeOP) func(testing.TB, map[string]any) string
	}{
		{"missing", nil, func(*fakeOP) func(testing.TB, map[string]any) string {
			return func(testing.TB, map[string]any) string { return "" }
		}},
		{"nonce of another sign-in", claims{"nonce": "sesame"}, nil},
		{"no nonce", claims{"nonce": nil}, nil},
		{"empty nonce", claims{"nonce": ""}, nil},
		{"aud of another client", claims{"aud": "other"}, nil},
		{"aud list of others", claims{"aud": []string{"other", "caddy2"}}, nil},
		{"no aud", claims{"aud": nil}, nil},
		{"iss of another server", claims{"iss": "https://evil.example"}, nil},
		{"no iss", claims{"iss": nil}, nil},
		{"expired", claims{"exp": time.Now().Add(-time.Second).Unix()}, nil},
		{"no exp", claims{"exp": nil}, nil},
		{"not yet valid", claims{"nbf": time.Now().Add(time.Hour).Unix()}, nil},
		{"no sub", claims{"sub": nil}, nil},
		{"empty sub", claims{"sub": ""}, nil},
		{"sub is a number", claims{"sub": 7}, nil},
		{"not a token", nil, func(*fakeOP) func(testing.TB, map[string]any) string {
			return func(testing.TB, map[string]any) string { return "sesame.sesame.sesame" }
		}},
		{"alg none", nil, func(*fakeOP) func(testing.TB, map[string]any) string { return unsigned }},
		{"alg none with the signature of another", nil, func(f *fakeOP) func(testing.TB, map[string]any) string {
			return func(t testing.TB, claims map[string]any) string {
				signed := f.es256(t, claims)
				return unsigned(t, claims) + signed[strings.LastIndexByte(signed, '.')+1:]
			}
		}},
		{"HS256 with the client secret", nil, func(f *fakeOP) func(testing.TB, map[string]any) string {
			return func(t testing.TB, claims map[string]any) string {
				// As long as go-jose wants them.
				return signed(t, jose.HS256, []byte(clientSecret+strings.Repeat("\x00", 32)), f.kid, claims)
			}
		}},
		{"unknown key", nil, func(*fakeOP) func(testing.TB, map[string]any) string {
			return func(t testing.TB, claims map[string]any) string {
				return signed(t, jose.ES256, newKey(t), "2", claims)
			}
		}},
		{"another key of the same name", nil, func(f *fakeOP) func(testing.TB, map[string]any) string {
			return func(t testing.TB, claims map[string]any) string {
				return signed(t, jose.ES256, newKey(t), f.kid, claims)
			}
		}},
		{"payload changed", nil, func(f *fakeOP) func(testing.TB, map[string]any) string {
			return func(t testing.TB, claims map[string]any) string {
				good := strings.Split(f.es256(t, claims), ".")
				claims["sub"] = "admin"
				return good[0] + "." + strings.Split(f.es256(t, claims), ".")[1] + "." + good[2]
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newOP(t)
			f.claims = test.claims
			if test.sign != nil {
				f.sign = test.sign(f)
			}
			id, err := f.signIn(t, f.oidc(t, nil), nil)
			checkRefused(t, id, err, "invalid")
			if got := f.count(userInfoPath); got != 0 {
				t.Errorf("got %d requests to userinfo, want 0", got)
			}
		})
	}
}

func TestIDTokenAccepted(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		claims map[string]any
	}{
		{"as it comes", nil},
		{"one of several audiences", map[string]any{"aud": []string{"other", clientID}}},
		{"a clock that is a little ahead", map[string]any{"nbf": time.Now().Add(time.Minute).Unix()}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newOP(t)
			f.claims = test.claims
			id, err := f.signIn(t, f.oidc(t, nil), nil)
			if err != nil {
				t.Fatal(err)
			}
			if id.Subject != "u1" || id.Username != "ada" || id.Name != "Ada" || id.Email != "ada@example.com" || !id.EmailVerified {
				t.Errorf("got %+v, want ada", id)
			}
			if got := f.count(userInfoPath); got != 0 {
				t.Errorf("got %d requests to userinfo, want 0: the ID token says it all", got)
			}
		})
	}
}

func TestIDTokenExpiryByInjectedClock(t *testing.T) {
	t.Parallel()
	f := newOP(t)
	o := f.oidc(t, func(c *upstream.OIDCConfig) { c.Now = func() time.Time { return time.Now().Add(10 * time.Minute) } })
	id, err := f.signIn(t, o, nil)
	checkRefused(t, id, err, "invalid")
}

func TestEmailVerified(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		value any
		want  bool
	}{
		{"true", true, true},
		{"text true", "true", true},
		{"false", false, false},
		{"text false", "false", false},
		{"absent", nil, false},
		{"one", 1, false},
		{"text 1", "1", false},
		{"text TRUE", "TRUE", false},
		{"list", []any{true}, false},
		{"empty", "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newOP(t)
			f.claims = map[string]any{"email_verified": test.value}
			id, err := f.signIn(t, f.oidc(t, nil), nil)
			if err != nil {
				t.Fatal(err)
			}
			if id.EmailVerified != test.want || id.Email != "ada@example.com" {
				t.Errorf("got %q, verified %v, want ada@example.com, %v", id.Email, id.EmailVerified, test.want)
			}
		})
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		groups any
		want   []string
	}{
		{"list", []any{"a", "B"}, []string{"a", "B"}},
		{"other things in the list", []any{"a", 1, nil, []any{"b"}, map[string]any{"c": "c"}}, []string{"a"}},
		{"a text is no list", "admins", nil},
		{"absent", nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newOP(t)
			f.claims = map[string]any{"groups": test.groups}
			id, err := f.signIn(t, f.oidc(t, nil), nil)
			if err != nil || !slices.Equal(id.Groups, test.want) {
				t.Errorf("got %q, %v, want %q", id.Groups, err, test.want)
			}
		})
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	t.Run("a new key is fetched, a known one is not", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			f := prepareOP(t, "https://op.example")
			o := f.oidc(t, nil)
			for i, want := range []int{1, 1, 2} {
				time.Sleep(time.Minute)
				if i == 2 {
					f.change(func() { f.key, f.kid = newKey(t), "2" })
				}
				if _, err := f.signIn(t, o, nil); err != nil {
					t.Fatalf("sign-in %d: %v", i, err)
				}
				if got := f.count(jwksPath); got != want {
					t.Errorf("sign-in %d: got %d fetches of the keys, want %d", i, got, want)
				}
			}
		})
	})
	for name, handler := range map[string]http.HandlerFunc{
		"500":        answer(http.StatusInternalServerError, "text/plain", "sesame"),
		"HTML":       answer(http.StatusOK, "text/html", "<p>sesame"),
		"broken off": brokenOff,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newOP(t)
			now := time.Now()
			o := f.oidc(t, func(c *upstream.OIDCConfig) { c.Now = func() time.Time { return now } })
			good := f.handlers[jwksPath]
			f.handle(jwksPath, handler)
			id, err := f.signIn(t, o, nil)
			checkRefused(t, id, err, "unavailable")
			if name == "500" && !strings.Contains(err.Error(), "500") {
				t.Errorf("got %q, want the status in it", err)
			}
			f.handle(jwksPath, good)
			now = now.Add(time.Second)
			if _, err := f.signIn(t, o, nil); err != nil {
				t.Errorf("got %v after the keys came back, want none", err)
			}
		})
	}
}

// What the provider says of the time of the sign-in is checked if max_age was sent.
func TestAuthTime(t *testing.T) {
	t.Parallel()
	ago := func(d time.Duration) any { return time.Now().Add(-d).Unix() }
	for _, test := range []struct {
		name   string
		maxAge *int64
		claim  any
		want   string
	}{
		{"not asked for", nil, nil, "none"},
		{"not asked for, long ago", nil, ago(48 * time.Hour), "none"},
		{"just now", new(int64(600)), ago(0), "none"},
		{"within max_age", new(int64(600)), ago(9 * time.Minute), "none"},
		{"a clock that differs a little", new(int64(0)), ago(30 * time.Second), "none"},
		{"a fraction", new(int64(600)), float64(time.Now().Unix()) + 0.5, "none"},
		{"older than max_age", new(int64(600)), ago(12 * time.Minute), "invalid"},
		{"older than now", new(int64(0)), ago(2 * time.Minute), "invalid"},
		{"in the future", new(int64(600)), ago(-2 * time.Minute), "invalid"},
		{"missing", new(int64(600)), nil, "invalid"},
		{"a text", new(int64(600)), "1795176300", "invalid"},
		{"true", new(int64(600)), true, "invalid"},
	} {
		f := newOP(t)
		f.claims = map[string]any{"auth_time": test.claim}
		o := f.oidc(t, nil)
		address, p, err := o.Begin(t.Context(), redirectURI, upstream.Wish{MaxAge: test.maxAge})
		if err != nil {
			t.Fatal(err)
		}
		got, sent := f.authorize(t, address)["max_age"]
		if sent != (test.maxAge != nil) || sent && got[0] != strconv.FormatInt(*test.maxAge, 10) {
			t.Errorf("%s: got max_age=%q sent %t", test.name, got, sent)
		}
		id, err := o.Finish(t.Context(), redirectURI, p, url.Values{"state": {p.State}, "code": {code}})
		if got := kind(err); got != test.want || (id.Subject != "") != (test.want == "none") {
			t.Errorf("%s: got %q, %s (%v), want %s", test.name, id.Subject, got, err, test.want)
		}
	}
}
