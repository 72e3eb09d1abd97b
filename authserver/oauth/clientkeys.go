package oauth

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/registration"
)

// maxKeysURI bounds the address of a client's keys, in bytes.
const maxKeysURI = 512

// clientKeys are the keys of a client that nobody registered by hand: those that it has
// sent, or where it publishes them.
type clientKeys struct {
	set     *keys.Set
	sent    json.RawMessage // set, with the members that are used; empty if address isn't
	address string
	alg     string
}

// clientKeysOf reads the keys in what a client says about itself (RFC 7591, section 2).
func (s *Server) clientKeysOf(m *registration.Metadata) (*clientKeys, error) {
	k := &clientKeys{address: m.JWKSURI, alg: m.TokenEndpointAuthSigningAlg}
	sent := len(m.JWKS) > 0 && m.JWKS.Kind() != 'n'
	switch {
	case sent == (k.address != ""):
		return nil, errors.New("private_key_jwt needs jwks or jwks_uri, and not both")
	case k.alg != "" && !keys.Supported(k.alg):
		return nil, errors.New("token_endpoint_auth_signing_alg is not supported: see token_endpoint_auth_signing_alg_values_supported")
	case sent:
		var err error
		k.sent, k.set, err = publicKeys(m.JWKS)
		return k, err
	case s.config.Documents == nil:
		return nil, errors.New("this server doesn't fetch jwks_uri: send the keys as jwks")
	}
	u, err := url.Parse(k.address)
	if err != nil || u.Scheme != "https" || u.Host == "" || len(k.address) > maxKeysURI {
		return nil, errors.New("jwks_uri must be an https URL that is not too long")
	}
	return k, nil
}

// source returns the source of the keys.
func (k *clientKeys) source(documents Documents) keys.Source {
	if k.set != nil {
		return keys.Static(k.set)
	}
	return publishedKeys{documents, k.address}
}

// publicKey has the members of a public key that are used (RFC 7517, section 4), and
// those that only private and symmetric keys have.
type publicKey struct {
	KeyType   string `json:"kty"`
	Use       string `json:"use,omitempty"`
	Algorithm string `json:"alg,omitempty"`
	KeyID     string `json:"kid,omitempty"`
	Curve     string `json:"crv,omitempty"`
	X         string `json:"x,omitempty"`
	Y         string `json:"y,omitempty"`
	N         string `json:"n,omitempty"`
	E         string `json:"e,omitempty"`

	D any `json:"d,omitempty"`
	K any `json:"k,omitempty"`
}

// publicKeys returns a key set, with nothing in it but what is used. It refuses one with
// a key that can't be used: unlike an issuer's keys, these are meant for this server.
func publicKeys(raw []byte) (json.RawMessage, *keys.Set, error) {
	var set struct {
		Keys []publicKey `json:"keys"`
	}
	if err := jsonv2.Unmarshal(raw, &set); err != nil {
		return nil, nil, errors.New("jwks is not a JSON Web Key Set")
	}
	// Those are for other servers, which encrypt for the client.
	set.Keys = slices.DeleteFunc(set.Keys, func(k publicKey) bool { return k.Use == "enc" })
	for _, k := range set.Keys {
		switch {
		case k.D != nil || k.K != nil:
			return nil, nil, errors.New("jwks contains a private or symmetric key: keep it, make another one, and send its public part")
		case strings.ContainsFunc(k.KeyID, func(r rune) bool { return r < ' ' }):
			return nil, nil, errors.New("jwks contains a malformed kid")
		}
	}
	if len(set.Keys) == 0 {
		return nil, nil, errors.New("jwks has no keys")
	}
	b, err := json.Marshal(set)
	if err != nil {
		return nil, nil, err
	}
	parsed, err := keys.ParseSet(b)
	if err != nil || parsed.Len() != len(set.Keys) {
		return nil, nil, errors.New("jwks contains a key that can't be used: RSA of at least 2048 bits, EC on P-256, P-384 or P-521, and Ed25519 can")
	}
	return b, parsed, nil
}

// PublicKeys reads the JSON Web Key Set of a client that the operator registers. It must
// have public keys only, and all of them must be usable.
func PublicKeys(raw []byte) (keys.Source, error) {
	_, set, err := publicKeys(raw)
	if err != nil {
		return nil, err
	}
	return keys.Static(set), nil
}
