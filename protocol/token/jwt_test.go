package token_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// Every case breaks one rule of a token that is good otherwise.
func TestJWTReasons(t *testing.T) {
	t.Parallel()
	c := testkit.NewClock()
	srv := oauthtest.New(t, oauthtest.Options{Now: c.Now})
	v := newJWT(t, srv, c.Now, nil)
	stranger := srv.NewKey("RS256", srv.CurrentKey().ID)
	jwt := oauthtest.WithHeader("typ", "JWT")

	tests := []struct {
		name   string
		claims map[string]any
		opts   []oauthtest.MintOption
		want   string
	}{
		{"good", nil, nil, "verified"},
		{"issuer", map[string]any{"iss": srv.Issuer() + "/"}, nil, "unknown_issuer"},
		{"algorithm none", nil, []oauthtest.MintOption{oauthtest.Unsigned()}, "wrong_algorithm"},
		{"algorithm HS256", nil, []oauthtest.MintOption{oauthtest.WithSecret("HS256", srv.CurrentKey().PublicPEM())}, "wrong_algorithm"},
		{"typ", nil, []oauthtest.MintOption{oauthtest.WithHeader("typ", "logout+jwt")}, "wrong_type"},
		{"typ dpop+jwt", nil, []oauthtest.MintOption{oauthtest.WithHeader("typ", "dpop+jwt")}, "wrong_type"},
		{"typ empty", nil, []oauthtest.MintOption{oauthtest.WithHeader("typ", "")}, "malformed"},
		{"at_hash", map[string]any{"at_hash": "x"}, []oauthtest.MintOption{jwt}, "wrong_type"},
		{"at_hash, but at+jwt", map[string]any{"at_hash": "x"}, nil, "verified"},
		{"nonce without scope", map[string]any{"nonce": "x", "scope": oauthtest.Absent}, []oauthtest.MintOption{jwt}, "wrong_type"},
		{"events", map[string]any{"events": map[string]any{}}, nil, "wrong_type"},
		{"payload typ", map[string]any{"typ": "Refresh"}, nil, "wrong_type"},
		{"token_use", map[string]any{"token_use": "id"}, nil, "wrong_type"},
		{"audience", map[string]any{"aud": "https://mcp.example.com/other"}, nil, "wrong_audience"},
		{"no audience", map[string]any{"aud": oauthtest.Absent}, nil, "wrong_audience"},
		{"no exp", map[string]any{"exp": oauthtest.Absent}, nil, "bad_claims"},
		{"exp as text", map[string]any{"exp": "9999999999"}, nil, "bad_claims"},
		{"no sub and client_id", map[string]any{"sub": oauthtest.Absent, "client_id": oauthtest.Absent}, nil, "bad_claims"},
		{"sub with control character", map[string]any{"sub": "a\u0085b"}, nil, "bad_claims"},
		{"cnf", map[string]any{"cnf": map[string]any{"jkt": "x"}}, nil, "sender_constrained"},
		{"crit", nil, []oauthtest.MintOption{oauthtest.WithHeader("crit", []string{"exp"})}, "malformed"},
		{"crit empty", nil, []oauthtest.MintOption{oauthtest.WithHeader("crit", []string{})}, "malformed"},
		{"b64", nil, []oauthtest.MintOption{oauthtest.WithHeader("b64", false)}, "malformed"},
		{"kid", nil, []oauthtest.MintOption{oauthtest.WithHeader("kid", "unknown")}, "unknown_key"},
		{"signature", nil, []oauthtest.MintOption{oauthtest.WithKey(stranger)}, "bad_signature"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tok, err := judge(t.Context(), v, srv.Mint(tc.claims, tc.opts...))
			if got := outcome(tok, err); got != tc.want {
				t.Errorf("got %s (%v), want %s", got, err, tc.want)
			}
		})
	}
}

func TestJWTOpaque(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{})
	v := newJWT(t, srv, nil, nil)
	tok, err := judge(t.Context(), v, "opaque")
	if got, want := outcome(tok, err), "malformed"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	p, err := token.Present("opaque")
	if err != nil || v.Accepts(p) {
		t.Errorf("Accepts(opaque): got true or %v, want false", err)
	}
	if got := srv.Count(oauthtest.Any); got != 0 {
		t.Errorf("got %d requests to the issuer, want 0", got)
	}
}

