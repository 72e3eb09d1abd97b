package keys

// This file checks the signatures of RFC 7518, section 3, RFC 8037 and RFC 9864
// with the standard library's implementations. Not supported: every symmetric
// algorithm, none, ES256K, RS1, Ed448.

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // registers the hashes that the algorithms name
	_ "crypto/sha512"
	"errors"
	"maps"
	"math/big"
	"slices"
)

// algorithm is one signature algorithm: which keys it takes, and how a
// signature is checked with them.
type algorithm struct {
	keyType string // kty
	curve   elliptic.Curve
	hash    crypto.Hash
	verify  func(a *algorithm, key crypto.PublicKey, input, signature []byte) bool
}

// algorithms lists every supported algorithm. Nothing in a token adds to it, and none
// of them uses a shared secret, so a public key is never taken for one.
var algorithms = map[string]*algorithm{
	"RS256":   {keyType: "RSA", hash: crypto.SHA256, verify: verifyPKCS1v15},
	"RS384":   {keyType: "RSA", hash: crypto.SHA384, verify: verifyPKCS1v15},
	"RS512":   {keyType: "RSA", hash: crypto.SHA512, verify: verifyPKCS1v15},
	"PS256":   {keyType: "RSA", hash: crypto.SHA256, verify: verifyPSS},
	"PS384":   {keyType: "RSA", hash: crypto.SHA384, verify: verifyPSS},
	"PS512":   {keyType: "RSA", hash: crypto.SHA512, verify: verifyPSS},
	"ES256":   {keyType: "EC", hash: crypto.SHA256, curve: elliptic.P256(), verify: verifyECDSA},
	"ES384":   {keyType: "EC", hash: crypto.SHA384, curve: elliptic.P384(), verify: verifyECDSA},
	"ES512":   {keyType: "EC", hash: crypto.SHA512, curve: elliptic.P521(), verify: verifyECDSA},
	"EdDSA":   {keyType: "OKP", verify: verifyEd25519},
	"Ed25519": {keyType: "OKP", verify: verifyEd25519},
}

// Algorithms returns the names of all supported algorithms, sorted.
func Algorithms() []string { return slices.Sorted(maps.Keys(algorithms)) }

// Supported reports whether alg is one of [Algorithms].
func Supported(alg string) bool { return algorithms[alg] != nil }

// The errors of [Set.Verify].
var (
	ErrUnknownKey   = errors.New("no key of this kid and algorithm")
	ErrBadSignature = errors.New("no key made this signature")
)

// Verify checks a signature of input whose header says alg and kid, which may be
// empty. Its error is [ErrUnknownKey] or [ErrBadSignature]. For an algorithm that
// isn't supported, there is no key.
func (s *Set) Verify(alg, kid string, input, signature []byte) error {
	a := algorithms[alg]
	if a == nil {
		return ErrUnknownKey
	}
	candidates := s.candidates(alg, kid, a)
	if len(candidates) == 0 {
		return ErrUnknownKey
	}
	for _, k := range candidates {
		if a.verify(a, k.public, input, signature) {
			return nil
		}
	}
	return ErrBadSignature
}

// Twin returns the other form of an ECDSA signature, which anyone can compute and
// which the same key verifies. Nil if alg isn't ECDSA's, or signature has no
// other form.
func Twin(alg string, signature []byte) []byte {
	a := algorithms[alg]
	if a == nil || a.curve == nil {
		return nil
	}
	size := coordinateSize(a.curve)
	if len(signature) != 2*size {
		return nil
	}
	order := a.curve.Params().N
	s := new(big.Int).SetBytes(signature[size:])
	if s.Sign() <= 0 || s.Cmp(order) >= 0 {
		return nil
	}
	twin := slices.Clone(signature)
	s.Sub(order, s).FillBytes(twin[size:])
	return twin
}

func (a *algorithm) digest(input []byte) []byte {
	h := a.hash.New()
	h.Write(input)
	return h.Sum(nil)
}

func verifyPKCS1v15(a *algorithm, key crypto.PublicKey, input, signature []byte) bool {
	return rsa.VerifyPKCS1v15(key.(*rsa.PublicKey), a.hash, a.digest(input), signature) == nil
}

// verifyPSS requires a salt as long as the hash (RFC 7518, section 3.5).
func verifyPSS(a *algorithm, key crypto.PublicKey, input, signature []byte) bool {
	opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
	return rsa.VerifyPSS(key.(*rsa.PublicKey), a.hash, a.digest(input), signature, opts) == nil
}

// verifyECDSA expects R and S at their full length, one after the other (RFC 7518,
// section 3.4). ASN.1 and shortened integers would be second spellings of the same
// signature, so they are refused.
func verifyECDSA(a *algorithm, key crypto.PublicKey, input, signature []byte) bool {
	size := coordinateSize(a.curve)
	if len(signature) != 2*size {
		return false
	}
	r := new(big.Int).SetBytes(signature[:size])
	s := new(big.Int).SetBytes(signature[size:])
	return ecdsa.Verify(key.(*ecdsa.PublicKey), a.digest(input), r, s)
}

func verifyEd25519(_ *algorithm, key crypto.PublicKey, input, signature []byte) bool {
	return ed25519.Verify(key.(ed25519.PublicKey), input, signature)
}

// coordinateSize is the length in bytes of a coordinate of c.
func coordinateSize(c elliptic.Curve) int { return (c.Params().BitSize + 7) / 8 }
