// Package sealed encrypts and authenticates what a server lets others keep:
// cookies, forms, client identifiers, records.
package sealed

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
)

// Keys are the keys of one server, derived from a master secret. What they seal
// opens only for the same issuer and the same [Purpose]: both are part of every
// key and of the associated data, so two servers may share a master secret.
type Keys struct {
	master []byte
	issuer string
}

// New returns the keys of the server with the identifier issuer. The master
// secret should be 32 random bytes.
func New(master []byte, issuer string) *Keys { return &Keys{master, issuer} }

const (
	// saltSize is the length of the salt at the beginning of a sealed text.
	saltSize  = 16
	nonceSize = 12
	tagSize   = 16
)

// context says what a key is for. The length of each part precedes it, so that
// different parts always give different texts.
func (k *Keys) context(use string, purpose Purpose) string {
	var b []byte
	for _, part := range []string{"caddy-mcp-auth", use, k.issuer, purpose.name} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(part)))
		b = append(b, part...)
	}
	return string(b)
}

func (k *Keys) derive(salt []byte, use string, purpose Purpose) []byte {
	key, err := hkdf.Key(sha256.New, k.master, salt, k.context(use, purpose), 32)
	if err != nil {
		panic(err) // only impossible lengths are errors
	}
	return key
}

// block returns the cipher for one text, which has its own salt.
func (k *Keys) block(salt []byte, purpose Purpose) cipher.Block {
	block, err := aes.NewCipher(k.derive(salt, "seal", purpose))
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	return block
}

// Seal encrypts and authenticates plain. The result is salt, nonce, ciphertext
// and tag, in base64url.
//
// A random nonce of 96 bits alone would be good for 2³² texts, and anyone can
// cause any number of them: one for each sign-in that they start. The salt gives
// nearly every text its own key, so salt and nonce together never repeat.
//
// A deterministic purpose derives both from a keyed hash of the text instead, as
// in SIV modes (RFC 5297). The same text is then always sealed the same way. Two
// different texts are expected to share salt and nonce only after 2¹¹² texts.
// This reveals only whether two texts are equal.
func (k *Keys) Seal(purpose Purpose, plain []byte) string {
	salt := make([]byte, saltSize, saltSize+nonceSize+len(plain)+tagSize)
	data := []byte(k.context("seal", purpose))
	var out []byte
	if purpose.deterministic {
		synthetic := k.mac("synthetic nonce", purpose, plain)
		copy(salt, synthetic)
		nonce := synthetic[saltSize:][:nonceSize]
		gcm, err := cipher.NewGCM(k.block(salt, purpose))
		if err != nil {
			panic(err) // AES has the right block size
		}
		out = gcm.Seal(append(salt, nonce...), nonce, plain, data)
	} else {
		_, _ = rand.Read(salt) // never fails
		out = k.gcm(salt, purpose).Seal(salt, nil, plain, data)
	}
	return base64.RawURLEncoding.EncodeToString(out)
}

// gcm returns the AEAD, which makes its nonce and puts it before the ciphertext.
func (k *Keys) gcm(salt []byte, purpose Purpose) cipher.AEAD {
	gcm, err := cipher.NewGCMWithRandomNonce(k.block(salt, purpose))
	if err != nil {
		panic(err) // AES has the right block size
	}
	return gcm
}

// ErrSeal means that a text was not sealed with these keys: it comes from another
// server, is for another purpose, or was never sealed.
var ErrSeal = errors.New("not sealed here")

// Open returns what was sealed for purpose. The error is [ErrSeal].
func (k *Keys) Open(purpose Purpose, sealed string) ([]byte, error) {
	// A client identifier must not have two spellings. So decoding is strict, and
	// line breaks, which the decoder would skip, are refused.
	if strings.ContainsAny(sealed, "\r\n") {
		return nil, ErrSeal
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil || len(b) < saltSize+nonceSize+tagSize {
		return nil, ErrSeal
	}
	salt, rest := b[:saltSize], b[saltSize:]
	plain, err := k.gcm(salt, purpose).Open(nil, nil, rest, []byte(k.context("seal", purpose)))
	if err != nil {
		return nil, ErrSeal
	}
	return plain, nil
}

// MAC returns a keyed hash of text, 32 bytes long.
func (k *Keys) MAC(purpose Purpose, text []byte) []byte { return k.mac("mac", purpose, text) }

func (k *Keys) mac(use string, purpose Purpose, text []byte) []byte {
	h := hmac.New(sha256.New, k.derive(nil, use, purpose))
	h.Write(text)
	return h.Sum(nil)
}
