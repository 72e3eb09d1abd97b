package token_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// frontDoorSecret is oauthtest's: it only survives if it is form-encoded.
const frontDoorSecret = "s3cr3t & more: 100%"

// newIntrospection returns a verifier that asks srv.
func newIntrospection(t testing.TB, srv *oauthtest.Server, change func(*token.IntrospectionConfig)) *token.Introspection {
	t.Helper()
	config := token.IntrospectionConfig{
		Issuer:   srv.Issuer(),
		Endpoint: func(context.Context) (string, error) { return srv.Endpoint(oauthtest.Introspection), nil },
		Auth:     token.ClientSecretBasic("front-door", frontDoorSecret),
		Audience: []string{mcpResource},
		Client:   outbound.NewClient(),
	}
	if change != nil {
		change(&config)
	}
	v, err := token.NewIntrospection(config)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func allowMissingAudience(c *token.IntrospectionConfig) { c.AllowMissingAudience = true }

func TestIntrospectionVerified(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name        string
		personality oauthtest.Personality
		claims      map[string]any
		change      func(*token.IntrospectionConfig)
		subject     string
		client      string
		scopes      string
	}{
		{"generic", oauthtest.Generic, map[string]any{"sub": "u1", "client_id": "c1", "scope": "a b"}, nil, "u1", "c1", "a b"},
		{"Logto", oauthtest.Logto, map[string]any{"sub": "u1", "client_id": "c1", "scope": "a"}, allowMissingAudience, "u1", "c1", "a"},
		{"Django, a user", oauthtest.DjangoOAuthToolkit, map[string]any{"username": "ada", "client_id": "c1", "scope": "read"}, allowMissingAudience, "ada", "c1", "read"},
		{"Django, a client", oauthtest.DjangoOAuthToolkit, map[string]any{"username": oauthtest.Absent, "client_id": "c1", "scope": "read"}, allowMissingAudience, "c1", "c1", "read"},
		{"oidc-provider", oauthtest.OIDCProvider, map[string]any{"sub": "u1", "client_id": "c1", "scope": "a"}, nil, "u1", "c1", "a"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			srv := oauthtest.New(t, oauthtest.Options{Personality: tc.personality, Audience: mcpResource})
			raw := srv.Opaque(tc.claims)
			tok, err := judge(t.Context(), newIntrospection(t, srv, tc.change), raw)
			if err != nil {
				t.Fatal(err)
			}
			checkQuiet(t, raw, tok, err)
			if tok.Issuer != srv.Issuer() || tok.Subject != tc.subject || tok.ClientID != tc.client || strings.Join(tok.Scopes, " ") != tc.scopes {
				t.Errorf("got issuer %q, subject %q, client %q, scopes %q", tok.Issuer, tok.Subject, tok.ClientID, tok.Scopes)
			}
			if tok.Claims()["active"] != nil {
				t.Error("active is among the claims")
			}
			requests := srv.Requests()
			if len(requests) != 1 || requests[0].Method != "POST" || requests[0].Auth != "basic" || strings.Contains(requests[0].Path, raw) ||
				!strings.Contains(requests[0].Body, "token_type_hint=access_token") {
				t.Errorf("got the requests %+v, want one POST with the token in its form", requests)
			}
		})
	}
}

