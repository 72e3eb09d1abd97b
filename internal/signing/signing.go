// Package signing keeps the private keys that a server signs with: made when they
// are needed, sealed in the storage, shared by all servers on it, and replaced
// every month. A key is published before it signs, and for as long as what it has
// signed may be valid.
package signing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
)

const (
	// Lifetime is how long a signing key is used before the next one replaces it.
	Lifetime = 30 * 24 * time.Hour
	// Lead is how long a key is published before it signs, so that every server
	// that checks signatures knows it by then.
	Lead = 24 * time.Hour
	// After is how long a key is published after the last thing that it signed has
	// expired. It allows for clocks that differ, and for servers that notice late
	// that another key has replaced it.
	After = time.Hour

	// fresh is how often the store is checked for new keys.
	fresh = time.Minute
	// usable is how old the known keys may be while the store is checked. A storage
	// that hangs then keeps nobody waiting. It is far less than Lead, so no key that
	// others sign with is missed.
	usable = 10 * time.Minute

	// storeTimeout bounds one look into the store.
	storeTimeout = 20 * time.Second
)

// Store keeps the records of one server. See [storage.Records], which implements
// it.
//
// [storage.Records]: https://pkg.go.dev/github.com/caddy-mcp-auth/caddy-mcp-auth/internal/storage#Records
type Store interface {
	// Load returns the record at key. The error is [fs.ErrNotExist] only if the
	// record certainly doesn't exist, and [fs.ErrInvalid] if it can't be read, now
	// or later.
	Load(ctx context.Context, key string) ([]byte, error)
	// Store writes the record at key.
	Store(ctx context.Context, key string, record []byte) error
	// Delete removes the record at key. It is no error if there is none.
	Delete(ctx context.Context, key string) error
	// List returns the keys of all records below prefix, which may be none.
	List(ctx context.Context, prefix string) ([]string, error)
	// Lock waits until no other caller, in any process, holds the lock name.
	Lock(ctx context.Context, name string) (unlock func(), err error)
}

// Config describes a [Ring].
type Config struct {
	// Store has the keys, and Prefix begins the names of their records. Required.
	Store  Store
	Prefix string
	// Secret returns what the private keys are sealed with, and Purpose what for.
	// Required.
	Secret  func(ctx context.Context) (*sealed.Keys, error)
	Purpose sealed.Purpose
	// Longest is how long the things that are signed last, at most. Required.
	Longest time.Duration
	// Damaged is called for a record that can't be read, which then counts as
	// absent. Nil means that nobody is told.
	Damaged func(ctx context.Context)
	// Now returns the time. Nil means [time.Now].
	Now func() time.Time
}

// Ring holds the signing keys of one server. It implements [keys.Source].
type Ring struct {
	config Config
	load   singleflight.Group

	mu    sync.Mutex
	known *Keys
}

// New returns the ring of a store. It loads nothing yet.
func New(config Config) *Ring {
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Ring{config: config}
}

// Keys are the keys as they were in the store at one moment.
type Keys struct {
	asOf     time.Time
	keys     []key // the oldest first
	document []byte
	set      *keys.Set
}

// Document returns the public keys, a JSON Web Key Set (RFC 7517).
func (k *Keys) Document() []byte { return k.document }

// Signing returns the private key to sign with at a time: the newest one that has
// been published for long enough, or else the oldest. It is for ES256 and has a kid.
func (k *Keys) Signing(now time.Time) jose.JSONWebKey {
	for _, key := range slices.Backward(k.keys) {
		if !now.Before(key.created.Add(Lead)) {
			return key.private
		}
	}
	return k.keys[0].private
}

// KeySet implements [keys.Source].
func (r *Ring) KeySet(ctx context.Context, since time.Time) (*keys.Set, error) {
	// Another server may just have made the key of a signature. Invented key ids
	// must not cause a lookup each.
	k, err := r.notOlder(ctx, min(fresh, max(time.Second, r.config.Now().Sub(since))))
	if err != nil {
		return nil, &outbound.UnavailableError{Err: err}
	}
	return k.set, nil
}

// Current returns the keys. While the store is unavailable, it returns those that
// are known. An error means that none are.
func (r *Ring) Current(ctx context.Context) (*Keys, error) {
	if known := r.atHand(usable); known != nil {
		if !r.config.Now().Before(known.asOf.Add(fresh)) {
			r.refresh(ctx)
		}
		return known, nil
	}
	return r.notOlder(ctx, fresh)
}

// atHand returns the known keys if they are at most age old, and else nil.
func (r *Ring) atHand(age time.Duration) *Keys {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known != nil && r.config.Now().Before(r.known.asOf.Add(age)) {
		return r.known
	}
	return nil
}

