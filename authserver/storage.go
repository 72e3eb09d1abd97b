package authserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"

	"github.com/caddyserver/certmagic"
)

// storage keeps the authorization server's records in Caddy's storage, below a
// prefix of their own, and so shares them with every Caddy on that storage.
type storage struct {
	certmagic.Storage
	prefix string
}

func newStorage(s certmagic.Storage, issuer string) *storage {
	return &storage{s, path.Join("mcp_auth_server", certmagic.StorageKeys.Safe(issuer))}
}

func (s *storage) key(key string) string { return path.Join(s.prefix, key) }

// Load implements [oauth.Store].
func (s *storage) Load(ctx context.Context, key string) ([]byte, error) {
	return s.Storage.Load(ctx, s.key(key))
}

// Store implements [oauth.Store].
func (s *storage) Store(ctx context.Context, key string, record []byte) error {
	return s.Storage.Store(ctx, s.key(key), record)
}

// Delete implements [oauth.Store].
func (s *storage) Delete(ctx context.Context, key string) error {
	return s.Storage.Delete(ctx, s.key(key))
}

// List implements [oauth.Store].
func (s *storage) List(ctx context.Context, prefix string) ([]string, error) {
	var found []string
	var err error
	// A record that goes away meanwhile makes the file system's walk fail.
	for range 5 {
		found, err = s.Storage.List(ctx, s.key(prefix), true)
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		if !s.Exists(ctx, s.key(prefix)) {
			return nil, nil
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
		info, err := s.Stat(ctx, key)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsTerminal {
			continue
		}
		if err != nil {
			return nil, err
		}
		keys = append(keys, strings.TrimPrefix(strings.TrimPrefix(key, s.prefix), "/"))
	}
	return keys, nil
}

// isTemporary reports whether key is a file that is being written: the file
// system storage names these by a number alone. No record is.
func isTemporary(key string) bool {
	return !strings.ContainsFunc(path.Base(key), func(r rune) bool { return r < '0' || r > '9' })
}

// Lock implements [oauth.Store]. Within the process it waits in memory: the file
// system storage looks only once a second whether a lock is free.
func (s *storage) Lock(ctx context.Context, name string) (func(), error) {
	// Lock names are file names, and some systems fold case.
	sum := sha256.Sum256([]byte(s.key(name)))
	name = "mcp_auth_server_" + hex.EncodeToString(sum[:16])
	unlockProcess, err := processLocks.lock(ctx, fmt.Sprint(s.Storage)+name)
	if err != nil {
		return nil, err
	}
	if err := s.Storage.Lock(ctx, name); err != nil {
		unlockProcess()
		return nil, err
	}
	return func() {
		// What could not be unlocked gets stale by itself.
		_ = s.Unlock(context.WithoutCancel(ctx), name)
		unlockProcess()
	}, nil
}

// processLocks belong to the process: during a reload two configurations use
// one storage.
var processLocks = namedLocks{locks: make(map[string]*namedLock)}

// namedLocks are locks that exist while somebody wants them.
type namedLocks struct {
	mu    sync.Mutex
	locks map[string]*namedLock
}

type namedLock struct {
	held    chan struct{} // full while somebody holds it
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
