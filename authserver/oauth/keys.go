package oauth

import (
	"context"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/sealed"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/signing"
)

// MaxAccessTokenLifetime bounds access tokens.
const MaxAccessTokenLifetime = 24 * time.Hour

// newKeys returns the keys that access tokens are signed with.
func (s *Server) newKeys() *signing.Ring {
	return signing.New(signing.Config{
		Store:   s.config.Store,
		Prefix:  keysPrefix,
		Secret:  s.config.Secret.Keys,
		Purpose: sealed.SigningKey,
		Longest: s.config.AccessTokenLifetime,
		Damaged: func(ctx context.Context) {
			s.observe(ctx, Event{Endpoint: "store", Warning: "a damaged record among the keys counts as not there"})
		},
		Now: s.now,
	})
}
