package oauthtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

// Key is a signing key, published or not.
type Key struct {
	// ID is the key's "kid". Empty: it has none.
	ID string
	// Algorithm is what the key signs with, and the "alg" of its JWK.
	Algorithm string
	// Private is an *rsa.PrivateKey, *ecdsa.PrivateKey or ed25519.PrivateKey.
	Private crypto.Signer
}

// JWK returns the members of the key's public JWK, for the caller to change.
func (k *Key) JWK() map[string]any {
	return jwkMembers(k.Private.Public(), k.ID, k.Algorithm)
}

// PrivateJWK is JWK with the private members, which no issuer should publish.
func (k *Key) PrivateJWK() map[string]any {
	return jwkMembers(k.Private, k.ID, k.Algorithm)
}

// PublicPEM returns the public key as a PEM block, which is what verifiers that
// confuse algorithms use as an HMAC secret.
func (k *Key) PublicPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: k.PublicDER()})
}

// PublicDER returns the public key as a DER SubjectPublicKeyInfo.
func (k *Key) PublicDER() []byte {
	der, err := x509.MarshalPKIXPublicKey(k.Private.Public())
	if err != nil {
		panic(fmt.Sprintf("oauthtest: encoding public key: %v", err))
	}
	return der
}

func jwkMembers(key any, kid, alg string) map[string]any {
	b, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: kid, Algorithm: alg, Use: "sig"})
	if err != nil {
		panic(fmt.Sprintf("oauthtest: encoding JWK: %v", err))
	}
	var jwk map[string]any
	if err := json.Unmarshal(b, &jwk); err != nil {
		panic(fmt.Sprintf("oauthtest: decoding own JWK: %v", err))
	}
	return jwk
}

// keySet is the server's keys. Guarded by Server.mu.
type keySet struct {
	jwks    []map[string]any  // published, in order
	raw     []byte            // published instead, if not nil
	current *Key              // signs tokens that don't ask for another
	rsa     []*rsa.PrivateKey // on loan from the pool
}

// NewKey makes a key without publishing it: an attacker's, or one for AddJWK.
// Its algorithm is one of RS256, RS384, RS512, PS256, PS384, PS512, ES256,
// ES384, ES512, EdDSA.
func (s *Server) NewKey(alg, kid string) *Key {
	var private crypto.Signer
	var err error
	switch alg {
	case "ES256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		private, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "EdDSA":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512":
		var key *rsa.PrivateKey
		if key, err = rsaPool.take(); err == nil {
			s.mu.Lock()
			s.keys.rsa = append(s.keys.rsa, key)
			s.mu.Unlock()
		}
		private = key
	default:
		panic("oauthtest: no keys for algorithm " + alg)
	}
	if err != nil {
		panic(fmt.Sprintf("oauthtest: generating %s key: %v", alg, err))
	}
	return &Key{ID: kid, Algorithm: alg, Private: private}
}

// CurrentKey returns the key that signs tokens unless told otherwise.
func (s *Server) CurrentKey() *Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys.current
}

// AddKey makes a key and publishes it beside the others. The current key stays
// current. An empty kid publishes a key without one.
func (s *Server) AddKey(alg, kid string) *Key {
	k := s.NewKey(alg, kid)
	s.AddJWK(k.JWK())
	return k
}

// AddJWK publishes an arbitrary member of the key set, honest or not.
func (s *Server) AddJWK(jwk map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys.jwks = append(s.keys.jwks, jwk)
}

// Rotate publishes a new key under a new kid and makes it the current one. The
// other keys stay published if keepOld.
func (s *Server) Rotate(keepOld bool) *Key {
	k := s.NewKey(s.opts.Algorithm, fmt.Sprintf("key-%d", s.number()))
	s.mu.Lock()
	defer s.mu.Unlock()
	if !keepOld {
		s.keys.jwks = nil
	}
	s.keys.jwks = append(s.keys.jwks, k.JWK())
	s.keys.current = k
	return k
}

// ReplaceKey publishes a new key under a kid that is taken, in place of its
// owner, and makes it the current one.
func (s *Server) ReplaceKey(kid string) *Key {
	alg := s.opts.Algorithm
	s.mu.Lock()
	for _, jwk := range s.keys.jwks {
		if published, ok := jwk["alg"].(string); ok && jwk["kid"] == kid {
			alg = published
		}
	}
	s.mu.Unlock()
	k := s.NewKey(alg, kid)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys.remove(kid)
	s.keys.jwks = append(s.keys.jwks, k.JWK())
	s.keys.current = k
	return k
}

// RemoveKey withdraws a key from publication. If it is the current one it goes
// on signing, as a stolen key would.
func (s *Server) RemoveKey(kid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys.remove(kid)
}

func (ks *keySet) remove(kid string) {
	ks.jwks = slices.DeleteFunc(ks.jwks, func(jwk map[string]any) bool { return jwk["kid"] == kid })
}

// SetRawJWKS publishes b instead of the key set. Nil restores the key set.
func (s *Server) SetRawJWKS(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys.raw = b
}

// JWKSDocument returns the key set as it is published.
func (s *Server) JWKSDocument() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys.raw != nil {
		return s.keys.raw
	}
	jwks := s.keys.jwks
	if jwks == nil {
		jwks = []map[string]any{}
	}
	b, err := json.Marshal(map[string]any{"keys": jwks})
	if err != nil {
		panic(fmt.Sprintf("oauthtest: encoding key set: %v", err))
	}
	return b
}

func (s *Server) serveJWKS(w http.ResponseWriter, _ *http.Request) {
	if s.opts.JWKSCacheControl != "" {
		w.Header().Set("Cache-Control", s.opts.JWKSCacheControl)
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	_, _ = w.Write(s.JWKSDocument())
}

func (s *Server) returnKeys() {
	s.mu.Lock()
	defer s.mu.Unlock()
	rsaPool.giveBack(s.keys.rsa)
	s.keys.rsa = nil
}

// rsaPool keeps RSA keys from one test to the next, because making one takes a
// second under the race detector. Two servers that live at the same time never
// have the same key.
var rsaPool pool

type pool struct {
	mu   sync.Mutex
	free []*rsa.PrivateKey
}

func (p *pool) take() (*rsa.PrivateKey, error) {
	p.mu.Lock()
	if n := len(p.free); n > 0 {
		key := p.free[n-1]
		p.free = p.free[:n-1]
		p.mu.Unlock()
		return key, nil
	}
	p.mu.Unlock()
	return rsa.GenerateKey(rand.Reader, 2048)
}

func (p *pool) giveBack(keys []*rsa.PrivateKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, keys...)
}
