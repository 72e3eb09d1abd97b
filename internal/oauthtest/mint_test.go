package oauthtest

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// verified checks a token's signature with go-jose against the published key
// set, and returns its payload.
func verified(t *testing.T, srv *Server, token string) ([]byte, error) {
	t.Helper()
	jws, err := jose.ParseSignedCompact(token, signatureAlgorithms)
	if err != nil {
		return nil, err
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(srv.JWKSDocument(), &set); err != nil {
		t.Fatalf("decoding key set: %v", err)
	}
	return jws.Verify(&set)
}

// verify is verified, and decodes the claims.
func verify(t *testing.T, srv *Server, token string) (claims map[string]any, err error) {
	t.Helper()
	payload, err := verified(t, srv, token)
	if err == nil {
		err = json.Unmarshal(payload, &claims)
	}
	return claims, err
}

func TestMintVerifies(t *testing.T) {
	t.Parallel()
	for _, alg := range signatureAlgorithms {
		t.Run(string(alg), func(t *testing.T) {
			t.Parallel()
			srv := New(t, Options{Algorithm: string(alg)})
			tokens := map[string]string{
				"by go-jose": srv.Mint(nil),
				"by hand":    srv.Mint(nil, ByHand()),
			}
			for name, token := range tokens {
				claims, err := verify(t, srv, token)
				if err != nil {
					t.Errorf("%s: %v", name, err)
				} else if claims["iss"] != srv.Issuer() {
					t.Errorf("%s: got iss %v, want %v", name, claims["iss"], srv.Issuer())
				}
			}
		})
	}
}

func TestMintChanges(t *testing.T) {
	t.Parallel()
	clock := time.Unix(1_000_000_000, 0)
	srv := New(t, Options{Path: "/oidc", Audience: "https://r.example", Now: func() time.Time { return clock }})
	token := srv.Mint(map[string]any{"sub": "other", "client_id": Absent, "nbf": nil}, WithHeader("typ", "JWT"), WithHeader("kid", Absent))
	jws, err := jose.ParseSignedCompact(token, signatureAlgorithms)
	if err != nil {
		t.Fatal(err)
	}
	header := jws.Signatures[0].Protected
	if header.KeyID != "" || header.ExtraHeaders["typ"] != "JWT" {
		t.Errorf("got header %v, want typ JWT and no kid", header)
	}
	claims, err := verify(t, srv, srv.Mint(map[string]any{"sub": "other", "client_id": Absent, "nbf": nil}))
	if err != nil {
		t.Fatal(err)
	}
	delete(claims, "jti")
	want := map[string]any{
		"iss": srv.URL + "/oidc", "sub": "other", "aud": "https://r.example", "scope": "read write",
		"iat": 1e9, "exp": 1e9 + 300, "nbf": nil,
	}
	if got, want := string(mustJSON(claims)), string(mustJSON(want)); got != want {
		t.Errorf("got claims %s, want %s", got, want)
	}
	if a, b := srv.Mint(nil), srv.Mint(nil); a == b {
		t.Error("two tokens are the same")
	}
}

func TestKeySetChanges(t *testing.T) {
	t.Parallel()
	srv := New(t, Options{Algorithm: "ES256"})
	first, old := srv.CurrentKey(), srv.Mint(nil)
	check := func(when, token string, want bool) {
		t.Helper()
		if _, err := verify(t, srv, token); (err == nil) != want {
			t.Errorf("%s: got error %v, want none: %v", when, err, want)
		}
	}
	second := srv.Rotate(true)
	check("rotated, old key kept, old token", old, true)
	check("rotated, old key kept, new token", srv.Mint(nil), true)
	srv.RemoveKey(first.ID)
	check("old key removed, old token", old, false)
	stale := srv.Mint(nil)
	if k := srv.ReplaceKey(second.ID); k.ID != second.ID || srv.CurrentKey() != k {
		t.Errorf("got key %q, want a current one named %q", k.ID, second.ID)
	}
	check("key replaced, old token", stale, false)
	check("key replaced, new token", srv.Mint(nil), true)
	srv.Rotate(false)
	if n := strings.Count(string(srv.JWKSDocument()), `"kid"`); n != 1 {
		t.Errorf("got %d keys after a rotation that keeps none, want 1", n)
	}
	srv.SetRawJWKS([]byte("not JSON"))
	if got := string(srv.JWKSDocument()); got != "not JSON" {
		t.Errorf("got key set %q, want what was set", got)
	}
	srv.SetRawJWKS(nil)
	check("own key set restored", srv.Mint(nil), true)
}

func TestServersShareNoKey(t *testing.T) {
	t.Parallel()
	a, b := New(t, Options{}), New(t, Options{})
	if slices.Equal(a.CurrentKey().PublicDER(), b.CurrentKey().PublicDER()) {
		t.Error("two servers have the same key")
	}
	if _, err := verify(t, b, a.Mint(nil)); err == nil {
		t.Error("a token of one server verifies at another")
	}
}
