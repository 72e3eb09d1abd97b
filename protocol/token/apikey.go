package token

// This file verifies API keys: opaque tokens that the operator of the resource
// hands out, for callers that can't do OAuth. Only their hashes are kept. A
// plain SHA-256 is enough for keys of 256 random bits, and for nothing that a
// human thought of.

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json"
)

// APIKeyPrefix begins every key of [NewAPIKey], so that people and secret scanners
// recognize one that has leaked.
const APIKeyPrefix = "mcpk_"

// NewAPIKey returns a new random key.
func NewAPIKey() string {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails: crypto/rand's promise
	return APIKeyPrefix + base64.RawURLEncoding.EncodeToString(secret[:])
}

// HashAPIKey returns what is kept of key.
func HashAPIKey(key string) [sha256.Size]byte { return sha256.Sum256([]byte(key)) }

// APIKey is a key that is accepted.
type APIKey struct {
	// Name is the subject, and the client, of requests with this key.
	Name string
	// Hash is the SHA-256 of the key.
	Hash [sha256.Size]byte
	// Scopes are what the key may be used for.
	Scopes []string
	// Claims are further claims.
	Claims map[string]string
}

// reservedClaims are the claims that say what a token is, which a key's own
// claims must not contradict.
var reservedClaims = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", // RFC 7519
	"client_id", "azp", "scope", "scopes", "scp", // who may do what
	"active", "username", "token_type", "typ", "token_use", "cnf", "act", "may_act",
}

// APIKeys verifies API keys for one resource. The issuer of its tokens is the resource
// itself: a key named demo is not an authorization server's user demo.
type APIKeys struct {
	hashes [][sha256.Size]byte
	tokens []*Token // that of each hash
}

// NewAPIKeys returns a verifier, or an error that says what is wrong with keys.
// The error contains no hash: the key itself may have been put in its place.
func NewAPIKeys(resource string, keys []APIKey) (*APIKeys, error) {
	if resource == "" {
		return nil, errors.New("no resource")
	}
	if len(keys) == 0 {
		return nil, errors.New("no keys")
	}
	v := new(APIKeys)
	for i, k := range keys {
		if k.Name == "" {
			return nil, fmt.Errorf("key %d has no name", i)
		}
		t, err := k.token(resource)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", k.Name, err)
		}
		for j, other := range keys[:i] {
			switch {
			case other.Name == k.Name:
				return nil, fmt.Errorf("key %q is given twice: give each a name of its own", k.Name)
			case v.hashes[j] == k.Hash:
				return nil, fmt.Errorf("keys %q and %q are the same: make one for each with `caddy mcp-auth new-key`", other.Name, k.Name)
			}
		}
		v.hashes = append(v.hashes, k.Hash)
		v.tokens = append(v.tokens, t)
	}
	return v, nil
}

// token returns what the key stands for.
func (k *APIKey) token(resource string) (*Token, error) {
	if strings.ContainsFunc(k.Name, unicode.IsControl) {
		return nil, fmt.Errorf("the name %w", errControl)
	}
	if k.Hash == HashAPIKey("") || k.Hash == [sha256.Size]byte{} {
		return nil, errors.New("the hash is that of nothing: `caddy mcp-auth new-key` prints a key and its hash")
	}
	for _, scope := range k.Scopes {
		if err := CheckScope(scope); err != nil {
			return nil, err
		}
	}
	claims := map[string]string{"iss": resource, "sub": k.Name, "aud": resource, "client_id": k.Name}
	if len(k.Scopes) > 0 {
		claims["scope"] = strings.Join(k.Scopes, " ")
	}
	for name, value := range k.Claims {
		switch {
		case name == "" || value == "":
			return nil, errors.New("a claim without name or value")
		case slices.ContainsFunc(reservedClaims, func(r string) bool { return strings.EqualFold(r, name) }):
			return nil, fmt.Errorf("claim %s cannot be set: it says what a token is, and follows from the name and scopes", name)
		}
		claims[name] = value
	}
	raw, err := json.Marshal(claims, json.Deterministic(true))
	if err != nil {
		return nil, errors.New("name, scopes or claims are not valid UTF-8")
	}
	return New(Token{
		Issuer:   resource,
		Subject:  k.Name,
		Type:     ClientSubject,
		ClientID: k.Name,
		Audience: []string{resource},
		Scopes:   slices.Clone(k.Scopes),
	}, raw), nil
}

// Verify implements [Verifier]. It compares with every hash, in constant time, so how
// long it takes says nothing about the keys.
func (v *APIKeys) Verify(_ context.Context, p *Presented) (*Token, error) {
	hash := HashAPIKey(p.Raw)
	found := -1
	for i := range v.hashes {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(hash[:], v.hashes[i][:]), i, found)
	}
	if found < 0 {
		return nil, invalid(Inactive, "not one of the API keys")
	}
	return v.tokens[found], nil
}

// Accepts implements [Verifier].
func (v *APIKeys) Accepts(p *Presented) bool { return p.JWS == nil }

// StillGood reports whether the key of t is still listed, see [Source]. A key that
// isn't stops working with the reload, whatever a cache remembers of it.
func (v *APIKeys) StillGood(_ context.Context, t *Token) bool { return slices.Contains(v.tokens, t) }

// Interface guard
var _ Verifier = (*APIKeys)(nil)
