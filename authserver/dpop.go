package authserver

import (
	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pool"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/dpop"
)

// proofPool has the proofs that were used. They outlive a configuration: what was used
// before a reload has been used.
var proofPool = pool.New[usedProofs]()

// usedProofs are those of one issuer's clients.
type usedProofs struct{ *dpop.Replay }

// Destruct implements [caddy.Destructor].
func (usedProofs) Destruct() error { return nil }

// provisionDPoP returns the settings as the core takes them, nil if proofs are ignored.
func (h *Handler) provisionDPoP() (*oauth.DPoP, error) {
	if err := h.DPoP.Check(); err != nil || !h.DPoP.Accepted() {
		return nil, err
	}
	used, err := proofPool.Acquire(&h.shared, []any{h.Issuer}, func() (usedProofs, error) {
		return usedProofs{dpop.NewReplay(dpop.ReplayConfig{})}, nil
	})
	if err != nil {
		return nil, err
	}
	return &oauth.DPoP{Required: h.DPoP.Required(), Nonce: h.DPoP.Nonce, Replay: used.Replay}, nil
}
