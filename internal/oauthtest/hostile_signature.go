package oauthtest

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/asn1"
	"math/big"
	"slices"
	"strings"
)

// bent adds a token whose good signature by k has been changed.
func (m *matrix) bent(name string, k *Key, edit func([]byte) []byte) {
	m.add(name, "the signature is not one of the issuer's keys over this token",
		m.mint(WithKey(k), WithSignature(edit)))
}

// signatures is about signatures that don't hold.
func (m *matrix) signatures() {
	for name, k := range map[string]*Key{"RS256": m.rsa, "ES256": m.ec, "EdDSA": m.ed} {
		m.group = "signature " + name
		m.bent("first bit flipped", k, func(s []byte) []byte { s[0] ^= 0x80; return s })
		m.bent("last bit flipped", k, func(s []byte) []byte { s[len(s)-1] ^= 1; return s })
		m.bent("a byte short", k, func(s []byte) []byte { return s[:len(s)-1] })
		m.bent("first byte missing", k, func(s []byte) []byte { return s[1:] })
		m.bent("half", k, func(s []byte) []byte { return s[:len(s)/2] })
		m.bent("one byte", k, func(s []byte) []byte { return s[:1] })
		m.bent("empty", k, func([]byte) []byte { return nil })
		m.bent("a byte more", k, func(s []byte) []byte { return append(s, 0) })
		m.bent("a zero before", k, func(s []byte) []byte { return slices.Insert(s, 0, 0) })
		m.bent("twice", k, func(s []byte) []byte { return append(s, s...) })
		m.bent("4 KB more", k, func(s []byte) []byte { return append(s, make([]byte, 4<<10)...) })
		m.bent("zeros", k, func(s []byte) []byte { return make([]byte, len(s)) })
		m.bent("ones", k, func(s []byte) []byte { return bytes.Repeat([]byte{0xff}, len(s)) })
		m.bent("reversed", k, func(s []byte) []byte { slices.Reverse(s); return s })

		const other = "the signature is over other content"
		good, second := strings.Split(m.mint(WithKey(k)), "."), strings.Split(m.mint(WithKey(k)), ".")
		m.add("of another token", other, good[0]+"."+good[1]+"."+second[2])
		m.add("over another header", other,
			b64(mustJSON(map[string]any{"alg": k.Algorithm, "kid": k.ID, "typ": "JWT"}))+"."+good[1]+"."+good[2])
		m.add("by nobody's key", "no key of the issuer has signed it",
			m.mint(WithKey(m.srv.NewKey(k.Algorithm, k.ID))))
	}

	m.group = "signature alg"
	const own = "the key is for another algorithm than the header's"
	for _, alg := range []string{"RS384", "RS512", "PS256", "PS384", "PS512"} {
		m.add(alg+" by a key for RS256", own, m.mint(WithKey(m.rsa), WithAlgorithm(alg)))
	}
	m.add("ES384 by a key for ES256", own, m.mint(WithKey(m.ec), WithAlgorithm("ES384"), ByHand()))
	m.add("ES512 by a key for ES256", own, m.mint(WithKey(m.ec), WithHeader("alg", "ES512")))
	const lie = "the header names another algorithm than the signature's"
	for _, alg := range []string{"RS512", "PS256"} {
		m.add("RS256 says the header, "+alg+" it is", lie, m.mint(WithKey(m.rsa), WithAlgorithm(alg), WithHeader("alg", "RS256")))
	}
	m.add("EdDSA says the header, RS256 it is", lie, m.mint(WithKey(m.rsa), WithHeader("alg", "EdDSA")))
	m.add("ES256 says the header, RS256 it is", lie, m.mint(WithKey(m.rsa), WithHeader("alg", "ES256")))
	m.add("RS256 says the header, ES256 it is", lie, m.mint(WithKey(m.ec), WithHeader("alg", "RS256")))
}

// ecSignatures is about r and s (CVE-2022-21449 and its kin).
func (m *matrix) ecSignatures() {
	m.group = "signature ES256"
	key := m.ec.Private.(*ecdsa.PrivateKey)
	zero, one, n := new(big.Int), big.NewInt(1), key.Params().N
	for name, pair := range map[string][2]*big.Int{
		"r = 0, s = 0": {zero, zero}, "r = 1, s = 1": {one, one}, "r = n, s = n": {n, n}, "r = 0, s = 1": {zero, one},
		"r = 1, s = 0": {one, zero}, "r = n, s = 1": {n, one}, "r = 1, s = n": {one, n},
		"r = n-1, s = n-1": {new(big.Int).Sub(n, one), new(big.Int).Sub(n, one)},
	} {
		m.bent(name, m.ec, func([]byte) []byte { return rawECDSA(key, pair[0], pair[1]) })
	}
	half := func(s []byte, i int) *big.Int { return new(big.Int).SetBytes(s[i*32 : i*32+32]) }
	m.bent("r = 0", m.ec, func(s []byte) []byte { return rawECDSA(key, zero, half(s, 1)) })
	m.bent("s = 0", m.ec, func(s []byte) []byte { return rawECDSA(key, half(s, 0), zero) })
	m.bent("r and s swapped", m.ec, func(s []byte) []byte { return append(slices.Clone(s[32:]), s[:32]...) })
	m.bent("r plus n", m.ec, func(s []byte) []byte {
		sum := new(big.Int).Add(half(s, 0), n)
		return append(sum.Bytes(), s[32:]...) // 33 bytes, then 32
	})
	m.bent("wider than the curve", m.ec, func(s []byte) []byte {
		wide := make([]byte, 96)
		copy(wide[16:48], s[:32])
		copy(wide[64:96], s[32:])
		return wide
	})
	m.bent("ASN.1", m.ec, func(s []byte) []byte {
		der, _ := asn1.Marshal(struct{ R, S *big.Int }{half(s, 0), half(s, 1)})
		return der
	})
	m.add("of P-384", "the curve is the algorithm's",
		m.mint(WithKey(m.srv.NewKey("ES384", m.ec.ID)), WithHeader("alg", "ES256")))
}
