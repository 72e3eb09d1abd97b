package keys_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
)

// document returns a key set of the given JWKs.
func document(t testing.TB, jwks ...any) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]any{"keys": jwks})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// with returns a copy of jwk with some members changed; [oauthtest.Absent]
// removes one.
func with(jwk map[string]any, changes map[string]any) map[string]any {
	jwk = maps.Clone(jwk)
	maps.Copy(jwk, changes)
	maps.DeleteFunc(jwk, func(_ string, v any) bool { return v == oauthtest.Absent })
	return jwk
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func TestParseSetUsable(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{})
	rsaJWK := srv.NewKey("RS256", "rsa").JWK()
	ecJWK := srv.NewKey("ES256", "ec").JWK()
	p521 := srv.NewKey("ES512", "p521").JWK()
	ed := srv.NewKey("EdDSA", "ed")
	edJWK := ed.JWK()
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	modulus := func(bits int) string { // of the right size; that it isn't a product of primes nobody sees
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		return b64(n.SetBit(n, 0, 1).Bytes())
	}
	order8 := "JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU"

	tests := []struct {
		name string
		jwk  any
		want bool
	}{
		{"RSA", rsaJWK, true},
		{"RSA without alg, use and kid", with(rsaJWK, map[string]any{"alg": oauthtest.Absent, "use": oauthtest.Absent, "kid": oauthtest.Absent}), true},
		{"RSA 8192", with(rsaJWK, map[string]any{"n": modulus(8192)}), true},
		{"RSA, exponent 3", with(rsaJWK, map[string]any{"e": "Aw"}), true},
		{"EC", ecJWK, true},
		{"P-521", p521, true},
		{"Ed25519", edJWK, true},
		{"key_ops verify", with(ecJWK, map[string]any{"use": oauthtest.Absent, "key_ops": []string{"verify"}}), true},
		{"certificate beside the key", with(rsaJWK, map[string]any{"x5c": []string{"AAAA"}, "x5t": "AA"}), true},

		{"use enc", with(rsaJWK, map[string]any{"use": "enc"}), false},
		{"use in upper case", with(rsaJWK, map[string]any{"use": "SIG"}), false},
		{"use a number", with(rsaJWK, map[string]any{"use": 1}), false},
		{"key_ops sign", with(rsaJWK, map[string]any{"key_ops": []string{"sign"}}), false},
		{"key_ops empty", with(rsaJWK, map[string]any{"key_ops": []string{}}), false},
		{"oct", map[string]any{"kty": "oct", "k": b64([]byte("secret")), "kid": "oct"}, false},
		{"x5c only", map[string]any{"kty": "RSA", "x5c": []string{"AAAA"}}, false},
		{"kty missing", with(rsaJWK, map[string]any{"kty": oauthtest.Absent}), false},
		{"kty in lower case", with(rsaJWK, map[string]any{"kty": "rsa"}), false},
		{"kty and KTY", with(rsaJWK, map[string]any{"kty": "x", "KTY": "RSA"}), false},
		{"RSA 1024", with(rsaJWK, map[string]any{"n": b64(small.N.Bytes())}), false},
		{"RSA 2047", with(rsaJWK, map[string]any{"n": modulus(2047)}), false},
		{"RSA 8193", with(rsaJWK, map[string]any{"n": modulus(8193)}), false},
		{"RSA 16384", with(rsaJWK, map[string]any{"n": modulus(16384)}), false},
		{"RSA, modulus padded with zeros", with(rsaJWK, map[string]any{"n": b64(append(make([]byte, 256), small.N.Bytes()...))}), false},
		{"RSA, no modulus", with(rsaJWK, map[string]any{"n": oauthtest.Absent}), false},
		{"RSA, exponent 0", with(rsaJWK, map[string]any{"e": "AA"}), false},
		{"RSA, exponent 1", with(rsaJWK, map[string]any{"e": "AQ"}), false},
		{"RSA, exponent even", with(rsaJWK, map[string]any{"e": b64([]byte{1, 0, 0})}), false},
		{"RSA, exponent of 32 bits", with(rsaJWK, map[string]any{"e": b64([]byte{0xff, 0xff, 0xff, 0xff})}), false},
		{"RSA, exponent of 5 bytes", with(rsaJWK, map[string]any{"e": b64([]byte{1, 0, 0, 0, 1})}), false},
		{"RSA, exponent empty", with(rsaJWK, map[string]any{"e": ""}), false},
		{"RSA, exponent a number", with(rsaJWK, map[string]any{"e": 65537}), false},
		{"RSA, padded base64", with(rsaJWK, map[string]any{"e": "AQAB===="}), false},
		{"EC, off the curve", with(ecJWK, map[string]any{"y": ecJWK["x"]}), false},
		{"EC, infinity", with(ecJWK, map[string]any{"x": b64(make([]byte, 32)), "y": b64(make([]byte, 32))}), false},
		{"EC, coordinate too short", with(ecJWK, map[string]any{"x": b64(make([]byte, 31))}), false},
		{"EC, coordinate too long", with(ecJWK, map[string]any{"x": b64(make([]byte, 33))}), false},
		{"EC, no y", with(ecJWK, map[string]any{"y": oauthtest.Absent}), false},
		{"EC, other curve", with(ecJWK, map[string]any{"crv": "P-384"}), false},
		{"secp256k1", with(ecJWK, map[string]any{"crv": "secp256k1"}), false},
		{"Ed448", map[string]any{"kty": "OKP", "crv": "Ed448", "x": b64(make([]byte, 57))}, false},
		{"X25519", with(edJWK, map[string]any{"crv": "X25519"}), false},
		{"Ed25519, short", with(edJWK, map[string]any{"x": b64(make([]byte, 31))}), false},
		{"Ed25519, zeros", with(edJWK, map[string]any{"x": b64(make([]byte, 32))}), false},
		{"Ed25519, the neutral element", with(edJWK, map[string]any{"x": b64(append([]byte{1}, make([]byte, 31)...))}), false},
		{"Ed25519, order 8", with(edJWK, map[string]any{"x": order8}), false},
		{"Ed25519, order 8, negative", with(edJWK, map[string]any{"x": strings.TrimSuffix(order8, "AU") + "IU"}), false},
		{"private RSA", srv.NewKey("RS256", "p").PrivateJWK(), false},
		{"private EC", srv.NewKey("ES256", "p").PrivateJWK(), false},
		{"private Ed25519", srv.NewKey("EdDSA", "p").PrivateJWK(), false},
		{"d null", with(rsaJWK, map[string]any{"d": nil}), false},
		{"null", nil, false},
		{"number", 1, false},
		{"text", "RSA", false},
		{"array", []any{rsaJWK}, false},
		{"empty object", map[string]any{}, false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			alone, err := keys.ParseSet(document(t, tc.jwk))
			if got := err == nil && alone.Len() == 1; got != tc.want {
				t.Errorf("alone: got usable %t (%v), want %t", got, err, tc.want)
			}
			if err != nil && alone != nil {
				t.Errorf("alone: got a set and the error %v, want one of both", err)
			}
			among, err := keys.ParseSet(document(t, edJWK, tc.jwk, ecJWK))
			want := 2
			if tc.want {
				want = 3
			}
			if err != nil || among.Len() != want {
				t.Errorf("among good keys: got %v, want %d usable keys", err, want)
			}
		})
	}
}

