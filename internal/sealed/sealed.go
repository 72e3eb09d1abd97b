// Package sealed encrypts and authenticates what others keep for a server: in
// cookies, forms, identifiers, records.
package sealed

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
)

// Keys are the keys that everything sealed depends on, all derived from one.
type Keys struct{ master []byte }

// New returns the keys derived from master, which should be random and of 32
// bytes.
func New(master []byte) *Keys { return &Keys{master} }

// derive returns the key for one purpose, so that what was sealed for one never
// opens for another.
func (k *Keys) derive(purpose string) []byte {
	key, err := hkdf.Key(sha256.New, k.master, nil, "caddy-mcp-auth: "+purpose, 32)
	if err != nil {
		panic(err) // only lengths that don't exist are errors
	}
	return key
}

func (k *Keys) aead(purpose string) cipher.AEAD {
	block, err := aes.NewCipher(k.derive(purpose))
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return gcm
}

// Seal encrypts and authenticates plain. The same text sealed twice is the same,
// which is harmless, and wanted for client identifiers: the nonce is a keyed
// hash of the text, as in SIV modes (RFC 5297), so none is used for two texts.
func (k *Keys) Seal(purpose string, plain []byte) string {
	gcm := k.aead(purpose)
	nonce := k.MAC(purpose+" nonce", plain)[:gcm.NonceSize()]
	return base64.RawURLEncoding.EncodeToString(gcm.Seal(nonce, nonce, plain, nil))
}

// ErrSeal says that a text was not sealed with these keys, or for another purpose.
var ErrSeal = errors.New("not sealed here")

// Open returns what was sealed for purpose. Its error is [ErrSeal].
func (k *Keys) Open(purpose, sealed string) ([]byte, error) {
	// A client identifier must not have two spellings: hence strict, and without
	// the line breaks that the decoder would skip.
	if strings.ContainsAny(sealed, "\r\n") {
		return nil, ErrSeal
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	gcm := k.aead(purpose)
	if err != nil || len(b) < gcm.NonceSize() {
		return nil, ErrSeal
	}
	plain, err := gcm.Open(nil, b[:gcm.NonceSize()], b[gcm.NonceSize():], nil)
	if err != nil {
		return nil, ErrSeal
	}
	return plain, nil
}

// MAC returns a keyed hash of text, of 32 bytes.
func (k *Keys) MAC(purpose string, text []byte) []byte {
	h := hmac.New(sha256.New, k.derive(purpose))
	h.Write(text)
	return h.Sum(nil)
}
