package token

// This file authenticates the front door to an authorization server (RFC 6749,
// section 2.3; RFC 7523, section 2.2). Not supported: client_secret_jwt,
// mutual TLS.

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
)

// ClientAuth adds the front door's own credentials to a request: to its form or
// to its header.
type ClientAuth func(form url.Values, header http.Header) error

// ClientSecretBasic authenticates by the Authorization header. Both halves are
// form-encoded first (RFC 6749, section 2.3.1): a secret with a colon or a
// percent sign would be another one otherwise.
func ClientSecretBasic(id, secret string) ClientAuth {
	credentials := "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
	return func(_ url.Values, header http.Header) error {
		header.Set("Authorization", credentials)
		return nil
	}
}

// ClientSecretPost authenticates by fields of the form.
func ClientSecretPost(id, secret string) ClientAuth {
	return func(form url.Values, _ http.Header) error {
		form.Set("client_id", id)
		form.Set("client_secret", secret)
		return nil
	}
}

// assertionLifetime is how long a client assertion is valid.
const assertionLifetime = time.Minute

// PrivateKeyJWT authenticates by an assertion for audience, the issuer, signed
// with the private key in the PEM block key. keyID may be empty.
func PrivateKeyJWT(id, audience, keyID string, key []byte, now func() time.Time) (ClientAuth, error) {
	private, algorithm, err := parsePrivateKey(key)
	if err != nil {
		return nil, err
	}
	opts := (&jose.SignerOptions{}).WithType("JWT")
	if keyID != "" {
		opts = opts.WithHeader("kid", keyID)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: private}, opts)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return func(form url.Values, _ http.Header) error {
		assertion, err := signAssertion(signer, id, audience, now())
		if err != nil {
			return err
		}
		form.Set("client_id", id)
		form.Set("client_assertion_type", ClientAssertionType)
		form.Set("client_assertion", assertion)
		return nil
	}, nil
}

func signAssertion(signer jose.Signer, id, audience string, now time.Time) (string, error) {
	claims, err := json.Marshal(map[string]any{
		"iss": id,
		"sub": id,
		"aud": audience,
		"jti": rand.Text(),
		"iat": now.Unix(),
		"exp": now.Add(assertionLifetime).Unix(),
	})
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", fmt.Errorf("signing client assertion: %w", err)
	}
	return signed.CompactSerialize()
}

// parsePrivateKey reads a PEM block and chooses the algorithm that goes with the
// key.
func parsePrivateKey(data []byte) (crypto.PrivateKey, jose.SignatureAlgorithm, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, "", errors.New("private key: no PEM block")
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		if private, err = parseTraditional(block.Bytes); err != nil {
			return nil, "", errors.New("private key: not a PKCS #8, PKCS #1 or EC key without a passphrase")
		}
	}
	switch k := private.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() < keys.MinRSABits {
			return nil, "", fmt.Errorf("private key: RSA of fewer than %d bits", keys.MinRSABits)
		}
		return k, jose.RS256, nil
	case *ecdsa.PrivateKey:
		switch k.Curve.Params().BitSize {
		case 256:
			return k, jose.ES256, nil
		case 384:
			return k, jose.ES384, nil
		case 521:
			return k, jose.ES512, nil
		}
	case ed25519.PrivateKey:
		return k, jose.EdDSA, nil
	}
	return nil, "", errors.New("private key: neither RSA, nor EC on P-256, P-384 or P-521, nor Ed25519")
}

func parseTraditional(der []byte) (crypto.PrivateKey, error) {
	if k, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return k, nil
	}
	return x509.ParseECPrivateKey(der)
}
