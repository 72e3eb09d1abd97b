package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// Store keeps the records of one issuer, in JSON. A record that was written
// survives a crash as a whole, and every server on the same store sees it.
// Records of other issuers are invisible.
type Store interface {
	// Load returns the record at key. The error is [fs.ErrNotExist] only if the
	// record certainly doesn't exist, because introspection would then call a
	// token inactive. It is [fs.ErrInvalid] if the record exists but can't be
	// read, now or later.
	Load(ctx context.Context, key string) ([]byte, error)
	// Store writes the record at key.
	Store(ctx context.Context, key string, record []byte) error
	// Delete removes the record at key. It is no error if there is none.
	Delete(ctx context.Context, key string) error
	// List returns the keys of all records below prefix, which may be none.
	List(ctx context.Context, prefix string) ([]string, error)
	// Lock waits until no other caller, in any process, holds the lock name. A
	// caller must not take the same lock twice.
	Lock(ctx context.Context, name string) (unlock func(), err error)
}

// storeTimeout bounds a request's work on the store, so that a store that hangs
// causes errors. A lock that was held by a killed process is free after 10 s at
// the latest, on any storage.
const storeTimeout = 20 * time.Second

// hashed returns the form of a name in a key. It is for names that clients or
// users choose, and for secret ones.
func hashed(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// load reads the record at key into v, and reports whether there is one. A
// damaged record counts as absent and is logged: its content is lost, and it must
// not keep the user from signing in again, or from seeing which other clients
// have access. Use it for records that grant something. See [Server.loadWhole].
func (s *Server) load(ctx context.Context, key string, v any) (bool, error) {
	found, err := s.loadWhole(ctx, key, v)
	if errors.Is(err, fs.ErrInvalid) {
		s.observe(ctx, Event{Endpoint: "store", Warning: "a damaged record among the " + kind(key) + " counts as not there"})
		return false, nil
	}
	return found, err
}

// loadWhole is load for records that revoke something. A damaged one is an error,
// [fs.ErrInvalid].
func (s *Server) loadWhole(ctx context.Context, key string, v any) (bool, error) {
	b, err := s.config.Store.Load(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("loading %s: %w", kind(key), err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return false, fmt.Errorf("a record among the %s is damaged: %w: %w", kind(key), fs.ErrInvalid, err)
	}
	return true, nil
}

func (s *Server) store(ctx context.Context, key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := s.config.Store.Store(ctx, key, b); err != nil {
		return fmt.Errorf("storing %s: %w", kind(key), err)
	}
	return nil
}

func (s *Server) remove(ctx context.Context, key string) error {
	if err := s.config.Store.Delete(ctx, key); err != nil {
		return fmt.Errorf("removing %s: %w", kind(key), err)
	}
	return nil
}

func (s *Server) lock(ctx context.Context, name string) (func(), error) {
	unlock, err := s.config.Store.Lock(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", kind(name), err)
	}
	return unlock, nil
}

// kind returns the kind of the record at key, which is all that a log needs.
func kind(key string) string {
	for i := range len(key) {
		if key[i] == '/' {
			return key[:i]
		}
	}
	return key
}

const (
	codesPrefix    = "codes/"
	grantsPrefix   = "grants/"
	consentsPrefix = "consents/"
	revokedPrefix  = "revoked/"
	sessionsPrefix = "sessions/"
	keysPrefix     = "keys/"
	usedPrefix     = "used/"
	sweptKey       = "swept"
)
