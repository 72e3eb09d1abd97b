package oauthtest

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
)

// bad publishes a key whose JWK has been changed, and adds a token by it.
func (m *matrix) bad(name, want, alg string, members map[string]any) {
	k := m.srv.NewKey(alg, fmt.Sprintf("bad-%d", m.srv.number()))
	m.srv.AddJWK(set(k.JWK(), members))
	m.add(name, want, m.mint(WithKey(k)))
}

// badKeys is about members of the key set that must not verify anything, and
// must not spoil the others.
func (m *matrix) badKeys() {
	m.group = "key"
	const use = "the issuer says that the key is not for signatures"
	m.bad("use enc", use, "RS256", map[string]any{"use": "enc"})
	m.bad("use enc, EC", use, "ES256", map[string]any{"use": "enc"})
	m.bad("use unknown", use, "RS256", map[string]any{"use": "SIG"})
	m.bad("use: number", use, "RS256", map[string]any{"use": 1})
	m.bad("key_ops encrypt", use, "RS256", map[string]any{"use": Absent, "key_ops": []string{"encrypt", "wrapKey"}})
	m.bad("key_ops sign only", use, "RS256", map[string]any{"use": Absent, "key_ops": []string{"sign"}})
	m.bad("key_ops empty", use, "ES256", map[string]any{"use": Absent, "key_ops": []string{}})
	m.bad("key_ops of another case", use, "ES256", map[string]any{"use": Absent, "key_ops": []string{"VERIFY"}})
	m.bad("key_ops encrypt, use sig", use, "RS256", map[string]any{"key_ops": []string{"encrypt"}})

	const alg = "the issuer says that the key is for another algorithm"
	m.bad("alg RSA-OAEP", alg, "RS256", map[string]any{"alg": "RSA-OAEP-256"})
	m.bad("alg HS256", alg, "RS256", map[string]any{"alg": "HS256"})
	m.bad("alg none", alg, "RS256", map[string]any{"alg": "none"})
	m.bad("alg PS256", alg, "RS256", map[string]any{"alg": "PS256"})
	m.bad("alg in lower case", alg, "RS256", map[string]any{"alg": "rs256"})
	m.bad("alg of another curve", alg, "ES256", map[string]any{"alg": "ES384"})
	m.bad("alg ECDH-ES", alg, "ES256", map[string]any{"alg": "ECDH-ES"})

	const kty = "the key is not what it says"
	m.bad("kty missing", kty, "RS256", map[string]any{"kty": Absent})
	m.bad("kty in lower case", kty, "RS256", map[string]any{"kty": "rsa"})
	m.bad("kty of another key", kty, "RS256", map[string]any{"kty": "EC"})
	m.bad("kty oct with the public members", kty, "RS256", map[string]any{"kty": "oct", "k": b64([]byte("secret"))})
	m.bad("crv of another curve", kty, "ES256", map[string]any{"crv": "P-384"})
	m.bad("crv missing", kty, "ES256", map[string]any{"crv": Absent})
	m.bad("crv secp256k1", kty, "ES256", map[string]any{"crv": "secp256k1"})
	m.bad("crv of key agreement", kty, "EdDSA", map[string]any{"crv": "X25519"})
	m.bad("point that is not on the curve", kty, "ES256", map[string]any{"y": b64(make([]byte, 32))})
	m.bad("point without y", kty, "ES256", map[string]any{"y": Absent})
	m.bad("modulus missing", kty, "RS256", map[string]any{"n": Absent})
	m.bad("exponent missing", kty, "RS256", map[string]any{"e": Absent})

	private := m.srv.NewKey("RS256", "bad-private-rsa")
	m.srv.AddJWK(private.PrivateJWK())
	m.add("private members published", "everybody can sign with it", m.mint(WithKey(private)))
	private = m.srv.NewKey("ES256", "bad-private-ec")
	m.srv.AddJWK(private.PrivateJWK())
	m.add("private member published, EC", "everybody can sign with it", m.mint(WithKey(private)))

	m.weakKeys()
}

// weakKeys are keys that not only their owner can sign with.
func (m *matrix) weakKeys() {
	const symmetric = "symmetric keys are refused: a published one is no secret"
	secret := bytes.Repeat([]byte("published secret"), 4)
	m.srv.AddJWK(map[string]any{"kty": "oct", "kid": "bad-oct", "alg": "HS256", "use": "sig", "k": b64(secret)})
	m.add("oct", symmetric, m.mint(WithSecret("HS256", secret), WithHeader("kid", "bad-oct")))
	m.srv.AddJWK(map[string]any{"kty": "oct", "kid": "bad-oct-2", "k": b64(secret)})
	m.add("oct without alg", symmetric, m.mint(WithSecret("HS512", secret), WithHeader("kid", "bad-oct-2")))
	m.srv.AddJWK(map[string]any{"kty": "oct", "kid": "bad-oct-3", "alg": "RS256", "k": b64(secret)})
	m.add("oct for RS256", symmetric, m.mint(WithKey(m.rsa), WithHeader("kid", "bad-oct-3")))

	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		panic(fmt.Sprintf("oauthtest: generating small RSA key: %v", err))
	}
	for _, alg := range []string{"RS256", "PS256"} {
		k := &Key{ID: "bad-1024-" + alg, Algorithm: alg, Private: small}
		m.srv.AddJWK(k.JWK())
		m.add("RSA of 1024 bits, "+alg, "RSA keys have at least 2048 bits (RFC 7518 section 3.3)", m.mint(WithKey(k)))
	}

	// With the exponent 1 the padded digest is its own signature.
	k := m.srv.NewKey("RS256", "bad-exponent")
	m.srv.AddJWK(set(k.JWK(), map[string]any{"e": b64([]byte{1})}))
	header := mustJSON(map[string]any{"alg": "RS256", "kid": k.ID, "typ": "at+jwt"})
	payload := []byte("{" + m.members(nil) + "}")
	m.add("RSA with the exponent 1", "anybody can sign for such a key",
		Compact(header, payload, paddedDigest(signingInput(header, payload), 256)))
}

// paddedDigest is EMSA-PKCS1-v1_5 of SHA-256 (RFC 8017 section 9.2).
func paddedDigest(input []byte, size int) []byte {
	digestInfo := append([]byte{
		0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20,
	}, digest("RS256", input)...)
	padded := bytes.Repeat([]byte{0xff}, size)
	padded[0], padded[1] = 0, 1
	padded[size-len(digestInfo)-1] = 0
	copy(padded[size-len(digestInfo):], digestInfo)
	return padded
}
