package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/caddyserver/certmagic"
)

// Lock waits until no other caller, in any process, holds the lock name of this
// server. A caller must not take the same lock twice.
func (r *Records) Lock(ctx context.Context, name string) (unlock func(), err error) {
	// Lock names become file names, and some systems ignore case. The key
	// includes the issuer, so servers don't wait for each other.
	sum := sha256.Sum256([]byte(r.key(name)))
	name = "mcp_auth_" + hex.EncodeToString(sum[:16])
	// Within the process, waiting is done in memory: storages only check from
	// time to time whether a lock is free.
	unlockProcess, err := processLocks.lock(ctx, identity(r.storage)+name)
	if err != nil {
		return nil, err
	}
	unlockStorage, err := lockStorage(ctx, r.storage, name)
	if err != nil {
		unlockProcess()
		return nil, err
	}
	return func() {
		unlockStorage()
		unlockProcess()
	}, nil
}

// lockStorage waits until no other process holds the lock name.
func lockStorage(ctx context.Context, s certmagic.Storage, name string) (unlock func(), err error) {
	if file, ok := s.(*certmagic.FileStorage); ok {
		unlock, err := lockFile(ctx, filepath.Join(file.Path, "locks", "mcp_auth"), name)
		if !errors.Is(err, errNoLocks) {
			return unlock, err
		}
	}
	if err := s.Lock(ctx, name); err != nil {
		return nil, err
	}
	// A lock that can't be released becomes stale after a while.
	return func() { _ = s.Unlock(context.WithoutCancel(ctx), name) }, nil
}

// identity returns a text that distinguishes storages. After a reload the same
// storage has another value. If two storages were taken for one, their users
// would only wait for each other.
func identity(s certmagic.Storage) string {
	if file, ok := s.(*certmagic.FileStorage); ok {
		return file.String() + " "
	}
	return fmt.Sprintf("%T ", s)
}

// processLocks belong to the process, because two configurations use one storage
// during a reload.
var processLocks = namedLocks{locks: make(map[string]*namedLock)}

// namedLocks are locks that exist while a caller holds or wants them.
type namedLocks struct {
	mu    sync.Mutex
	locks map[string]*namedLock
}

type namedLock struct {
	held    chan struct{} // full while it is held
	wanters int
}

func (n *namedLocks) lock(ctx context.Context, name string) (func(), error) {
	n.mu.Lock()
	l := n.locks[name]
	if l == nil {
		l = &namedLock{held: make(chan struct{}, 1)}
		n.locks[name] = l
	}
	l.wanters++
	n.mu.Unlock()
	leave := func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if l.wanters--; l.wanters == 0 {
			delete(n.locks, name)
		}
	}
	select {
	case l.held <- struct{}{}:
		return func() { <-l.held; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}