func TestJWTToken(t *testing.T) {
	t.Parallel()
	c := testkit.NewClock()
	srv := oauthtest.New(t, oauthtest.Options{Now: c.Now})
	v := newJWT(t, srv, c.Now, nil)

	tests := []struct {
		name                                string
		claims                              map[string]any
		wantSubject, wantClient, wantScopes string
	}{
		{"plain", nil, "user-1", "client-1", "read write"},
		{"client on its own behalf", map[string]any{"sub": oauthtest.Absent}, "client-1", "client-1", "read write"},
		{"azp", map[string]any{"client_id": oauthtest.Absent, "azp": "a"}, "user-1", "a", "read write"},
		{"client_id before azp", map[string]any{"azp": "a"}, "user-1", "client-1", "read write"},
		{"no client", map[string]any{"client_id": oauthtest.Absent}, "user-1", "", "read write"},
		{"scope as array", map[string]any{"scope": []string{"a", "b"}}, "user-1", "client-1", "a b"},
		{"scope before scopes and scp", map[string]any{"scopes": "x", "scp": "y"}, "user-1", "client-1", "read write"},
		{"scopes before scp", map[string]any{"scope": oauthtest.Absent, "scopes": "x", "scp": "y"}, "user-1", "client-1", "x"},
		{"scp", map[string]any{"scope": oauthtest.Absent, "scp": []string{"y", "z"}}, "user-1", "client-1", "y z"},
		// An issuer that says that nothing was granted is not corrected.
		{"scope empty, scp not", map[string]any{"scope": "", "scp": "y"}, "user-1", "client-1", ""},
		{"scope empty array, scp not", map[string]any{"scope": []string{}, "scp": "y"}, "user-1", "client-1", ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tok, err := judge(t.Context(), v, srv.Mint(tc.claims))
			if err != nil {
				t.Fatalf("got %v, want verified", err)
			}
			if tok.Issuer != srv.Issuer() || tok.Subject != tc.wantSubject || tok.ClientID != tc.wantClient {
				t.Errorf("got issuer %q, subject %q, client %q, want %q, %q, %q",
					tok.Issuer, tok.Subject, tok.ClientID, srv.Issuer(), tc.wantSubject, tc.wantClient)
			}
			if got := strings.Join(tok.Scopes, " "); got != tc.wantScopes {
				t.Errorf("got scopes %q, want %q", got, tc.wantScopes)
			}
			if want := c.Now().Add(5 * time.Minute); !tok.Expiry.Equal(want) {
				t.Errorf("got expiry %v, want %v", tok.Expiry, want)
			}
			if !slices.Equal(tok.Audience, []string{mcpResource}) {
				t.Errorf("got audience %q, want %q", tok.Audience, mcpResource)
			}
		})
	}
}

