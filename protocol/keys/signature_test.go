package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// signer returns a key for alg.
func signer(t *testing.T, alg string) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch alg {
	case "ES256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "EdDSA", "Ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// setOf returns a key set with the public half of key, under the kid k.
func setOf(t *testing.T, alg string, key crypto.Signer) *Set {
	t.Helper()
	b, err := json.Marshal(map[string]any{"keys": []any{jose.JSONWebKey{Key: key.Public(), KeyID: "k", Algorithm: alg, Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	set, err := ParseSet(b)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// sign signs with an implementation that isn't ours.
func sign(t *testing.T, alg string, key crypto.Signer) (input, signature []byte) {
	t.Helper()
	if alg == "Ed25519" { // RFC 9864's name for the same
		input = []byte("header.payload")
		return input, ed25519.Sign(key.(ed25519.PrivateKey), input)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign([]byte("payload"))
	if err != nil {
		t.Fatal(err)
	}
	compact, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	i := strings.LastIndexByte(compact, '.')
	signature, err = base64.RawURLEncoding.DecodeString(compact[i+1:])
	if err != nil {
		t.Fatal(err)
	}
	return []byte(compact[:i]), signature
}

func TestVerify(t *testing.T) {
	t.Parallel()
	for _, alg := range Algorithms() {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			key := signer(t, alg)
			set := setOf(t, alg, key)
			input, signature := sign(t, alg, key)
			flipped := slices.Clone(signature)
			flipped[len(flipped)/2] ^= 1
			_, foreign := sign(t, alg, signer(t, alg))
			for name, test := range map[string]struct {
				alg, kid         string
				input, signature []byte
				want             error
			}{
				"good":               {alg, "k", input, signature, nil},
				"good, without kid":  {alg, "", input, signature, nil},
				"another input":      {alg, "k", append(slices.Clone(input), 'x'), signature, ErrBadSignature},
				"no input":           {alg, "k", nil, signature, ErrBadSignature},
				"a bit is flipped":   {alg, "k", input, flipped, ErrBadSignature},
				"another key's":      {alg, "k", input, foreign, ErrBadSignature},
				"cut":                {alg, "k", input, signature[:len(signature)-1], ErrBadSignature},
				"with a byte before": {alg, "k", input, append([]byte{0}, signature...), ErrBadSignature},
				"with a byte after":  {alg, "k", input, append(slices.Clone(signature), 0), ErrBadSignature},
				"no signature":       {alg, "k", input, nil, ErrBadSignature},
				"zeros":              {alg, "k", input, make([]byte, len(signature)), ErrBadSignature},
				"another kid":        {alg, "K", input, signature, ErrUnknownKey},
				"none":               {"none", "k", input, nil, ErrUnknownKey},
				"a secret":           {"HS256", "k", input, signature, ErrUnknownKey},
				"no algorithm":       {"", "k", input, signature, ErrUnknownKey},
				"in lower case":      {strings.ToLower(alg), "k", input, signature, ErrUnknownKey},
			} {
				if err := set.Verify(test.alg, test.kid, test.input, test.signature); !errors.Is(err, test.want) {
					t.Errorf("%s: got %v, want %v", name, err, test.want)
				}
			}
			// A key that names its algorithm is for no other.
			for _, other := range Algorithms() {
				if err := set.Verify(other, "k", input, signature); (err == nil) != (other == alg) {
					t.Errorf("as %s: got %v", other, err)
				}
			}
		})
	}
}

// Only the fixed length counts, and only a salt as long as the hash.
func TestOtherSpellings(t *testing.T) {
	t.Parallel()
	input := []byte("header.payload")
	digest := sha256.Sum256(input)
	ec := signer(t, "ES256").(*ecdsa.PrivateKey)
	asn1, err := ecdsa.SignASN1(rand.Reader, ec, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	if err := setOf(t, "ES256", ec).Verify("ES256", "k", input, asn1); !errors.Is(err, ErrBadSignature) {
		t.Errorf("ECDSA in ASN.1: got %v, want %v", err, ErrBadSignature)
	}
	key := signer(t, "PS256").(*rsa.PrivateKey)
	for salt, want := range map[int]error{sha256.Size: nil, sha256.Size - 1: ErrBadSignature, 1: ErrBadSignature, 64: ErrBadSignature} {
		signature, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: salt})
		if err != nil {
			t.Fatal(err)
		}
		if err := setOf(t, "PS256", key).Verify("PS256", "k", input, signature); !errors.Is(err, want) {
			t.Errorf("a salt of %d bytes: got %v, want %v", salt, err, want)
		}
	}
}

func TestTwin(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"ES256", "ES384", "ES512"} {
		key := signer(t, alg)
		input, signature := sign(t, alg, key)
		twin := Twin(alg, signature)
		if slices.Equal(twin, signature) || setOf(t, alg, key).Verify(alg, "k", input, twin) != nil {
			t.Errorf("%s: the twin is the same, or isn't good", alg)
		}
		if !slices.Equal(Twin(alg, twin), signature) {
			t.Errorf("%s: the twin's twin is another", alg)
		}
		for name, bad := range map[string][]byte{
			"cut": signature[1:], "empty": nil, "S is zero": make([]byte, len(signature)), "S is too large": slices.Repeat([]byte{0xff}, len(signature)),
		} {
			if got := Twin(alg, bad); got != nil {
				t.Errorf("%s, %s: got a twin", alg, name)
			}
		}
	}
	for _, alg := range []string{"RS256", "EdDSA", "none", ""} {
		if got := Twin(alg, make([]byte, 64)); got != nil {
			t.Errorf("%s: got a twin", alg)
		}
	}
}
