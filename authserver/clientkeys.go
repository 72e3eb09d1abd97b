package authserver

import (
	"errors"
	"fmt"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pool"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
)

// clientKeysPool keeps the keys that clients of the operator publish, by address.
var clientKeysPool = pool.New[*fetchedKeys]()

// fetchedKeys are keys at an address that the operator has named. It may be on a private
// network, unlike the addresses that clients name.
type fetchedKeys struct{ *discovery.Issuer }

// Destruct implements [caddy.Destructor].
func (k *fetchedKeys) Destruct() error {
	k.Close()
	return nil
}

// clientKeys returns the keys of a client that the operator registers; nil if it has
// none.
func (h *Handler) clientKeys(c *Client) (keys.Source, error) {
	switch {
	case len(c.JWKS) > 0 && c.JWKSURI != "":
		return nil, errors.New("it has both jwks and jwks_uri: keep one")
	case len(c.JWKS) > 0:
		return oauth.PublicKeys(c.JWKS)
	case c.JWKSURI == "":
		return nil, nil
	}
	fetched, err := clientKeysPool.Acquire(&h.shared, []any{c.JWKSURI}, func() (*fetchedKeys, error) {
		issuer, err := discovery.New(discovery.Config{
			Issuer:   c.JWKSURI, // only a name: discovery is off
			Off:      true,
			Metadata: map[string]any{"jwks_uri": c.JWKSURI},
		})
		return &fetchedKeys{issuer}, err
	})
	if err != nil {
		return nil, fmt.Errorf("jwks_uri: %w", err)
	}
	return fetched, nil
}
