package oauth

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

// secrets are the keys that everything sealed depends on, all derived from one.
type secrets struct{ master []byte }

// derive returns the key for one purpose, so that what was sealed for one never
// opens for another.
func (k *secrets) derive(purpose string) []byte {
	key, err := hkdf.Key(sha256.New, k.master, nil, "caddy-mcp-auth authorization server: "+purpose, 32)
	if err != nil {
		panic(err) // only lengths that don't exist are errors
	}
	return key
}

func (k *secrets) aead(purpose string) cipher.AEAD {
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

// seal encrypts and authenticates plain. The same text sealed twice is the same,
// which is harmless, and wanted for client identifiers: the nonce is a keyed
// hash of the text, as in SIV modes (RFC 5297), so none is used for two texts.
func (k *secrets) seal(purpose string, plain []byte) string {
	gcm := k.aead(purpose)
	nonce := k.mac(purpose+" nonce", plain)[:gcm.NonceSize()]
	return base64.RawURLEncoding.EncodeToString(gcm.Seal(nonce, nonce, plain, nil))
}

var errSeal = errors.New("not sealed by this server")

func (k *secrets) open(purpose, sealed string) ([]byte, error) {
	// Strict: a client identifier must not have two spellings.
	b, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	gcm := k.aead(purpose)
	if err != nil || len(b) < gcm.NonceSize() {
		return nil, errSeal
	}
	plain, err := gcm.Open(nil, b[:gcm.NonceSize()], b[gcm.NonceSize():], nil)
	if err != nil {
		return nil, errSeal
	}
	return plain, nil
}

func (k *secrets) mac(purpose string, text []byte) []byte {
	h := hmac.New(sha256.New, k.derive(purpose))
	h.Write(text)
	return h.Sum(nil)
}

// secret returns the keys. The master key comes from the configuration, or is
// made at first need and stored, beside the private keys of Caddy's own.
func (s *Server) secret(ctx context.Context) (*secrets, error) {
	s.secretMu.Lock()
	defer s.secretMu.Unlock()
	if s.secrets != nil {
		return s.secrets, nil
	}
	if len(s.config.Secret) > 0 {
		sum := sha256.Sum256(s.config.Secret)
		s.secrets = &secrets{sum[:]}
		return s.secrets, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	var master []byte
	found, err := s.load(ctx, secretKey, &master)
	if err == nil && !found {
		master, err = s.makeSecret(ctx)
	}
	if err != nil {
		return nil, unavailable(err)
	}
	if len(master) != 32 {
		return nil, unavailable(fmt.Errorf("the stored secret has %d bytes instead of 32", len(master)))
	}
	s.secrets = &secrets{master}
	return s.secrets, nil
}

// makeSecret stores a new master key, unless somebody else just has.
func (s *Server) makeSecret(ctx context.Context) ([]byte, error) {
	unlock, err := s.lock(ctx, secretKey)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var master []byte
	if found, err := s.load(ctx, secretKey, &master); err != nil || found {
		return master, err
	}
	master = make([]byte, 32)
	_, _ = rand.Read(master) // never fails
	return master, s.store(ctx, secretKey, master)
}

// Seal encrypts text for somebody else to keep: nobody but this server reads or
// alters it, and what is sealed for one purpose doesn't open for another.
func (s *Server) Seal(ctx context.Context, purpose string, text []byte) (string, error) {
	k, err := s.secret(ctx)
	if err != nil {
		return "", err
	}
	return k.seal("caller: "+purpose, text), nil
}

// Open returns what was sealed for purpose.
func (s *Server) Open(ctx context.Context, purpose, sealed string) ([]byte, error) {
	k, err := s.secret(ctx)
	if err != nil {
		return nil, err
	}
	return k.open("caller: "+purpose, sealed)
}