// What the endpoint answers, and what that means.
func TestIntrospectionOutcomes(t *testing.T) {
	t.Parallel()
	answer := func(body string) oauthtest.Fault { return oauthtest.Answer(200, "application/json", body) }
	active := func(members string) oauthtest.Fault {
		return answer(`{"active":true,"sub":"u1","aud":"` + mcpResource + `"` + members + `}`)
	}
	elsewhere := oauthtest.New(t, oauthtest.Options{})
	tests := []struct {
		name  string
		fault oauthtest.Fault
		want  string
		cause string
	}{
		{"inactive", answer(`{"active":false}`), "inactive", ""},
		{"inactive, with more", answer(`{"active":false,"sub":"u1"}`), "inactive", ""},
		{"active", active(""), "verified", ""},
		{"active, as text", answer(`{"active":"true","sub":"u1"}`), "unavailable", "active is not true or false"},
		{"active, as a number", answer(`{"active":1,"sub":"u1"}`), "unavailable", "active is not true or false"},
		{"active null", answer(`{"active":null}`), "unavailable", "active is not true or false"},
		{"active twice", answer(`{"active":false,"active":true,"sub":"u1"}`), "unavailable", "duplicate member name"},
		{"ACTIVE", answer(`{"ACTIVE":true,"sub":"u1"}`), "unavailable", "only in case"},
		{"active and Active", answer(`{"active":false,"Active":true}`), "unavailable", "only in case"},
		{"no active", answer(`{"sub":"u1"}`), "unavailable", "no member active"},
		{"empty object", oauthtest.Empty(), "unavailable", "no member active"},
		{"an array", answer(`[{"active":true}]`), "unavailable", "not a JSON object"},
		{"garbage", oauthtest.Garbage(), "unavailable", "not a JSON object"},
		{"rest", answer(`{"active":true,"sub":"u1"}{}`), "unavailable", "data after the JSON object"},
		{"huge", oauthtest.Huge(1), "unavailable", "larger than 65536 bytes"},
		{"truncated", oauthtest.Truncate(), "unavailable", "reading the answer"},
		{"connection closed", oauthtest.Close(), "unavailable", ""},

		{"401", oauthtest.Status(401), "unavailable", "check client_id, client_secret"},
		{"403", oauthtest.Status(403), "unavailable", "check client_id, client_secret"},
		{"400", oauthtest.Status(400), "unavailable", "does not introspect a token of this form"},
		{"404", oauthtest.Status(404), "unavailable", "is that the introspection endpoint?"},
		{"429", oauthtest.RetryAfter(7), "unavailable", "answered 429"},
		{"500", oauthtest.Status(500), "unavailable", "answered 500"},
		{"204", oauthtest.Status(204), "unavailable", "answered 204"},
		{"redirect", oauthtest.Redirect(301, elsewhere.Endpoint(oauthtest.Introspection)), "unavailable", "with or without a slash at its end"},
		{"redirect within the origin", oauthtest.Redirect(307, "/introspect/"), "unavailable", "redirects are not followed"},

		{"foreign issuer", active(`,"iss":"https://other.example"`), "unknown_issuer", ""},
		{"no audience", answer(`{"active":true,"sub":"u1"}`), "wrong_audience", "insecure_allow_missing_audience"},
		{"another audience", answer(`{"active":true,"sub":"u1","aud":"https://other.example/mcp"}`), "wrong_audience", ""},
		{"audience in a list", answer(`{"active":true,"sub":"u1","aud":["x","` + mcpResource + `"]}`), "verified", ""},
		{"audience with a slash", answer(`{"active":true,"sub":"u1","aud":"` + mcpResource + `/"}`), "verified", ""},
		{"expired", active(`,"exp":1`), "expired", ""},
		{"exp as text", active(`,"exp":"1"`), "unavailable", "exp: not a number"},
		{"nbf ahead", active(`,"nbf":99999999999`), "not_yet_valid", ""},
		{"iat ahead", active(`,"iat":99999999999`), "not_yet_valid", ""},
		{"bearer", active(`,"token_type":"bearer"`), "verified", ""},
		{"Bearer", active(`,"token_type":"Bearer"`), "verified", ""},
		{"access_token", active(`,"token_type":"access_token"`), "verified", ""},
		{"refresh_token", active(`,"token_type":"refresh_token"`), "wrong_type", ""},
		{"DPoP", active(`,"token_type":"DPoP"`), "sender_constrained", ""},
		{"cnf", active(`,"cnf":{"jkt":"x"}`), "sender_constrained", ""},
		{"typ Refresh", active(`,"typ":"Refresh"`), "wrong_type", ""},
		{"token_use id", active(`,"token_use":"id"`), "wrong_type", ""},
		{"nobody", answer(`{"active":true,"aud":"` + mcpResource + `"}`), "bad_claims", ""},
		{"username empty", answer(`{"active":true,"aud":"` + mcpResource + `","username":""}`), "bad_claims", ""},
		{"username with a line break", answer(`{"active":true,"aud":"` + mcpResource + `","username":"a\nb"}`), "bad_claims", ""},
		{"username with a blank before it", answer(`{"active":true,"aud":"` + mcpResource + `","username":" ada"}`), "bad_claims", ""},
		{"sub with a line break", answer(`{"active":true,"aud":"` + mcpResource + `","sub":"a\nb"}`), "unavailable", "sub: contains a control character"},
		{"null members", active(`,"username":null,"scope":null,"exp":null,"iss":null,"cnf":null`), "verified", ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			srv := oauthtest.New(t, oauthtest.Options{})
			srv.SetFault(oauthtest.Introspection, tc.fault)
			raw := srv.Opaque(nil)
			tok, err := judge(t.Context(), newIntrospection(t, srv, nil), raw)
			if got := outcome(tok, err); got != tc.want {
				t.Errorf("got %s (%v), want %s", got, err, tc.want)
			}
			checkCause(t, err, tc.cause)
			checkQuiet(t, raw, tok, err)
			if err != nil && strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("the secret is in %v", err)
			}
			if got := srv.Count(oauthtest.Any); got != 1 {
				t.Errorf("got %d requests, want 1", got)
			}
		})
	}
	if got := elsewhere.Count(oauthtest.Any); got != 0 {
		t.Errorf("%d requests followed a redirect", got)
	}
}