func TestParseSetDocuments(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{Algorithm: "ES256"})
	good, err := json.Marshal(srv.CurrentKey().JWK())
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, doc string
		want      int // usable keys; 0: an error
	}{
		{"one key", `{"keys":[` + string(good) + `]}`, 1},
		{"unknown member", `{"x":1,"keys":[` + string(good) + `]}`, 1},
		{"a key with a member twice", `{"keys":[{"kty":"EC","kty":"RSA"},` + string(good) + `]}`, 1},
		{"a key with invalid UTF-8", "{\"keys\":[{\"kty\":\"\xff\"}," + string(good) + `]}`, 1},
		{"a key twice", `{"keys":[` + string(good) + `,` + string(good) + `]}`, 2},
		{"empty", ``, 0},
		{"no object", `[` + string(good) + `]`, 0},
		{"no keys", `{}`, 0},
		{"keys empty", `{"keys":[]}`, 0},
		{"keys null", `{"keys":null}`, 0},
		{"keys an object", `{"keys":` + string(good) + `}`, 0},
		{"KEYS", `{"KEYS":[` + string(good) + `]}`, 0},
		{"HTML", `<!DOCTYPE html>`, 0},
		{"truncated", `{"keys":[` + string(good), 0},
		{"rest", `{"keys":[` + string(good) + `]}x`, 0},
		{"a bare key", string(good), 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			set, err := keys.ParseSet([]byte(tc.doc))
			if got := err == nil; got != (tc.want > 0) || got && set.Len() != tc.want {
				t.Errorf("got %v (%v), want %d keys", set, err, tc.want)
			}
		})
	}
}

func TestSetEqual(t *testing.T) {
	t.Parallel()
	srv := oauthtest.New(t, oauthtest.Options{Algorithm: "ES256"})
	parse := func(jwks ...any) *keys.Set {
		set, err := keys.ParseSet(document(t, jwks...))
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	a, b := srv.NewKey("ES256", "a").JWK(), srv.NewKey("EdDSA", "b").JWK()
	tests := []struct {
		name string
		x, y *keys.Set
		want bool
	}{
		{"same keys", parse(a, b), parse(a, b), true},
		{"unusable key added", parse(a, b), parse(a, 1, b), true},
		{"key missing", parse(a, b), parse(a), false},
		{"other kid", parse(a), parse(with(a, map[string]any{"kid": "c"})), false},
		{"other alg", parse(a), parse(with(a, map[string]any{"alg": oauthtest.Absent})), false},
		{"other key under the same kid", parse(a), parse(srv.NewKey("ES256", "a").JWK()), false},
		{"other kind of key under the same kid", parse(a), parse(with(b, map[string]any{"kid": "a", "alg": "ES256"})), false},
		{"nil", parse(a), nil, false},
	}
	for _, tc := range tests {
		if got := tc.x.Equal(tc.y); got != tc.want {
			t.Errorf("%s: got %t, want %t", tc.name, got, tc.want)
		}
		if got := tc.y.Equal(tc.x); got != tc.want {
			t.Errorf("%s, the other way round: got %t, want %t", tc.name, got, tc.want)
		}
	}
}

func FuzzParseSet(f *testing.F) {
	srv := oauthtest.New(f, oauthtest.Options{Algorithm: "ES256"})
	srv.AddKey("EdDSA", "ed")
	srv.AddKey("RS256", "rsa")
	f.Add(srv.JWKSDocument())
	for _, seed := range []string{
		`{}`, `{"keys":[]}`, `{"keys":[{}]}`, `{"keys":null}`, `<html>`, `{"keys":[{"kty":"oct","k":"AA"}]}`,
		`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}`,
		`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := keys.ParseSet(data)
		if (set == nil) == (err == nil) {
			t.Fatalf("got %v, %v, want a set or an error", set, err)
		}
		if err != nil {
			return
		}
		again, err := keys.ParseSet(data)
		if err != nil || set.Len() == 0 || !set.Equal(again) {
			t.Errorf("got %d keys, then %v (%v), want the same keys twice", set.Len(), again, err)
		}
	})
}
