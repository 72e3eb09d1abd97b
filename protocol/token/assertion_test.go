package token_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

const testAuthorizationServer = "https://as.example"

// identityRules are the rules for an ID-JAG that srv has signed for client-1.
func identityRules(t *testing.T, srv *oauthtest.Server, now func() time.Time) *token.AssertionRules {
	return &token.AssertionRules{
		Types:        []string{token.IdentityAssertionTyp},
		Issuer:       srv.Issuer(),
		ClientID:     "client-1",
		Audience:     []string{testAuthorizationServer},
		MaxLifetime:  time.Hour,
		NeedIssuedAt: true,
		Keys:         keys.Static(published(t, srv)),
		Now:          now,
	}
}

func verifyAssertion(ctx context.Context, raw string, rules *token.AssertionRules) error {
	a, err := token.PresentAssertion(raw)
	if err != nil {
		return err
	}
	return a.Verify(ctx, rules)
}

// Each breaks only the rule that it is named after.
func TestAssertionRefused(t *testing.T) {
	t.Parallel()
	c := testkit.NewClock()
	srv := oauthtest.New(t, oauthtest.Options{Now: c.Now})
	rules := identityRules(t, srv, c.Now)
	at := func(d time.Duration) int64 { return c.Now().Add(d).Unix() }
	type claims = map[string]any
	absent := oauthtest.Absent
	for _, test := range []struct {
		name   string
		claims claims
		opts   []oauthtest.MintOption
		want   token.Reason
	}{
		{"typ of an access token", nil, []oauthtest.MintOption{oauthtest.WithHeader("typ", "at+jwt")}, token.WrongType},
		{"typ of a client's assertion", nil, []oauthtest.MintOption{oauthtest.WithHeader("typ", "client-authentication+jwt")}, token.WrongType},
		{"typ JWT", nil, []oauthtest.MintOption{oauthtest.WithHeader("typ", "JWT")}, token.WrongType},
		{"no typ", nil, []oauthtest.MintOption{oauthtest.WithHeader("typ", absent)}, token.WrongType},
		{"alg none", nil, []oauthtest.MintOption{oauthtest.Unsigned()}, token.WrongAlgorithm},
		{"HS256 with the public key", nil, []oauthtest.MintOption{oauthtest.WithSecret("HS256", srv.CurrentKey().PublicPEM())}, token.WrongAlgorithm},
		{"critical extension", nil, []oauthtest.MintOption{oauthtest.WithHeader("crit", []string{"exp"}), oauthtest.ByHand()}, token.Malformed},
		{"iss of another provider", claims{"iss": "https://other.example"}, nil, token.UnknownIssuer},
		{"iss with a slash", claims{"iss": srv.Issuer() + "/"}, nil, token.UnknownIssuer},
		{"no iss", claims{"iss": absent}, nil, token.UnknownIssuer},
		{"no sub", claims{"sub": absent}, nil, token.BadClaims},
		{"sub null", claims{"sub": nil}, nil, token.BadClaims},
		{"empty sub", claims{"sub": ""}, nil, token.BadClaims},
		{"sub a number", claims{"sub": 7}, nil, token.BadClaims},
		{"client_id of another client", claims{"client_id": "client-2"}, nil, token.BadClaims},
		{"no client_id", claims{"client_id": absent}, nil, token.BadClaims},
		{"the client as azp only", claims{"client_id": absent, "azp": "client-1"}, nil, token.BadClaims},
		{"aud of another server", claims{"aud": "https://other.example"}, nil, token.WrongAudience},
		{"aud the token endpoint", claims{"aud": testAuthorizationServer + "/oauth/token"}, nil, token.WrongAudience},
		{"aud with a slash", claims{"aud": testAuthorizationServer + "/"}, nil, token.WrongAudience},
		{"aud in upper case", claims{"aud": strings.ToUpper(testAuthorizationServer)}, nil, token.WrongAudience},
		{"aud with another", claims{"aud": []string{testAuthorizationServer, "https://other.example"}}, nil, token.WrongAudience},
		{"aud twice", claims{"aud": []string{testAuthorizationServer, testAuthorizationServer}}, nil, token.WrongAudience},
		{"aud empty", claims{"aud": []string{}}, nil, token.BadClaims},
		{"no aud", claims{"aud": absent}, nil, token.WrongAudience},
		{"aud an object", claims{"aud": claims{}}, nil, token.BadClaims},
		{"no exp", claims{"exp": absent}, nil, token.BadClaims},
		{"exp a string", claims{"exp": "2030"}, nil, token.BadClaims},
		{"expired now", claims{"exp": at(0)}, nil, token.Expired},
		{"exp too far away", claims{"exp": at(time.Hour + 31*time.Second)}, nil, token.BadClaims},
		{"nbf in the future", claims{"nbf": at(31 * time.Second)}, nil, token.NotYetValid},
		{"iat in the future", claims{"iat": at(31 * time.Second)}, nil, token.NotYetValid},
		{"no iat", claims{"iat": absent}, nil, token.BadClaims},
		{"no jti", claims{"jti": absent}, nil, token.BadClaims},
		{"empty jti", claims{"jti": ""}, nil, token.BadClaims},
		{"jti a number", claims{"jti": 1}, nil, token.BadClaims},
		{"bound to a key", claims{"cnf": claims{"jkt": "x"}}, nil, token.BadClaims},
		{"authorization_details", claims{"authorization_details": []any{}}, nil, token.BadClaims},
		{"a tenant", claims{"tenant": "acme"}, nil, token.BadClaims},
		{"a tenant here", claims{"aud_tenant": "acme"}, nil, token.BadClaims},
		{"resource a number", claims{"resource": 1}, nil, token.BadClaims},
		{"resource empty", claims{"resource": []string{}}, nil, token.BadClaims},
		{"scope a number", claims{"scope": 1}, nil, token.BadClaims},
		{"iss twice", nil, []oauthtest.MintOption{oauthtest.WithRawPayload([]byte(`{"iss":"a","iss":"b"}`))}, token.Malformed},
		{"unknown key", nil, []oauthtest.MintOption{oauthtest.WithKey(srv.NewKey("ES256", "other"))}, token.UnknownKey},
		{"another key under the kid", nil, []oauthtest.MintOption{oauthtest.WithKey(srv.NewKey(srv.CurrentKey().Algorithm, srv.CurrentKey().ID))}, token.BadSignature},
		{"signature cut", nil, []oauthtest.MintOption{oauthtest.WithSignature(func(s []byte) []byte { return s[1:] })}, token.BadSignature},
	} {
		good := claims{"aud": testAuthorizationServer}
		for name, value := range test.claims {
			good[name] = value
		}
		opts := append([]oauthtest.MintOption{oauthtest.WithHeader("typ", "oauth-id-jag+jwt")}, test.opts...)
		err := verifyAssertion(t.Context(), srv.Mint(good, opts...), rules)
		if refused, ok := errors.AsType[*token.InvalidError](err); !ok || refused.Reason != test.want {
			t.Errorf("%s: got %v, want %s", test.name, err, test.want)
		}
	}
	for name, raw := range map[string]string{"nothing": "", "opaque": "mcprt_x", "two parts": "e30.e30", "JWE": "e30.e30.e30.e30.e30", "a line break": "e30.e30.e30\n"} {
		if err := verifyAssertion(t.Context(), raw, rules); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestAssertionAccepted(t *testing.T) {
	t.Parallel()
	c := testkit.NewClock()
	srv := oauthtest.New(t, oauthtest.Options{Now: c.Now})
	at := func(d time.Duration) int64 { return c.Now().Add(d).Unix() }
	type claims = map[string]any
	for _, test := range []struct {
		name   string
		typ    string
		claims claims
	}{
		{"plain", "oauth-id-jag+jwt", nil},
		{"typ in full", "application/OAuth-ID-JAG+JWT", nil},
		{"aud a list of one", "oauth-id-jag+jwt", claims{"aud": []string{testAuthorizationServer}}},
		{"exp at the end", "oauth-id-jag+jwt", claims{"exp": at(time.Hour)}},
		{"a clock that is ahead", "oauth-id-jag+jwt", claims{"iat": at(30 * time.Second), "nbf": at(30 * time.Second)}},
		{"claims that mean nothing here", "oauth-id-jag+jwt", claims{"amr": []string{"mfa"}, "act": claims{"sub": "x"}}},
	} {
		good := claims{"aud": testAuthorizationServer, "resource": []string{"https://a.example/mcp", "https://b.example/mcp"}}
		for name, value := range test.claims {
			good[name] = value
		}
		a, err := token.PresentAssertion(srv.Mint(good, oauthtest.WithHeader("typ", test.typ)))
		if err == nil {
			err = a.Verify(t.Context(), identityRules(t, srv, c.Now))
		}
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if a.Subject != "user-1" || len(a.Resources) != 2 || len(a.Scopes) != 2 || a.Claims()["sub"] != "user-1" {
			t.Errorf("%s: got %+v", test.name, a)
		}
	}
}

// A client's assertion, as the front door makes them and as other libraries do.
func TestClientAssertion(t *testing.T) {
	t.Parallel()
	c := testkit.NewClock()
	srv := oauthtest.New(t, oauthtest.Options{Now: c.Now})
	rules := &token.AssertionRules{
		Types:       []string{"", "jwt", token.ClientAssertionTyp},
		Issuer:      "client-1",
		Subject:     "client-1",
		Audience:    []string{testAuthorizationServer},
		MaxLifetime: 10 * time.Minute,
		Keys:        keys.Static(published(t, srv)),
		Now:         c.Now,
	}
	claims := map[string]any{"iss": "client-1", "sub": "client-1", "aud": testAuthorizationServer}
	for typ, good := range map[any]bool{oauthtest.Absent: true, "JWT": true, "client-authentication+jwt": true, "oauth-id-jag+jwt": false, "dpop+jwt": false} {
		if err := verifyAssertion(t.Context(), srv.Mint(claims, oauthtest.WithHeader("typ", typ)), rules); (err == nil) != good {
			t.Errorf("typ %v: got %v, want accepted: %t", typ, err, good)
		}
	}
	der, err := x509.MarshalPKCS8PrivateKey(srv.CurrentKey().Private)
	if err != nil {
		t.Fatal(err)
	}
	own, err := token.PrivateKeyJWT("client-1", testAuthorizationServer, srv.CurrentKey().ID, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), c.Now)
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{}
	if err := own(form, nil); err != nil {
		t.Fatal(err)
	}
	if err := verifyAssertion(t.Context(), form.Get("client_assertion"), rules); err != nil || form.Get("client_assertion_type") != token.ClientAssertionType {
		t.Errorf("our own: got %v with %v", err, form)
	}
	claims["sub"] = "client-2"
	if err := verifyAssertion(t.Context(), srv.Mint(claims, oauthtest.WithHeader("typ", "JWT")), rules); err == nil {
		t.Error("a client's assertion for another client is accepted")
	}
}

// Keys that can't be had are no reason to call an assertion invalid.
func TestAssertionKeysAway(t *testing.T) {
	t.Parallel()
	c := testkit.NewClock()
	srv := oauthtest.New(t, oauthtest.Options{Now: c.Now})
	rules := identityRules(t, srv, c.Now)
	rules.Keys = keysFunc(func(context.Context, time.Time) (*keys.Set, error) {
		return nil, &outbound.UnavailableError{Err: errors.New("away")}
	})
	err := verifyAssertion(t.Context(), srv.Mint(map[string]any{"aud": testAuthorizationServer}, oauthtest.WithHeader("typ", "oauth-id-jag+jwt")), rules)
	if _, ok := errors.AsType[*token.UnavailableError](err); !ok {
		t.Errorf("got %v, want an UnavailableError", err)
	}
	// Whatever is wrong without any key is refused all the same, and asks nobody.
	rules.Keys = keysFunc(func(context.Context, time.Time) (*keys.Set, error) {
		t.Error("keys were asked for")
		return nil, errors.New("away")
	})
	err = verifyAssertion(t.Context(), srv.Mint(nil, oauthtest.WithHeader("typ", "oauth-id-jag+jwt")), rules)
	if _, ok := errors.AsType[*token.InvalidError](err); !ok {
		t.Errorf("got %v, want an InvalidError", err)
	}
	rules = identityRules(t, srv, c.Now)
	rules.Keys = nil
	if err := verifyAssertion(t.Context(), srv.Mint(map[string]any{"aud": testAuthorizationServer}, oauthtest.WithHeader("typ", "oauth-id-jag+jwt")), rules); err == nil {
		t.Error("accepted without keys")
	}
}

func FuzzAssertion(f *testing.F) {
	c := testkit.NewClock()
	srv := oauthtest.New(f, oauthtest.Options{Now: c.Now})
	set, err := keys.ParseSet(srv.JWKSDocument())
	if err != nil {
		f.Fatal(err)
	}
	good := srv.Mint(map[string]any{"aud": testAuthorizationServer}, oauthtest.WithHeader("typ", "oauth-id-jag+jwt"))
	for _, seed := range []string{good, "", "e30.e30.", good + "=", oauthtest.Compact([]byte(`{"alg":"ES256"}`), []byte(`{"aud":[]}`), nil)} {
		f.Add(seed)
	}
	rules := &token.AssertionRules{
		Types: []string{token.IdentityAssertionTyp}, Issuer: srv.Issuer(), ClientID: "client-1", Audience: []string{testAuthorizationServer},
		MaxLifetime: time.Hour, Keys: keys.Static(set), Now: c.Now,
	}
	f.Fuzz(func(t *testing.T, raw string) {
		a, err := token.PresentAssertion(raw)
		if err != nil {
			if _, ok := errors.AsType[*token.InvalidError](err); !ok {
				t.Fatalf("got %v, want an InvalidError", err)
			}
			return
		}
		// Only one text has the provider's signature.
		if err := a.Verify(t.Context(), rules); err == nil && raw != good && !sameButSignature(raw, good) {
			t.Errorf("accepted %q", raw)
		}
	})
}

// sameButSignature reports whether two assertions differ only in their signatures.
func sameButSignature(a, b string) bool {
	return a[:strings.LastIndexByte(a, '.')] == b[:strings.LastIndexByte(b, '.')]
}
