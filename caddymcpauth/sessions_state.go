package caddymcpauth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/caddyserver/certmagic"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pool"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/storage"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/throttle"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/session"
)

// sessionPool has what is known about the sessions of MCP servers. It outlives a
// configuration, so that a reload needs no storage.
var sessionPool = pool.New[*sessionState]()

// takeoverRate is how many sessions that began without a user a client network may take
// over. A client with another gets 404, and begins a session with its user.
var takeoverRate = throttle.Rate{Burst: 100, Every: 6 * time.Second}

// keyPause is how long the key isn't asked for again after the storage has failed.
const keyPause = 5 * time.Second

// sessionState is what is known about the sessions of an MCP server.
type sessionState struct {
	loaded    atomic.Pointer[session.Key]
	loading   singleflight.Group
	known     session.Known
	takeovers *throttle.Buckets

	mu     sync.Mutex
	failed error // why the key can't be had
	until  time.Time
}

// Destruct implements [caddy.Destructor].
func (*sessionState) Destruct() error { return nil }

// acquireSessions takes a reference to the state of the resource's sessions. Another
// storage has another key.
func (h *Handler) acquireSessions(s certmagic.Storage) (*sessionState, error) {
	return sessionPool.Acquire(&h.registered, []any{h.Resource, fingerprint(s)}, func() (*sessionState, error) {
		return &sessionState{takeovers: throttle.NewBuckets(takeoverRate, time.Now)}, nil
	})
}

// fingerprint distinguishes storages by their settings, of which some are secret.
func fingerprint(s certmagic.Storage) string {
	settings, err := json.Marshal(s)
	if err != nil {
		return fmt.Sprintf("%T %p", s, s) // then a reload asks again
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%T %s", s, settings))
	return hex.EncodeToString(sum[:])
}

// key returns the key, and loads it if this is the first time. A request waits for the
// storage, but no longer than its client does.
func (s *sessionState) key(ctx context.Context, secret *storage.Secret) (*session.Key, error) {
	if key := s.loaded.Load(); key != nil {
		return key, nil
	}
	if err := s.failure(time.Now()); err != nil {
		return nil, err
	}
	result := s.loading.DoChan("", func() (any, error) { return s.load(ctx, secret) })
	select {
	case r := <-result:
		key, _ := r.Val.(*session.Key)
		return key, r.Err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (s *sessionState) load(ctx context.Context, secret *storage.Secret) (*session.Key, error) {
	keys, err := secret.Keys(context.WithoutCancel(ctx)) // which bounds the time
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.failed, s.until = err, time.Now().Add(keyPause)
		return nil, err
	}
	key := session.NewKey(keys.MAC(sealed.SessionTag, nil))
	s.loaded.Store(key)
	return key, nil
}

// failure returns why the key could not be had a moment ago.
func (s *sessionState) failure(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil || !now.Before(s.until) {
		return nil
	}
	return s.failed
}
