// Package keys reads JSON Web Key Sets and checks signatures with them. It knows
// nothing of Caddy.
package keys

// This file reads JSON Web Key Sets (RFC 7517). Not supported, and skipped: symmetric
// keys, secp256k1, Ed448, certificates (x5c), keys that are not for verifying
// signatures.

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math/big"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Source provides the keys of one issuer.
type Source interface {
	// KeySet returns keys that were requested from the issuer at since or later, and
	// asks the issuer if there are none. With a zero since, the keys at hand will do.
	// The error is an [*outbound.UnavailableError]: there are no such keys, and the
	// issuer can't be reached or was asked too recently.
	KeySet(ctx context.Context, since time.Time) (*Set, error)
}

// Set is a set of public keys. It never changes.
type Set struct {
	keys []key
}

// key is a public key and what it may be used for.
type key struct {
	id        string // kid; empty if absent
	algorithm string // alg; empty if absent
	keyType   string // kty
	curve     elliptic.Curve
	public    crypto.PublicKey
}

const (
	// maxTrials is how many keys are tried on one token. Issuers publish two
	// or three; a token without kid must not buy a hundred signature checks.
	maxTrials = 8

	// MinRSABits is the least size of an RSA key.
	MinRSABits = 2048
	// maxRSABits bounds the cost of a check, which grows with the square of the size.
	maxRSABits = 8192
)

// ParseSet reads a JSON Web Key Set. Keys that can't be used here are skipped, as RFC
// 7517, section 5 asks. A set without a usable key is an error, so that it never
// replaces a good one.
func ParseSet(data []byte) (*Set, error) {
	var doc struct {
		Keys []jsontext.Value `json:"keys"`
	}
	// Duplicate names are judged key by key: one odd key must not spoil the set.
	if err := json.Unmarshal(data, &doc, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
		return nil, errors.New("not a JSON Web Key Set")
	}
	set := new(Set)
	for _, raw := range doc.Keys {
		if k, err := parseKey(raw); err == nil {
			set.keys = append(set.keys, k)
		}
	}
	if len(set.keys) == 0 {
		return nil, errors.New("no usable key in the JSON Web Key Set")
	}
	return set, nil
}

// Len returns the number of usable keys.
func (s *Set) Len() int { return len(s.keys) }

// Equal reports whether both sets hold the same keys. Their order doesn't matter:
// some issuers shuffle them.
func (s *Set) Equal(other *Set) bool {
	if s == nil || other == nil {
		return s == other
	}
	return len(s.keys) == len(other.keys) && s.contains(other) && other.contains(s)
}

func (s *Set) contains(other *Set) bool {
	for _, k := range other.keys {
		if !slices.ContainsFunc(s.keys, k.equal) {
			return false
		}
	}
	return true
}

func (k key) equal(other key) bool {
	pub, ok := k.public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.id == other.id && k.algorithm == other.algorithm && pub.Equal(other.public)
}

// Has reports whether there is a key with this kid, whatever its use.
func (s *Set) Has(kid string) bool {
	return kid != "" && slices.ContainsFunc(s.keys, func(k key) bool { return k.id == kid })
}

// candidates returns the keys that may have made a signature whose header says
// alg and kid. kid may be empty.
func (s *Set) candidates(alg, kid string, a *algorithm) []key {
	var found []key
	for _, k := range s.keys {
		if kid != "" && k.id != kid ||
			k.algorithm != "" && k.algorithm != alg ||
			k.keyType != a.keyType || k.curve != a.curve {
			continue
		}
		if found = append(found, k); len(found) == maxTrials {
			break
		}
	}
	return found
}

