package assertion_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/assertion"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

const (
	resource = "https://mcp.example.com/mcp"
	audience = "https://backend.internal"
	issuer   = "https://auth.example.com"
)

var key = func() jose.JSONWebKey {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return jose.JSONWebKey{Key: private, KeyID: "the-key", Algorithm: "ES256"}
}()

// signer returns a signer by the clock of the test's bubble.
func signer(t *testing.T, change ...func(*assertion.SignerConfig)) *assertion.Signer {
	t.Helper()
	config := assertion.SignerConfig{
		Config: assertion.Config{Resource: resource, Audience: audience},
		Key:    func(context.Context, time.Time) (jose.JSONWebKey, error) { return key, nil },
	}
	for _, f := range change {
		f(&config)
	}
	s, err := assertion.NewSigner(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// verdict is one on an opaque token.
func verdict(subject, claims string, expiry time.Time) *token.Reader {
	return token.NewReader(token.New(token.Token{Issuer: issuer, Subject: subject, ClientID: "client", Scopes: []string{"a", "b"}, Expiry: expiry}, []byte(claims)))
}

// read checks the signature and returns header and claims.
func read(t *testing.T, text string) (jose.Header, map[string]any) {
	t.Helper()
	jws, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := jws.Verify(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return jws.Signatures[0].Header, claims
}

func TestContents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().Unix()
		all := `{"email":"ada@example.com","groups":["x","y"],"realm_access":{"roles":["r"]},"nothing":null,"n":12345678901234567890,"secret":"s"}`
		for _, tc := range []struct {
			name   string
			change func(*assertion.SignerConfig)
			of     *token.Reader
			typ    string
			want   map[string]any
		}{
			{
				"nothing chosen", func(*assertion.SignerConfig) {}, verdict("ada", all, time.Time{}), "JWT",
				map[string]any{"exp": now + 60, "client_id": "client", "scope": "a b"},
			},
			{
				"an access token", func(c *assertion.SignerConfig) { c.AccessToken = true }, verdict("ada", all, time.Time{}), "at+jwt",
				map[string]any{"exp": now + 60, "client_id": "client", "scope": "a b"},
			},
			{
				"chosen claims", func(c *assertion.SignerConfig) {
					c.Claims = []string{"email", "groups", "realm_access.roles", "nothing", "absent", "n"}
				}, verdict("ada", all, time.Time{}), "JWT",
				map[string]any{
					"exp": now + 60, "client_id": "client", "scope": "a b",
					"email": "ada@example.com", "groups": []any{"x", "y"}, "realm_access.roles": []any{"r"}, "n": 12345678901234567890.0,
				},
			},
			{
				"never longer than the token", func(c *assertion.SignerConfig) { c.Lifetime = time.Minute * 5 },
				verdict("ada", "{}", time.Now().Add(90*time.Second+300*time.Millisecond)), "JWT",
				map[string]any{"exp": now + 90, "client_id": "client", "scope": "a b"},
			},
			{
				"a token that says little", func(*assertion.SignerConfig) {},
				token.NewReader(token.New(token.Token{Issuer: issuer, Subject: "ada"}, []byte("{}"))), "JWT",
				map[string]any{"exp": now + 60},
			},
		} {
			text, err := signer(t, tc.change).For(t.Context(), "raw", tc.of)
			if err != nil {
				t.Fatalf("%s: %v", tc.name, err)
			}
			header, got := read(t, text)
			if header.KeyID != "the-key" || header.Algorithm != "ES256" || header.ExtraHeaders["typ"] != tc.typ {
				t.Errorf("%s: got the header %+v", tc.name, header)
			}
			want := map[string]any{
				"iss": resource, "aud": audience, "sub": "ada", "iat": now,
				"sub_id": map[string]any{"format": "iss_sub", "iss": issuer, "sub": "ada"},
			}
			maps.Copy(want, tc.want)
			if jti, ok := got["jti"].(string); !ok || len(jti) < 20 {
				t.Errorf("%s: got jti %v", tc.name, got["jti"])
			}
			delete(got, "jti")
			if fmt.Sprint(got) != fmt.Sprint(asFloats(want)) {
				t.Errorf("%s: got %v, want %v", tc.name, got, want)
			}
		}
	})
}

// asFloats has numbers as encoding/json reads them.
func asFloats(m map[string]any) map[string]any {
	for name, value := range m {
		if n, ok := value.(int64); ok {
			m[name] = float64(n)
		}
	}
	return m
}

func TestNewSignerRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*assertion.SignerConfig)
		want   string
	}{
		"no resource":               {func(c *assertion.SignerConfig) { c.Resource = "" }, "no resource"},
		"no audience":               {func(c *assertion.SignerConfig) { c.Audience = "" }, "name the server behind"},
		"the resource as audience":  {func(c *assertion.SignerConfig) { c.Audience = resource }, "choose another name"},
		"too short":                 {func(c *assertion.SignerConfig) { c.Lifetime = 9 * time.Second }, "between 10s and 10m0s"},
		"too long":                  {func(c *assertion.SignerConfig) { c.Lifetime = 601 * time.Second }, "between 10s and 10m0s"},
		"negative":                  {func(c *assertion.SignerConfig) { c.Lifetime = -time.Minute }, "between 10s and 10m0s"},
		"a claim without a name":    {func(c *assertion.SignerConfig) { c.Claims = []string{""} }, "no name"},
		"a claim given twice":       {func(c *assertion.SignerConfig) { c.Claims = []string{"email", "email"} }, "given twice"},
		"no key":                    {func(c *assertion.SignerConfig) { c.Key = nil }, "no key"},
		"the issuer to be copied":   {func(c *assertion.SignerConfig) { c.Claims = []string{"email", "iss"} }, "meaning of its own"},
		"the subject to be copied":  {func(c *assertion.SignerConfig) { c.Claims = []string{"sub"} }, "meaning of its own"},
		"the audience to be copied": {func(c *assertion.SignerConfig) { c.Claims = []string{"aud"} }, "meaning of its own"},
		"the expiry to be copied":   {func(c *assertion.SignerConfig) { c.Claims = []string{"exp"} }, "meaning of its own"},
		"a key to be copied":        {func(c *assertion.SignerConfig) { c.Claims = []string{"cnf"} }, "meaning of its own"},
		"an actor to be copied":     {func(c *assertion.SignerConfig) { c.Claims = []string{"act"} }, "meaning of its own"},
	} {
		config := assertion.SignerConfig{
			Config: assertion.Config{Resource: resource, Audience: audience},
			Key:    func(context.Context, time.Time) (jose.JSONWebKey, error) { return key, nil },
		}
		tc.change(&config)
		if s, err := assertion.NewSigner(config); err == nil || s != nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want an error about %q", name, err, tc.want)
		}
	}
}

func TestSignerRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		big := `{"groups":["` + strings.Repeat("x", assertion.MaxSize) + `"]}`
		away := errors.New("away")
		for _, tc := range []struct {
			name   string
			change func(*assertion.SignerConfig)
			of     *token.Reader
			want   error
		}{
			{"a token that has just expired", func(*assertion.SignerConfig) {}, verdict("ada", "{}", time.Now()), assertion.ErrExpired},
			{"one that expired a while ago", func(*assertion.SignerConfig) {}, verdict("ada", "{}", time.Now().Add(-time.Minute)), assertion.ErrExpired},
			{"one with less than a second", func(*assertion.SignerConfig) {}, verdict("ada", "{}", time.Now().Add(time.Second/2)), assertion.ErrExpired},
			{"too much to say", func(c *assertion.SignerConfig) { c.Claims = []string{"groups"} }, verdict("ada", big, time.Time{}), assertion.ErrTooLarge},
			{
				"no key", func(c *assertion.SignerConfig) {
					c.Key = func(context.Context, time.Time) (jose.JSONWebKey, error) { return jose.JSONWebKey{}, away }
				}, verdict("ada", "{}", time.Time{}), away,
			},
		} {
			var seen []error
			s := signer(t, tc.change, func(c *assertion.SignerConfig) { c.OnSign = func(err error) { seen = append(seen, err) } })
			for range 2 { // nor is a refusal kept
				if text, err := s.For(t.Context(), "raw", tc.of); text != "" || !errors.Is(err, tc.want) {
					t.Errorf("%s: got %q, %v, want %v", tc.name, text, err, tc.want)
				}
			}
			if _, ok := errors.AsType[*outbound.UnavailableError](seen[0]); len(seen) != 2 || ok != (tc.want == away) {
				t.Errorf("%s: told %v", tc.name, seen)
			}
		}
	})
}

func TestKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		signed := 0
		s := signer(t, func(c *assertion.SignerConfig) {
			c.Claims = []string{"email"}
			c.OnSign = func(error) { signed++ }
		})
		get := func(raw string, of *token.Reader) string {
			t.Helper()
			text, err := s.For(t.Context(), raw, of)
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		ada := func() *token.Reader { return verdict("ada", `{"email":"ada@example.com"}`, time.Time{}) }
		first := get("raw", ada())
		time.Sleep(39 * time.Second)
		if got := get("raw", ada()); got != first || signed != 1 {
			t.Errorf("signed %d times, want once while more than a third of the life is left", signed)
		}
		time.Sleep(time.Second)
		second := get("raw", ada())
		if second == first || signed != 2 {
			t.Errorf("signed %d times, want the next when a third is left", signed)
		}
		others := map[string]struct {
			raw string
			of  *token.Reader
		}{
			"another token of the same user":    {"raw2", ada()},
			"a longer token":                    {"raw ", ada()},
			"another user by the same token":    {"raw", verdict("bob", `{"email":"ada@example.com"}`, time.Time{})},
			"other claims by the same token":    {"raw", verdict("ada", `{"email":"other@example.com"}`, time.Time{})},
			"another expiry by the same token":  {"raw", verdict("ada", `{"email":"ada@example.com"}`, time.Now().Add(time.Hour))},
			"another issuer's user of the name": {"raw", token.NewReader(token.New(token.Token{Issuer: "https://other.example.com", Subject: "ada", Scopes: []string{"a", "b"}}, []byte(`{"email":"ada@example.com"}`)))},
			"other scopes by the same token":    {"raw", token.NewReader(token.New(token.Token{Issuer: issuer, Subject: "ada", Scopes: []string{"a"}}, []byte(`{"email":"ada@example.com"}`)))},
		}
		for _, name := range slices.Sorted(maps.Keys(others)) {
			get("raw", ada())
			before := signed
			text := get(others[name].raw, others[name].of)
			if signed != before+1 {
				t.Errorf("%s: got what was signed for another", name)
			}
			_, claims := read(t, text)
			want := others[name].of
			if claims["sub"] != want.Judged().Subject || claims["email"] != want.Text("email") || claims["sub_id"].(map[string]any)["iss"] != want.Judged().Issuer {
				t.Errorf("%s: got %v", name, claims)
			}
		}
	})
}

// One that lives as long as its token is kept for two thirds of that, and no longer.
func TestKeptNoLongerThanTheToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := signer(t)
		expiry := time.Now().Add(30 * time.Second)
		texts := make(map[string]bool)
		for time.Now().Before(expiry) {
			text, err := s.For(t.Context(), "raw", verdict("ada", "{}", expiry))
			if err != nil {
				t.Fatal(err)
			}
			texts[text] = true
			if _, claims := read(t, text); int64(claims["exp"].(float64)) != expiry.Unix() {
				t.Fatalf("expires at %v, want with the token", claims["exp"])
			}
			time.Sleep(500 * time.Millisecond)
		}
		if _, err := s.For(t.Context(), "raw", verdict("ada", "{}", expiry)); !errors.Is(err, assertion.ErrExpired) {
			t.Errorf("after that: got %v", err)
		}
		if n := len(texts); n < 2 || n > 10 {
			t.Errorf("signed %d", n)
		}
	})
}

// Many users at once get each their own.
func TestManyUsers(t *testing.T) {
	t.Parallel()
	s := signer(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 200 {
				user := fmt.Sprint("user", i)
				text, err := s.For(t.Context(), "token of "+user, verdict(user, "{}", time.Time{}))
				if err != nil {
					t.Error(err)
					return
				}
				if _, claims := read(t, text); claims["sub"] != user {
					t.Errorf("%s got the assertion of %s", user, claims["sub"])
				}
			}
		})
	}
	wg.Wait()
}

// No reader of tokens takes an assertion for one, whatever its form and whatever its
// issuer is taken for.
func TestNoToken(t *testing.T) {
	t.Parallel()
	for _, access := range []bool{false, true} {
		s := signer(t, func(c *assertion.SignerConfig) { c.AccessToken = access })
		text, err := s.For(t.Context(), "raw", verdict("ada", "{}", time.Time{}))
		if err != nil {
			t.Fatal(err)
		}
		p, err := token.Present(text)
		if inv, ok := errors.AsType[*token.InvalidError](err); p != nil || !ok || inv.Reason != token.WrongType {
			t.Errorf("access token %t: got %+v, %v", access, p, err)
		}
	}
}
