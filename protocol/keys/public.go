package keys

// This file reads the key that a sender names in its own message, as in a DPoP proof
// (RFC 9449). The signature of such a message proves that the sender has the key, and
// nothing else: the thumbprint (RFC 7638) says whose key it is.

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"math/big"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/strictjson"
)

// ErrPrivateKey means that a key has private members, so that anyone who saw the
// message can sign with it.
var ErrPrivateKey = errors.New("the key has private members")

// Public is a public key that stands alone.
type Public struct {
	key        key
	thumbprint string
}

// privateMembers are those that only a private or a symmetric key has (RFC 7518,
// section 6).
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// ParsePublic reads a JSON Web Key. Its error is [ErrPrivateKey], or says that the key
// can't be used here.
func ParsePublic(raw []byte) (*Public, error) {
	var j jwk
	private := false
	err := strictjson.MembersOf(raw, privateMembers, func(name string, value jsontext.Value) (err error) {
		if slices.Contains(privateMembers, name) {
			private = true
			return nil
		}
		return j.member(name, value)
	})
	switch {
	case err != nil:
		return nil, errUnusableKey
	case private:
		return nil, ErrPrivateKey
	}
	k, err := j.key()
	if err != nil {
		return nil, err
	}
	return &Public{key: k, thumbprint: thumbprint(k)}, nil
}

// member reads one member, as parseKey does all at once.
func (j *jwk) member(name string, value jsontext.Value) (err error) {
	var to *string
	switch name {
	case "kty":
		to = &j.KeyType
	case "use":
		to = &j.Use
	case "alg":
		to = &j.Algorithm
	case "crv":
		to = &j.Curve
	case "x":
		to = &j.X
	case "y":
		to = &j.Y
	case "n":
		to = &j.N
	case "e":
		to = &j.E
	case "key_ops":
		j.KeyOps, err = strictjson.Strings(value)
		if j.KeyOps == nil {
			j.KeyOps = []string{} // there, and empty
		}
		return err
	default:
		return nil // kid too: the key is here
	}
	*to, err = strictjson.String(value)
	return err
}

// Thumbprint returns the SHA-256 thumbprint of the key (RFC 7638, RFC 8037, appendix
// A.3) in base64url, as cnf.jkt has it.
func (p *Public) Thumbprint() string { return p.thumbprint }

// For reports whether the key is one for the algorithm alg.
func (p *Public) For(alg string) bool {
	a := algorithms[alg]
	set := Set{keys: []key{p.key}}
	return a != nil && len(set.candidates(alg, "", a)) > 0
}

// Verify checks a signature of input by the algorithm alg. Its error is
// [ErrUnknownKey] if the key isn't one for alg, or [ErrBadSignature].
func (p *Public) Verify(alg string, input, signature []byte) error {
	set := Set{keys: []key{p.key}}
	return set.Verify(alg, "", input, signature)
}

// thumbprint returns the thumbprint of k. It is made of the key, not of the text that
// the key was read from, so that a key has one thumbprint however it was written.
func thumbprint(k key) string {
	encode := base64.RawURLEncoding.EncodeToString
	var canonical string
	switch pub := k.public.(type) {
	case *rsa.PublicKey:
		canonical = `{"e":"` + encode(big.NewInt(int64(pub.E)).Bytes()) + `","kty":"RSA","n":"` + encode(pub.N.Bytes()) + `"}`
	case *ecdsa.PublicKey:
		point, err := pub.Bytes()
		if err != nil {
			return "" // not after ec, which has checked the point
		}
		x, y := point[1:1+len(point)/2], point[1+len(point)/2:]
		canonical = `{"crv":"` + pub.Params().Name + `","kty":"EC","x":"` + encode(x) + `","y":"` + encode(y) + `"}`
	case ed25519.PublicKey:
		canonical = `{"crv":"Ed25519","kty":"OKP","x":"` + encode(pub) + `"}`
	}
	sum := sha256.Sum256([]byte(canonical))
	return encode(sum[:])
}
