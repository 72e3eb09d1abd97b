package oauth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
)

// secrets are the keys that everything sealed depends on.
type secrets struct{ *sealed.Keys }

// secret returns the keys. The master key comes from the configuration, or is
// made at first need and stored, beside the private keys of Caddy's own.
func (s *Server) secret(ctx context.Context) (*secrets, error) {
	s.secretMu.Lock()
	defer s.secretMu.Unlock()
	if s.secrets != nil {
		return s.secrets, nil
	}
	if len(s.config.Secret) > 0 {
		sum := sha256.Sum256(s.config.Secret)
		s.secrets = &secrets{sealed.New(sum[:])}
		return s.secrets, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	var master []byte
	found, err := s.load(ctx, secretKey, &master)
	if err == nil && !found {
		master, err = s.makeSecret(ctx)
	}
	if err != nil {
		return nil, unavailable(err)
	}
	if len(master) != 32 {
		return nil, unavailable(fmt.Errorf("the stored secret has %d bytes instead of 32", len(master)))
	}
	s.secrets = &secrets{sealed.New(master)}
	return s.secrets, nil
}

// makeSecret stores a new master key, unless somebody else just has.
func (s *Server) makeSecret(ctx context.Context) ([]byte, error) {
	unlock, err := s.lock(ctx, secretKey)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var master []byte
	if found, err := s.load(ctx, secretKey, &master); err != nil || found {
		return master, err
	}
	master = make([]byte, 32)
	_, _ = rand.Read(master) // never fails
	return master, s.store(ctx, secretKey, master)
}

// Seal encrypts text for somebody else to keep: nobody but this server reads or
// alters it, and what is sealed for one purpose doesn't open for another.
func (s *Server) Seal(ctx context.Context, purpose string, text []byte) (string, error) {
	k, err := s.secret(ctx)
	if err != nil {
		return "", err
	}
	return k.Seal("caller: "+purpose, text), nil
}

// Open returns what was sealed for purpose.
func (s *Server) Open(ctx context.Context, purpose, sealed string) ([]byte, error) {
	k, err := s.secret(ctx)
	if err != nil {
		return nil, err
	}
	return k.Open("caller: "+purpose, sealed)
}
