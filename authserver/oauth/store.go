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

// Store keeps the records of one issuer, in JSON. A record that is written is
// there, whole, after a crash, and for every server on the same store. A record
// of another issuer is not there.
type Store interface {
	// Load returns the record at key. The error is [fs.ErrNotExist] only if there
	// certainly is none: a token would be said to be inactive. It is
	// [fs.ErrInvalid] if there is one that can't be read, now or later.
	Load(ctx context.Context, key string) ([]byte, error)
	Store(ctx context.Context, key string, record []byte) error
	// Delete removes the record at key. It is no error if there is none.
	Delete(ctx context.Context, key string) error
	// List returns the keys of all records below prefix, which may be none.
	List(ctx context.Context, prefix string) ([]string, error)
	// Lock waits until no other caller, in no process, holds the lock name. One
	// caller must not take it twice.
	Lock(ctx context.Context, name string) (unlock func(), err error)
}

// storeTimeout bounds a request's work on the store, so that a store that hangs
// makes for errors. A lock that a killed process held is free after 10 s at the
// latest, on any storage.
const storeTimeout = 20 * time.Second

// hashed returns the form in which a name that strangers may choose, or that
// nobody is to know, is part of a key.
func hashed(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// load reads the record at key into v, and reports whether there is one. A damaged
// record counts as none: what it said can't be known, and it must not keep a user
// from signing in again, or from seeing who else has access. The operator hears of
// it. It is for records that give something. See [Server.loadWhole].
func (s *Server) load(ctx context.Context, key string, v any) (bool, error) {
	found, err := s.loadWhole(ctx, key, v)
	if errors.Is(err, fs.ErrInvalid) {
		s.observe(ctx, Event{Endpoint: "store", Warning: "a damaged record among the " + kind(key) + " counts as not there"})
		return false, nil
	}
	return found, err
}

// loadWhole is load for records that take something away: a damaged one is an
// error, [fs.ErrInvalid].
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

// kind returns what sort of record is at key: all that a log needs to know.
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
	sweptKey       = "swept"
)
