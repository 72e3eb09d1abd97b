package authserver

import (
	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/upstream"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pool"
)

// oidcPool keeps OpenID providers across reloads, with their metadata and keys: after a
// reload, identity assertions are accepted even if the provider is away.
var oidcPool = pool.New[*keptOIDC]()

type keptOIDC struct{ *upstream.OIDC }

// Destruct implements [caddy.Destructor].
func (k *keptOIDC) Destruct() error {
	k.Close()
	return nil
}

// keepUpstream replaces the provider of an upstream by the same one of the previous
// configuration, if there was one.
func (h *Handler) keepUpstream(u *Upstream) error {
	fresh, ok := u.provider.(*upstream.OIDC)
	if !ok {
		return nil
	}
	kept, err := oidcPool.Acquire(&h.shared, []any{u.Issuer, u.ClientID, u.ClientSecret, u.Label, u.Scopes}, func() (*keptOIDC, error) {
		return &keptOIDC{fresh}, nil
	})
	if err != nil {
		return err
	}
	u.provider = kept.OIDC
	return nil
}
