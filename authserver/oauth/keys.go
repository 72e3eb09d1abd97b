package oauth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

const (
	// keyLifetime is how long a signing key is used before the next one replaces
	// it.
	keyLifetime = 30 * 24 * time.Hour
	// keyLead is how long a key is published before it signs, so that every
	// resource server knows it by then.
	keyLead = 24 * time.Hour
	// keyAfter is how long a key is published after its last token has expired.
	// It allows for clocks that differ, and for servers that notice late that
	// another key has replaced it.
	keyAfter = time.Hour
	// maxAccessTokenLifetime bounds access tokens.
	maxAccessTokenLifetime = 24 * time.Hour

	// keysFresh is how often the store is checked for new keys.
	keysFresh = time.Minute
)

// keyRecord is a signing key in the store.
type keyRecord struct {
	Created time.Time `json:"created"`
	// Sealed is the private key.
	Sealed string `json:"sealed"`
}

type signingKey struct {
	id      string
	created time.Time
	signer  jose.Signer
	public  jose.JSONWebKey
}

// keyring holds the keys that access tokens are signed with. It implements
// [keys.Source].
type keyring struct {
	server *Server
	load   singleflight.Group

	mu     sync.Mutex
	loaded *loadedKeys
}

// loadedKeys are the keys as they were in the store at asOf.
type loadedKeys struct {
	asOf     time.Time
	keys     []signingKey // the oldest first
	document []byte       // RFC 7517
	set      *keys.Set
}

// KeySet implements [keys.Source].
func (r *keyring) KeySet(ctx context.Context, since time.Time) (*keys.Set, error) {
	// Another server may just have made the key that signed a token. Tokens with
	// invented key ids must not cause a lookup each.
	k, err := r.asOf(ctx, min(keysFresh, max(time.Second, r.server.now().Sub(since))))
	if err != nil {
		return nil, &token.UnavailableError{Err: err}
	}
	return k.set, nil
}

// current returns the keys. While the store is unavailable, it returns those that
// are known.
func (r *keyring) current(ctx context.Context) (*loadedKeys, error) {
	return r.asOf(ctx, keysFresh)
}

// asOf returns the keys, at most age old.
func (r *keyring) asOf(ctx context.Context, age time.Duration) (*loadedKeys, error) {
	r.mu.Lock()
	known := r.loaded
	r.mu.Unlock()
	if known != nil && r.server.now().Before(known.asOf.Add(age)) {
		return known, nil
	}
	flight := r.load.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
		defer cancel()
		k, err := r.server.loadKeys(ctx)
		r.mu.Lock()
		defer r.mu.Unlock()
		if err != nil {
			if r.loaded == nil {
				return nil, err
			}
			again := *r.loaded
			again.asOf = r.server.now()
			k = &again
		} else if r.loaded != nil && string(r.loaded.document) == string(k.document) {
			k.set = r.loaded.set
		}
		r.loaded = k
		return k, nil
	})
	select {
	case result := <-flight:
		if result.Err != nil {
			return nil, unavailable(result.Err)
		}
		return result.Val.(*loadedKeys), nil
	case <-ctx.Done():
		return nil, unavailable(context.Cause(ctx))
	}
}

// loadKeys reads the keys, makes a new one when it is due, and removes those
// whose tokens have all expired.
func (s *Server) loadKeys(ctx context.Context) (*loadedKeys, error) {
	now := s.now()
	ring, err := s.readKeys(ctx)
	if err != nil {
		return nil, err
	}
	if len(ring) == 0 || !now.Before(ring[len(ring)-1].created.Add(keyLifetime)) {
		if ring, err = s.addKey(ctx); err != nil {
			return nil, err
		}
	}
	for len(ring) > 1 && now.After(ring[1].created.Add(keyLead+s.config.AccessTokenLifetime+keyAfter)) {
		if err := s.remove(ctx, keysPrefix+ring[0].id); err != nil {
			return nil, err
		}
		ring = ring[1:]
	}
	k := &loadedKeys{asOf: now, keys: ring}
	var set jose.JSONWebKeySet
	for _, key := range ring {
		set.Keys = append(set.Keys, key.public)
	}
	if k.document, err = json.Marshal(set); err != nil {
		return nil, err
	}
	k.set, err = keys.ParseSet(k.document)
	return k, err
}

func (s *Server) readKeys(ctx context.Context) ([]signingKey, error) {
	secret, err := s.secret(ctx)
	if err != nil {
		return nil, err
	}
	names, err := s.config.Store.List(ctx, keysPrefix)
	if err != nil {
		return nil, fmt.Errorf("listing keys: %w", err)
	}
	var keys []signingKey
	for _, name := range names {
		var record keyRecord
		found, err := s.load(ctx, name, &record)
		if err != nil {
			return nil, err
		}
		if !found {
			continue // another server has just removed it
		}
		key, err := secret.openKey(record)
		if err != nil {
			return nil, fmt.Errorf("a signing key can't be read: %w (was the secret changed? remove the stored keys; everyone then has to sign in again)", err)
		}
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b signingKey) int { return a.created.Compare(b.created) })
	return keys, nil
}

// addKey makes a key, unless another server has just done so.
func (s *Server) addKey(ctx context.Context) ([]signingKey, error) {
	secret, err := s.secret(ctx)
	if err != nil {
		return nil, err
	}
	unlock, err := s.lock(ctx, keysPrefix+"add")
	if err != nil {
		return nil, err
	}
	defer unlock()
	keys, err := s.readKeys(ctx)
	if err != nil {
		return nil, err
	}
	now := s.now()
	if len(keys) > 0 && now.Before(keys[len(keys)-1].created.Add(keyLifetime)) {
		return keys, nil
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	record := keyRecord{Created: now, Sealed: secret.Seal(sealed.SigningKey, der)}
	key, err := secret.openKey(record)
	if err != nil {
		return nil, err
	}
	if err := s.store(ctx, keysPrefix+key.id, &record); err != nil {
		return nil, err
	}
	return append(keys, key), nil
}

func (k *secrets) openKey(record keyRecord) (signingKey, error) {
	der, err := k.Open(sealed.SigningKey, record.Sealed)
	if err != nil {
		return signingKey{}, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return signingKey{}, err
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return signingKey{}, errors.New("not an ECDSA key")
	}
	public := jose.JSONWebKey{Key: private.Public(), Algorithm: string(jose.ES256), Use: "sig"}
	thumbprint, err := public.Thumbprint(crypto.SHA256) // RFC 7638
	if err != nil {
		return signingKey{}, err
	}
	public.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: private, KeyID: public.KeyID}},
		(&jose.SignerOptions{}).WithType("at+jwt"),
	)
	return signingKey{public.KeyID, record.Created, signer, public}, err
}

// signing returns the key to sign with: the newest one that has been published
// for long enough, or else the oldest.
func (k *loadedKeys) signing(now time.Time) signingKey {
	for _, key := range slices.Backward(k.keys) {
		if !now.Before(key.created.Add(keyLead)) {
			return key
		}
	}
	return k.keys[0]
}
