package caddymcpauth

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/guard"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pool"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/dpop"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
)

// DPoP says whether clients may, or must, prove with each request that they have the
// key that their token is bound to (RFC 9449). A token that somebody stole is then of no
// use. API keys have no such proof, and are accepted as before.
type DPoP struct {
	// `off`: a token that is bound to a key is refused. `accepted`: such a token needs a
	// proof; others are accepted as before. `required`: every token needs one.
	// Required; without `dpop` at all, the mode is off.
	Mode string `json:"mode,omitempty"`

	// Also ask for a nonce in each proof, so that proofs can't be made for later.
	// Clients get one with the answer to their first request, which is refused, and
	// send that again. All Caddys that serve the resource must then be one, or each
	// client must stay with one. Default: false.
	Nonce bool `json:"nonce,omitempty"`
}

// The modes of DPoP.
const (
	dpopOff      = "off"
	dpopAccepted = "accepted"
	dpopRequired = "required"
)

func (p *DPoP) check() error {
	switch {
	case p.Mode != dpopOff && p.Mode != dpopAccepted && p.Mode != dpopRequired:
		return fmt.Errorf("mode %q is none of off, accepted, required", p.Mode)
	case p.Mode == dpopOff && p.Nonce:
		return errors.New("it is off, so nonce has no effect: remove it")
	}
	return nil
}

// UnmarshalCaddyfile sets up DPoP from Caddyfile tokens. Syntax:
//
//	dpop off | accepted | required [{
//	    nonce
//	}]
func (p *DPoP) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the option's name
	const takes = "dpop takes one of off, accepted, required"
	if !d.AllArgs(&p.Mode) {
		return d.Err(takes)
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "nonce":
			if p.Nonce {
				return d.Err("nonce is given twice")
			}
			if d.NextArg() {
				return d.Err("nonce takes no value")
			}
			p.Nonce = true
		default:
			return d.Errf("unrecognized option of dpop: %s (known: nonce)", d.Val())
		}
	}
	if err := p.check(); err != nil {
		return d.Errf("dpop: %v", err)
	}
	return nil
}

// takesProofs reports whether the DPoP scheme is understood.
func (h *Handler) takesProofs() bool { return h.DPoP != nil && h.DPoP.Mode != dpopOff }

// needsProofs reports whether every token needs a proof.
func (h *Handler) needsProofs() bool { return h.DPoP != nil && h.DPoP.Mode == dpopRequired }

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
	if h.DPoP == nil {
		return nil
	}
	if err := h.DPoP.check(); err != nil {
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

// Interface guard
var _ caddyfile.Unmarshaler = (*DPoP)(nil)