func TestIntrospectionGivesUp(t *testing.T) {
	t.Parallel()
	checkGivesUp(t, oauthtest.Options{}, oauthtest.Introspection, func(t *testing.T, srv *oauthtest.Server, client *http.Client) (token.Verifier, string) {
		return newIntrospection(t, srv, func(c *token.IntrospectionConfig) { c.Client = client }), srv.Opaque(nil)
	})
}

// A server that repeats the token doesn't get it into claims.
func TestIntrospectionThatRepeatsTheToken(t *testing.T) {
	t.Parallel()
	for member, want := range map[string]string{"token": "verified", "access_token": "verified", "jti": "unavailable"} {
		srv := oauthtest.New(t, oauthtest.Options{})
		raw := srv.Opaque(nil)
		srv.SetFault(oauthtest.Introspection, oauthtest.Rewrite(map[string]any{member: raw, "aud": mcpResource}))
		tok, err := judge(t.Context(), newIntrospection(t, srv, nil), raw)
		if got := outcome(tok, err); got != want {
			t.Errorf("in %s: got %s (%v), want %s", member, got, err, want)
		}
		checkQuiet(t, raw, tok, err)
	}
}

// Every way in which the front door authenticates.
func TestIntrospectionClientAuth(t *testing.T) {
	t.Parallel()
	p256, p384, p521 := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P384()), ecKey(t, elliptic.P521())
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"RSA": rsaKey, "P-256": p256, "P-384": p384, "P-521": p521, "Ed25519": edKey} {
		t.Run("private_key_jwt "+name, func(t *testing.T) {
			t.Parallel()
			srv := oauthtest.New(t, oauthtest.Options{ClientKey: key.Public(), Audience: mcpResource})
			auth, err := token.PrivateKeyJWT("front-door", srv.Issuer(), "kid-1", pemOf(t, key), time.Now)
			if err != nil {
				t.Fatal(err)
			}
			v := newIntrospection(t, srv, func(c *token.IntrospectionConfig) { c.Auth = auth })
			if _, err := judge(t.Context(), v, srv.Opaque(nil)); err != nil {
				t.Errorf("got %v", err)
			}
			if got := srv.Requests()[0].Auth; got != "private_key_jwt" {
				t.Errorf("authenticated by %s", got)
			}
		})
	}
	t.Run("client_secret_post", func(t *testing.T) {
		t.Parallel()
		srv := oauthtest.New(t, oauthtest.Options{Audience: mcpResource})
		v := newIntrospection(t, srv, func(c *token.IntrospectionConfig) {
			c.Auth = token.ClientSecretPost("front-door", frontDoorSecret)
		})
		if _, err := judge(t.Context(), v, srv.Opaque(nil)); err != nil {
			t.Errorf("got %v", err)
		}
		if got := srv.Requests()[0].Auth; got != "post" {
			t.Errorf("authenticated by %s", got)
		}
	})
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string][]byte{
		"no PEM":    []byte("key"),
		"no key":    pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}),
		"small RSA": pemOf(t, small),
		"P-224":     pemOf(t, ecKey(t, elliptic.P224())),
	} {
		if _, err := token.PrivateKeyJWT("front-door", "https://as.example", "", key, time.Now); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

func ecKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func pemOf(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// With JWT, a signed token has to pass here and there.
func TestIntrospectionConfirmsJWT(t *testing.T) {
	t.Parallel()
	newServer := func(t *testing.T) (*oauthtest.Server, *token.Introspection) {
		srv := oauthtest.New(t, oauthtest.Options{Audience: mcpResource})
		jwt := newJWT(t, srv, nil, nil)
		return srv, newIntrospection(t, srv, func(c *token.IntrospectionConfig) { c.JWT = jwt })
	}
	srv, v := newServer(t)
	good := srv.Mint(nil)
	tok, err := judge(t.Context(), v, good)
	if err != nil || tok.Subject != "user-1" {
		t.Fatalf("got %v, %v, want user-1", tok, err)
	}
	srv.Revoke(good)
	if _, err := judge(t.Context(), v, good); outcome(nil, err) != "inactive" {
		t.Errorf("revoked: got %v, want inactive", err)
	}
	asked := srv.Count(oauthtest.Introspection)
	if _, err := judge(t.Context(), v, srv.Mint(map[string]any{"exp": 1})); outcome(nil, err) != "expired" {
		t.Errorf("expired: got %v, want expired", err)
	}
	if got := srv.Count(oauthtest.Introspection); got != asked {
		t.Error("a token that is bad anyway was introspected")
	}
	srv.SetFault(oauthtest.Introspection, oauthtest.Answer(200, "application/json", `{"active":true,"sub":"eve","client_id":"other","aud":"`+mcpResource+`"}`))
	if _, err := judge(t.Context(), v, srv.Mint(nil)); outcome(nil, err) != "bad_claims" {
		t.Errorf("an answer about somebody else: got %v, want bad_claims", err)
	}

	other := oauthtest.New(t, oauthtest.Options{})
	p, err := token.Present(other.Mint(nil))
	if err != nil {
		t.Fatal(err)
	}
	if newIntrospection(t, other, nil).Accepts(p) {
		t.Error("a signed JWT is accepted without JWT")
	}
}

func TestNewIntrospectionErrors(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*token.IntrospectionConfig){
		"no issuer":      func(c *token.IntrospectionConfig) { c.Issuer = "" },
		"no endpoint":    func(c *token.IntrospectionConfig) { c.Endpoint = nil },
		"no credentials": func(c *token.IntrospectionConfig) { c.Auth = nil },
		"no audience":    func(c *token.IntrospectionConfig) { c.Audience = nil },
	} {
		config := token.IntrospectionConfig{
			Issuer:   "https://as.example",
			Endpoint: func(context.Context) (string, error) { return "https://as.example/introspect", nil },
			Auth:     token.ClientSecretBasic("a", "b"),
			Audience: []string{mcpResource},
		}
		change(&config)
		if _, err := token.NewIntrospection(config); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

// FuzzIntrospection: whatever an endpoint answers, the verifier says one of its
// three things, and a token it verifies has a subject.
func FuzzIntrospection(f *testing.F) {
	for _, seed := range []string{
		`{"active":true,"sub":"u1","aud":"` + mcpResource + `"}`, `{"active":false}`, `{}`, `[]`, `{"active":true,"active":false}`,
		`{"active":true,"username":"ada","aud":["` + mcpResource + `"],"exp":9e9,"scope":"a b"}`, "{\"active\":true,\"\u017fub\":\"x\"}",
	} {
		f.Add(seed)
	}
	srv := oauthtest.New(f, oauthtest.Options{})
	v := newIntrospection(f, srv, allowMissingAudience)
	f.Fuzz(func(t *testing.T, body string) {
		srv.SetFault(oauthtest.Introspection, oauthtest.Answer(200, "application/json", body))
		tok, err := judge(t.Context(), v, "opaque-token-1")
		switch {
		case err == nil && (tok == nil || tok.Subject == "" || tok.Issuer != srv.Issuer()):
			t.Errorf("%q: got %+v", body, tok)
		case err != nil && tok != nil:
			t.Errorf("%q: got a token and %v", body, err)
		}
	})
}
