// Package storage keeps the records of one server in Caddy's storage: separate
// from those of every other server, with locks that work within a process and
// between processes, and with the server's master secret.
package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync/atomic"

	"github.com/caddyserver/certmagic"
)

// Records are the records of one server. All Caddys on one storage share them.
type Records struct {
	storage certmagic.Storage
	issuer  string
	prefix  string
	// seen says that the marker existed at least once.
	seen atomic.Bool
}

// New returns the records of the server with the identifier issuer. Their prefix
// consists of the module's name and a hash of the issuer, so two issuers never
// share a prefix, even if a storage ignores case or changes slashes.
func New(s certmagic.Storage, module, issuer string) *Records {
	sum := sha256.Sum256([]byte(issuer))
	return &Records{storage: s, issuer: issuer, prefix: path.Join(module, hex.EncodeToString(sum[:]))}
}

// envelope is the stored form of a record. It says whose record it is, and its
// key.
type envelope struct {
	Issuer string          `json:"iss"`
	Key    string          `json:"key"`
	Record json.RawMessage `json:"record"`
}

// ErrDamaged means that a record exists but can't be read. It is an
// [fs.ErrInvalid].
var ErrDamaged = fmt.Errorf("the record is damaged: %w", fs.ErrInvalid)

func (r *Records) key(key string) string { return path.Join(r.prefix, key) }

// Load returns the record at key, in JSON. The error is [fs.ErrNotExist] if the
// record certainly doesn't exist; a record of another server, or of another key,
// counts as absent. It is [ErrDamaged] if the record can't be read. Any other
// error means that this could not be found out.
func (r *Records) Load(ctx context.Context, key string) (record []byte, err error) {
	err = r.certain(ctx, func() (err error) {
		record, err = r.read(ctx, key)
		return err
	})
	return record, err
}

// read returns what the storage has at key, whether or not that can be believed.
func (r *Records) read(ctx context.Context, key string) ([]byte, error) {
	b, err := r.storage.Load(ctx, r.key(key))
	if err != nil {
		return nil, err
	}
	var e envelope
	if err := json.Unmarshal(b, &e); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if e.Issuer != r.issuer || e.Key != key {
		return nil, fmt.Errorf("a record of another server or key: %w", fs.ErrNotExist)
	}
	return e.Record, nil
}

// Store stores record, which is JSON, at key.
func (r *Records) Store(ctx context.Context, key string, record []byte) error {
	if err := r.marked(ctx); err != nil {
		return err
	}
	return r.write(ctx, key, record)
}

func (r *Records) write(ctx context.Context, key string, record []byte) error {
	b, err := json.Marshal(&envelope{r.issuer, key, record})
	if err != nil {
		return err
	}
	return r.storage.Store(ctx, r.key(key), b)
}

// Delete removes the record at key. It is no error if there is none.
func (r *Records) Delete(ctx context.Context, key string) error {
	if err := r.marked(ctx); err != nil {
		return err
	}
	err := r.storage.Delete(ctx, r.key(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// List returns the keys of all records below prefix, which may be none.
func (r *Records) List(ctx context.Context, prefix string) (keys []string, err error) {
	err = r.certain(ctx, func() (err error) {
		if keys, err = r.list(ctx, prefix); err == nil && len(keys) == 0 {
			return fs.ErrNotExist
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return keys, err
}

func (r *Records) list(ctx context.Context, prefix string) ([]string, error) {
	var found []string
	var err error
	// A record that is removed meanwhile makes the walk of a file system fail.
	for range 5 {
		found, err = r.storage.List(ctx, r.key(prefix), true)
		if !errors.Is(err, fs.ErrNotExist) || !r.storage.Exists(ctx, r.key(prefix)) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, key := range found {
		if isTemporary(key) {
			continue
		}
		record := strings.TrimPrefix(strings.TrimPrefix(key, r.prefix), "/")
		if record == markerKey {
			continue
		}
		var info certmagic.KeyInfo
		err := r.certain(ctx, func() (err error) {
			info, err = r.storage.Stat(ctx, key)
			return err
		})
		switch {
		case errors.Is(err, fs.ErrNotExist), err == nil && !info.IsTerminal:
			// The record was removed meanwhile, or the key is a folder.
		case err != nil:
			return nil, err
		default:
			keys = append(keys, record)
		}
	}
	return keys, nil
}

// isTemporary reports whether key is a file that is being written. The file
// storage names these with a number only. No record has such a name.
func isTemporary(key string) bool {
	return !strings.ContainsFunc(path.Base(key), func(r rune) bool { return r < '0' || r > '9' })
}