// jwk has the members of a JSON Web Key that are read (RFC 7517, section 4; RFC 7518,
// section 6; RFC 8037, section 2).
type jwk struct {
	KeyType   string   `json:"kty"`
	Use       string   `json:"use"`
	KeyOps    []string `json:"key_ops"`
	Algorithm string   `json:"alg"`
	KeyID     string   `json:"kid"`

	Curve string `json:"crv"`
	X     string `json:"x"`
	Y     string `json:"y"`
	N     string `json:"n"`
	E     string `json:"e"`

	// D is the private part of any asymmetric key. It is read only to detect private
	// keys.
	D jsontext.Value `json:"d"`
}

// base64url decodes text without padding. It refuses stray bits after the last byte.
var base64url = base64.RawURLEncoding.Strict()

var errUnusableKey = errors.New("unusable key")

func parseKey(raw jsontext.Value) (key, error) {
	var j jwk
	if err := json.Unmarshal(raw, &j); err != nil {
		return key{}, errUnusableKey
	}
	return j.key()
}

// key returns the key, if it can be used here.
func (j *jwk) key() (key, error) {
	if j.Use != "" && j.Use != "sig" || j.KeyOps != nil && !slices.Contains(j.KeyOps, "verify") {
		return key{}, errUnusableKey
	}
	// A published private key proves nothing: anyone can sign with it.
	if j.D != nil {
		return key{}, errUnusableKey
	}
	k := key{id: j.KeyID, algorithm: j.Algorithm, keyType: j.KeyType}
	var err error
	switch {
	case j.KeyType == "RSA":
		k.public, err = j.rsa()
	case j.KeyType == "EC":
		k.public, k.curve, err = j.ec()
	case j.KeyType == "OKP" && j.Curve == "Ed25519":
		k.public, err = j.ed25519()
	default:
		err = errUnusableKey
	}
	return k, err
}

func (j *jwk) rsa() (crypto.PublicKey, error) {
	n, errN := base64url.DecodeString(j.N)
	e, errE := base64url.DecodeString(j.E)
	if errN != nil || errE != nil || len(e) == 0 || len(e) > 4 {
		return nil, errUnusableKey
	}
	pub := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	if bits := pub.N.BitLen(); bits < MinRSABits || bits > maxRSABits || pub.E < 3 || pub.E%2 == 0 || pub.E > 1<<31-1 {
		return nil, errUnusableKey
	}
	return pub, nil
}

func (j *jwk) ec() (crypto.PublicKey, elliptic.Curve, error) {
	var curve elliptic.Curve
	switch j.Curve {
	case "P-256":
		curve = elliptic.P256()
	case "P-384":
		curve = elliptic.P384()
	case "P-521":
		curve = elliptic.P521()
	default:
		return nil, nil, errUnusableKey
	}
	size := coordinateSize(curve)
	x, errX := base64url.DecodeString(j.X)
	y, errY := base64url.DecodeString(j.Y)
	if errX != nil || errY != nil || len(x) != size || len(y) != size {
		return nil, nil, errUnusableKey
	}
	// Refuses points that are not on the curve.
	pub, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y))
	if err != nil {
		return nil, nil, errUnusableKey
	}
	return pub, curve, nil
}

func (j *jwk) ed25519() (crypto.PublicKey, error) {
	x, err := base64url.DecodeString(j.X)
	if err != nil || len(x) != ed25519.PublicKeySize || smallOrder(x) {
		return nil, errUnusableKey
	}
	return ed25519.PublicKey(x), nil
}

// smallOrder reports whether x is one of the encodings of the eight points whose
// order divides 8. Under such a key a signature fits one message in eight, so
// anyone can sign. The list is libsodium's (ge25519_has_small_order); the sign
// in the last bit doesn't matter.
func smallOrder(x []byte) bool {
	x = slices.Clone(x)
	x[len(x)-1] &^= 0x80
	switch hex.EncodeToString(x) {
	case "0000000000000000000000000000000000000000000000000000000000000000", // order 4
		"0100000000000000000000000000000000000000000000000000000000000000", // order 1
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", // order 8
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", // order 8
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // p-1, order 2
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // p, for 0
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f": // p+1, for 1
		return true
	}
	return false
}
