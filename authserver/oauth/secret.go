package oauth

import (
	"context"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
)

// secrets are the keys of this server.
type secrets struct{ *sealed.Keys }

// secret returns the keys.
func (s *Server) secret(ctx context.Context) (*secrets, error) {
	keys, err := s.config.Secret.Keys(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	return &secrets{keys}, nil
}

// Seal encrypts text for a browser or client to keep. Only this server can read
// or change it, and what is sealed for one purpose doesn't open for another.
func (s *Server) Seal(ctx context.Context, purpose sealed.Purpose, text []byte) (string, error) {
	k, err := s.secret(ctx)
	if err != nil {
		return "", err
	}
	return k.Seal(purpose, text), nil
}

// Open returns what was sealed for purpose.
func (s *Server) Open(ctx context.Context, purpose sealed.Purpose, text string) ([]byte, error) {
	k, err := s.secret(ctx)
	if err != nil {
		return nil, err
	}
	return k.Open(purpose, text)
}
