package caddymcpauth

import (
	"crypto/rand"
	"fmt"
	"net/http"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/guard"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pool"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/dpop"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
)

// takesProofs reports whether the DPoP scheme is understood.
func (h *Handler) takesProofs() bool { return h.DPoP.Accepted() }

// needsProofs reports whether every token needs a proof.
func (h *Handler) needsProofs() bool { return h.DPoP.Required() }

// proofPool has what must outlive a configuration: a proof that was used before a reload
// has been used, and a nonce from then is still good.
var proofPool = pool.New[proofState]()

// proofState is what is known about the proofs for a resource.
type proofState struct {
	*dpop.Replay
	*dpop.Nonces
}

// Destruct implements [caddy.Destructor].
func (proofState) Destruct() error { return nil }

// proofHeader is the header with the proof.
var proofHeader = guard.NewHeaders("Dpop")

func (h *Handler) provisionDPoP() error {
	if err := h.DPoP.Check(); err != nil {
		return fmt.Errorf("dpop: %w", err)
	}
	if !h.takesProofs() {
		return nil
	}
	var err error
	h.proofs, err = proofPool.Acquire(&h.registered, []any{h.Resource}, func() (proofState, error) {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // never fails
		return proofState{dpop.NewReplay(dpop.ReplayConfig{}), dpop.NewNonces(key, h.Resource)}, nil
	})
	if err != nil {
		return fmt.Errorf("dpop: %w", err)
	}
	return nil
}

// removeCredentials removes the token and the proof from an accepted request, so that
// the next handler can't pass them on.
func (h *Handler) removeCredentials(r *http.Request) {
	delete(r.Header, "Authorization")
	if h.takesProofs() {
		proofHeader.Scrub(r)
	} else {
		delete(r.Header, "Dpop")
	}
}

// proofAlgorithms returns what the metadata and the challenges name.
func (h *Handler) proofAlgorithms() []string {
	if !h.takesProofs() {
		return nil
	}
	return dpop.Algorithms()
}

// dpopChallenge returns the DPoP challenge of a refusal, nil if proofs aren't accepted.
func (h *Handler) dpopChallenge(ref *refusal) *resource.DPoPChallenge {
	if !h.takesProofs() {
		return nil
	}
	c := &resource.DPoPChallenge{Algorithms: dpop.Algorithms()}
	if ref.byProof && ref.code != "" {
		c.Error, c.Description = ref.code, ref.description()
	}
	return c
}
