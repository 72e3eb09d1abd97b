package oauthtest

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Prover is a client with a key, which it proves to have (RFC 9449).
type Prover struct {
	// Key is the client's. Required.
	Key *Key
	// Now is the client's clock. Nil means time.Now.
	Now func() time.Time
}

// NewProver returns a client with a new key for alg.
func (s *Server) NewProver(alg string) *Prover {
	return &Prover{Key: s.NewKey(alg, ""), Now: s.opts.Now}
}

// Thumbprint returns what a token that is bound to the key has as cnf.jkt.
func (p *Prover) Thumbprint() string {
	sum, err := (&jose.JSONWebKey{Key: p.Key.Private.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		panic(fmt.Sprintf("oauthtest: making thumbprint: %v", err))
	}
	return b64(sum)
}

// Bound returns the claim of a token that is bound to the key.
func (p *Prover) Bound() map[string]any {
	return map[string]any{"cnf": map[string]any{"jkt": p.Thumbprint()}}
}

// Claims returns the claims of a good proof for a request with a token; without one
// there is no ath.
func (p *Prover) Claims(method, url, token string) map[string]any {
	now := time.Now
	if p.Now != nil {
		now = p.Now
	}
	claims := map[string]any{"jti": rand.Text(), "htm": method, "htu": url, "iat": now().Unix()}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		claims["ath"] = b64(sum[:])
	}
	return claims
}

// publicJWK is the key as proofs have it.
func publicJWK(k *Key) map[string]any {
	jwk := k.JWK()
	delete(jwk, "use")
	delete(jwk, "alg")
	return jwk
}

// Prove returns a proof for a request with a token. Claims and options change it, as in
// [Server.Mint].
func (p *Prover) Prove(method, url, token string, claims map[string]any, opts ...MintOption) string {
	d := &draft{header: make(map[string]any)}
	WithKey(p.Key)(d)
	for _, opt := range opts {
		opt(d)
	}
	payload := d.rawPayload
	if payload == nil {
		payload = mustJSON(set(p.Claims(method, url, token), claims))
	}
	header := d.rawHeader
	if header == nil {
		header = mustJSON(set(map[string]any{"typ": "dpop+jwt", "alg": d.alg, "jwk": publicJWK(p.Key)}, d.header))
	}
	signature := sign(d.alg, d.key, signingInput(header, payload))
	if d.edit != nil {
		signature = d.edit(signature)
	}
	return Compact(header, payload, signature)
}
