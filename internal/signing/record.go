package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
)

// record is a signing key in the store.
type record struct {
	Created time.Time `json:"created"`
	// Sealed is the private key.
	Sealed string `json:"sealed"`
}

// key is a signing key.
type key struct {
	created time.Time
	private jose.JSONWebKey
}

// newRecord makes a key.
func newRecord(secret *sealed.Keys, purpose sealed.Purpose, now time.Time) (*record, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	return &record{Created: now, Sealed: secret.Seal(purpose, der)}, nil
}

// open returns the key in the record.
func (r *record) open(secret *sealed.Keys, purpose sealed.Purpose) (key, error) {
	der, err := secret.Open(purpose, r.Sealed)
	if err != nil {
		return key{}, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return key{}, err
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return key{}, errors.New("not an ECDSA key for ES256")
	}
	jwk := jose.JSONWebKey{Key: private, Algorithm: string(jose.ES256), Use: "sig"}
	thumbprint, err := jwk.Thumbprint(crypto.SHA256) // RFC 7638
	if err != nil {
		return key{}, err
	}
	jwk.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
	return key{r.Created, jwk}, nil
}
