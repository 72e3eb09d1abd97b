package facade

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
)

// storageTimeout bounds what a request waits for the storage.
const storageTimeout = 15 * time.Second

// keys seal what browsers keep. They are made at first need and stored, so that
// all Caddys on one storage have the same.
type keys struct {
	storage certmagic.Storage
	name    string

	mu   sync.Mutex
	keys *sealed.Keys
}

func newKeys(storage certmagic.Storage, prefix string) *keys {
	return &keys{storage: storage, name: path.Join(prefix, "secret")}
}

func (k *keys) get(ctx context.Context) (*sealed.Keys, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys != nil {
		return k.keys, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storageTimeout)
	defer cancel()
	master, err := k.storage.Load(ctx, k.name)
	if errors.Is(err, fs.ErrNotExist) {
		master, err = k.make(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("loading the secret: %w", err)
	}
	if len(master) != 32 {
		return nil, fmt.Errorf("the stored secret has %d bytes instead of 32", len(master))
	}
	k.keys = sealed.New(master)
	return k.keys, nil
}

// make stores a new master key, unless another Caddy just has.
func (k *keys) make(ctx context.Context) ([]byte, error) {
	unlock, err := lock(ctx, k.storage, k.name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if master, err := k.storage.Load(ctx, k.name); !errors.Is(err, fs.ErrNotExist) {
		return master, err
	}
	master := make([]byte, 32)
	_, _ = rand.Read(master) // never fails
	return master, k.storage.Store(ctx, k.name, master)
}

// lock takes the storage's lock for name.
func lock(ctx context.Context, storage certmagic.Storage, name string) (unlock func(), err error) {
	name = certmagic.StorageKeys.Safe(name)
	if err := storage.Lock(ctx, name); err != nil {
		return nil, err
	}
	// What could not be unlocked gets stale by itself.
	return func() { _ = storage.Unlock(context.WithoutCancel(ctx), name) }, nil
}
