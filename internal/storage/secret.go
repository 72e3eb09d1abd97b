package storage

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
)

// Timeout bounds a request's work on the storage, so that a storage that hangs
// causes errors.
const Timeout = 20 * time.Second

const (
	secretKey  = "secret"
	secretSize = 32
)

// Secret is the master secret of a server. All keys are derived from it and the
// server's issuer.
type Secret struct {
	records *Records
	given   string

	mu   sync.Mutex
	keys *sealed.Keys
}

// NewSecret returns the secret that the operator has configured. If given is
// empty, a secret is made when it is first needed, and stored with the records,
// next to the private keys of Caddy's own: all Caddys on one storage then have
// the same.
func NewSecret(r *Records, given string) *Secret { return &Secret{records: r, given: given} }

// Keys returns the keys of the server. It loads the secret, or makes it, the
// first time.
func (s *Secret) Keys(ctx context.Context) (*sealed.Keys, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys != nil {
		return s.keys, nil
	}
	master, err := s.master(ctx)
	if err != nil {
		return nil, fmt.Errorf("loading the secret: %w", err)
	}
	s.keys = sealed.New(master, s.records.issuer)
	return s.keys, nil
}

// Seal encrypts plain, for a browser or client to keep.
func (s *Secret) Seal(ctx context.Context, purpose sealed.Purpose, plain []byte) (string, error) {
	keys, err := s.Keys(ctx)
	if err != nil {
		return "", err
	}
	return keys.Seal(purpose, plain), nil
}

// Open returns what was sealed for purpose. The error is [sealed.ErrSeal] if text
// was not sealed here for that purpose; any other error means that the secret could
// not be loaded.
func (s *Secret) Open(ctx context.Context, purpose sealed.Purpose, text string) ([]byte, error) {
	keys, err := s.Keys(ctx)
	if err != nil {
		return nil, err
	}
	return keys.Open(purpose, text)
}

func (s *Secret) master(ctx context.Context) ([]byte, error) {
	if s.given != "" {
		sum := sha256.Sum256([]byte(s.given))
		return sum[:], nil
	}
	// The first request may end early, but others wait for the result.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), Timeout)
	defer cancel()
	master, err := s.load(ctx)
	if !errors.Is(err, fs.ErrNotExist) {
		return master, err
	}
	unlock, err := s.records.Lock(ctx, secretKey)
	if err != nil {
		return nil, err
	}
	defer unlock()
	// Another Caddy may have made it meanwhile.
	if master, err = s.load(ctx); !errors.Is(err, fs.ErrNotExist) {
		return master, err
	}
	master = make([]byte, secretSize)
	_, _ = rand.Read(master) // never fails
	b, err := json.Marshal(master)
	if err != nil {
		return nil, err
	}
	return master, s.records.Store(ctx, secretKey, b)
}

func (s *Secret) load(ctx context.Context) ([]byte, error) {
	b, err := s.records.Load(ctx, secretKey)
	if err != nil {
		return nil, err
	}
	var master []byte
	if err := json.Unmarshal(b, &master); err != nil || len(master) != secretSize {
		return nil, fmt.Errorf("%w: it is not a secret of %d bytes", ErrDamaged, secretSize)
	}
	return master, nil
}