func TestJWTLeeway(t *testing.T) {
	t.Parallel()
	c := testkit.NewClock()
	srv := oauthtest.New(t, oauthtest.Options{Now: c.Now})
	byDefault := newJWT(t, srv, c.Now, nil)
	minute := newJWT(t, srv, c.Now, func(config *token.JWTConfig) { config.Leeway = time.Minute })

	at := func(d time.Duration) float64 { return float64(c.Now().Add(d).UnixMilli()) / 1000 }
	tests := []struct {
		name   string
		v      *token.JWT
		claims map[string]any
		want   string
	}{
		{"exp in a second", byDefault, map[string]any{"exp": at(time.Second)}, "verified"},
		{"exp now", byDefault, map[string]any{"exp": at(0)}, "expired"},
		{"exp now, to the fraction", byDefault, map[string]any{"exp": at(500 * time.Millisecond)}, "expired"},
		{"exp a second ago", byDefault, map[string]any{"exp": at(-time.Second)}, "expired"},
		{"leeway does not prolong exp", minute, map[string]any{"exp": at(0)}, "expired"},
		{"nbf now", byDefault, map[string]any{"nbf": at(0)}, "verified"},
		{"nbf within leeway", byDefault, map[string]any{"nbf": at(token.DefaultLeeway)}, "verified"},
		{"nbf beyond leeway", byDefault, map[string]any{"nbf": at(token.DefaultLeeway + time.Second)}, "not_yet_valid"},
		{"iat within leeway", byDefault, map[string]any{"iat": at(token.DefaultLeeway)}, "verified"},
		{"iat beyond leeway", byDefault, map[string]any{"iat": at(token.DefaultLeeway + time.Second)}, "not_yet_valid"},
		{"nbf within a minute", minute, map[string]any{"nbf": at(time.Minute)}, "verified"},
		{"nbf beyond a minute", minute, map[string]any{"nbf": at(61 * time.Second)}, "not_yet_valid"},
		{"iat beyond a minute", minute, map[string]any{"iat": at(61 * time.Second)}, "not_yet_valid"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tok, err := judge(t.Context(), tc.v, srv.Mint(tc.claims))
			if got := outcome(tok, err); got != tc.want {
				t.Errorf("got %s (%v), want %s", got, err, tc.want)
			}
		})
	}
}

func TestJWTAlgorithms(t *testing.T) {
	t.Parallel()
	c := testkit.NewClock()
	srv := oauthtest.New(t, oauthtest.Options{Now: c.Now})
	all := []string{"ES256", "ES384", "ES512", "Ed25519", "EdDSA", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"}
	if got := keys.Algorithms(); !slices.Equal(got, all) {
		t.Errorf("got algorithms %q, want %q", got, all)
	}
	minted := make(map[string]string)
	for _, alg := range all {
		if alg == "Ed25519" { // EdDSA by a name of its own (RFC 9864)
			k := srv.NewKey("EdDSA", "ed25519")
			jwk := k.JWK()
			jwk["alg"] = alg
			srv.AddJWK(jwk)
			minted[alg] = srv.Mint(nil, oauthtest.WithKey(k), oauthtest.WithHeader("alg", alg))
			continue
		}
		minted[alg] = srv.Mint(nil, oauthtest.WithKey(srv.AddKey(alg, "only-"+alg)))
	}
	for _, alg := range all {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			v := newJWT(t, srv, c.Now, func(config *token.JWTConfig) { config.Algorithms = []string{alg} })
			for other, raw := range minted {
				want := "wrong_algorithm"
				if other == alg {
					want = "verified"
				}
				if got := outcome(judge(t.Context(), v, raw)); got != want {
					t.Errorf("%s allowed, signed with %s: got %s, want %s", alg, other, got, want)
				}
			}
		})
	}
}

func TestNewJWTErrors(t *testing.T) {
	t.Parallel()
	keys := keysFunc(func(context.Context, time.Time) (*keys.Set, error) { return nil, errors.New("unused") })
	good := token.JWTConfig{Issuer: "https://as.example", Keys: keys, Audience: []string{mcpResource}}
	if _, err := token.NewJWT(good); err != nil {
		t.Errorf("good configuration: got %v, want no error", err)
	}
	tests := []struct {
		name   string
		change func(*token.JWTConfig)
		want   string
	}{
		{"issuer", func(c *token.JWTConfig) { c.Issuer = "" }, "no issuer"},
		{"keys", func(c *token.JWTConfig) { c.Keys = nil }, "no key source"},
		{"audience", func(c *token.JWTConfig) { c.Audience = nil }, "no audience"},
		{"leeway", func(c *token.JWTConfig) { c.Leeway = -1 }, "negative leeway"},
		{"none", func(c *token.JWTConfig) { c.Algorithms = []string{"RS256", "none"} }, `unsupported algorithm "none"`},
		{"symmetric", func(c *token.JWTConfig) { c.Algorithms = []string{"HS256"} }, `unsupported algorithm "HS256"`},
		{"lowercase", func(c *token.JWTConfig) { c.Algorithms = []string{"rs256"} }, `unsupported algorithm "rs256"`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			config := good
			tc.change(&config)
			if _, err := token.NewJWT(config); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}
