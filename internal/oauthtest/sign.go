package oauthtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // RS1, which must be refused
	_ "crypto/sha256"
	_ "crypto/sha512"
	"fmt"
	"math/big"
)

// hashes names the hash of each algorithm that has one of its own.
var hashes = map[string]crypto.Hash{
	"RS1":   crypto.SHA1,
	"RS256": crypto.SHA256, "RS384": crypto.SHA384, "RS512": crypto.SHA512,
	"PS256": crypto.SHA256, "PS384": crypto.SHA384, "PS512": crypto.SHA512,
	"ES256": crypto.SHA256, "ES384": crypto.SHA384, "ES512": crypto.SHA512,
	"HS256": crypto.SHA256, "HS384": crypto.SHA384, "HS512": crypto.SHA512,
}

// sign makes a JWS signature (RFC 7518 section 3), also those that go-jose
// won't make.
func sign(alg string, key any, input []byte) []byte {
	var signature []byte
	var err error
	switch key := key.(type) {
	case []byte:
		mac := hmac.New(hashes[alg].New, key)
		mac.Write(input)
		signature = mac.Sum(nil)
	case ed25519.PrivateKey:
		signature = ed25519.Sign(key, input)
	case *ecdsa.PrivateKey:
		var r, s *big.Int
		if r, s, err = ecdsa.Sign(rand.Reader, key, digest(alg, input)); err == nil {
			signature = rawECDSA(key, r, s)
		}
	case *rsa.PrivateKey:
		if alg[0] == 'P' {
			signature, err = rsa.SignPSS(rand.Reader, key, hashes[alg], digest(alg, input),
				&rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			signature, err = rsa.SignPKCS1v15(rand.Reader, key, hashes[alg], digest(alg, input))
		}
	default:
		err = fmt.Errorf("no way to sign with a %T", key)
	}
	if err != nil {
		panic(fmt.Sprintf("oauthtest: signing with %s: %v", alg, err))
	}
	return signature
}

func digest(alg string, input []byte) []byte {
	h := hashes[alg].New()
	h.Write(input)
	return h.Sum(nil)
}

// rawECDSA is r and s at the full width of the curve, one after the other.
func rawECDSA(key *ecdsa.PrivateKey, r, s *big.Int) []byte {
	width := (key.Curve.Params().BitSize + 7) / 8
	signature := make([]byte, 2*width)
	r.FillBytes(signature[:width])
	s.FillBytes(signature[width:])
	return signature
}