// notOlder returns the keys, at most age old unless the store is unavailable.
func (r *Ring) notOlder(ctx context.Context, age time.Duration) (*Keys, error) {
	if known := r.atHand(age); known != nil {
		return known, nil
	}
	select {
	case result := <-r.refresh(ctx):
		if result.Err != nil {
			return nil, result.Err
		}
		return result.Val.(*Keys), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// refresh looks into the store, once for all who ask for it.
func (r *Ring) refresh(ctx context.Context) <-chan singleflight.Result {
	return r.load.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
		defer cancel()
		k, err := r.stored(ctx)
		r.mu.Lock()
		defer r.mu.Unlock()
		if err != nil {
			if r.known == nil {
				return nil, err
			}
			again := *r.known
			again.asOf = r.config.Now()
			k = &again
		} else if r.known != nil && string(r.known.document) == string(k.document) {
			k.set = r.known.set
		}
		r.known = k
		return k, nil
	})
}

// stored reads the keys, makes a new one when it is due, and removes those whose
// signatures have all expired.
func (r *Ring) stored(ctx context.Context) (*Keys, error) {
	now := r.config.Now()
	list, err := r.read(ctx)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 || !now.Before(list[len(list)-1].created.Add(Lifetime)) {
		if list, err = r.add(ctx); err != nil {
			return nil, err
		}
	}
	for len(list) > 1 && now.After(list[1].created.Add(Lead+r.config.Longest+After)) {
		if err := r.config.Store.Delete(ctx, r.config.Prefix+list[0].private.KeyID); err != nil {
			return nil, fmt.Errorf("removing keys: %w", err)
		}
		list = list[1:]
	}
	k := &Keys{asOf: now, keys: list}
	var set jose.JSONWebKeySet
	for _, key := range list {
		set.Keys = append(set.Keys, key.private.Public())
	}
	if k.document, err = json.Marshal(set); err != nil {
		return nil, err
	}
	k.set, err = keys.ParseSet(k.document)
	return k, err
}

// read returns the keys in the store, the oldest first.
func (r *Ring) read(ctx context.Context) ([]key, error) {
	secret, err := r.config.Secret(ctx)
	if err != nil {
		return nil, err
	}
	names, err := r.config.Store.List(ctx, r.config.Prefix)
	if err != nil {
		return nil, fmt.Errorf("listing keys: %w", err)
	}
	var list []key
	for _, name := range names {
		rec, err := r.record(ctx, name)
		if err != nil {
			return nil, err
		}
		if rec == nil {
			continue
		}
		key, err := rec.open(secret, r.config.Purpose)
		if err != nil {
			return nil, fmt.Errorf("a signing key can't be read: %w (was the secret changed? remove the stored keys; everyone then has to sign in again)", err)
		}
		list = append(list, key)
	}
	slices.SortFunc(list, func(a, b key) int { return a.created.Compare(b.created) })
	return list, nil
}

// record returns the record name, nil if there is none: another server may just
// have removed it. What is damaged counts as absent: its content is lost.
func (r *Ring) record(ctx context.Context, name string) (*record, error) {
	b, err := r.config.Store.Load(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	rec := new(record)
	if err == nil {
		if json.Unmarshal(b, rec) == nil {
			return rec, nil
		}
		err = fs.ErrInvalid
	}
	if !errors.Is(err, fs.ErrInvalid) {
		return nil, fmt.Errorf("loading keys: %w", err)
	}
	if r.config.Damaged != nil {
		r.config.Damaged(ctx)
	}
	return nil, nil
}

// add makes a key, unless another server has just done so.
func (r *Ring) add(ctx context.Context) ([]key, error) {
	secret, err := r.config.Secret(ctx)
	if err != nil {
		return nil, err
	}
	unlock, err := r.config.Store.Lock(ctx, r.config.Prefix+"add")
	if err != nil {
		return nil, fmt.Errorf("locking keys: %w", err)
	}
	defer unlock()
	list, err := r.read(ctx)
	if err != nil {
		return nil, err
	}
	now := r.config.Now()
	if len(list) > 0 && now.Before(list[len(list)-1].created.Add(Lifetime)) {
		return list, nil
	}
	rec, err := newRecord(secret, r.config.Purpose, now)
	if err != nil {
		return nil, err
	}
	key, err := rec.open(secret, r.config.Purpose)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(rec)
	if err != nil {
		return nil, err
	}
	if err := r.config.Store.Store(ctx, r.config.Prefix+key.private.KeyID, b); err != nil {
		return nil, fmt.Errorf("storing keys: %w", err)
	}
	return append(list, key), nil
}

// Interface guard
var _ keys.Source = (*Ring)(nil)
