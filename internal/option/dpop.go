package option

import (
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// DPoP says whether clients may, or must, prove that they have the key that their tokens
// are bound to (RFC 9449). A stolen token is then of no use.
type DPoP struct {
	// `off`, `accepted` or `required`. Required; without `dpop` at all, the mode is off.
	Mode string `json:"mode,omitempty"`

	// Also ask for a nonce in each proof, so that proofs can't be made for later.
	// Clients get one with the answer to their first request, which is refused, and
	// send that again. Default: false.
	Nonce bool `json:"nonce,omitempty"`
}

// The modes of DPoP.
const (
	dpopOff      = "off"
	dpopAccepted = "accepted"
	dpopRequired = "required"
)

// Accepted reports whether proofs are looked at. A nil p means off.
func (p *DPoP) Accepted() bool { return p != nil && p.Mode != dpopOff }

// Required reports whether there must be a proof.
func (p *DPoP) Required() bool { return p != nil && p.Mode == dpopRequired }

// Check returns an error for settings that make no sense. A nil p has none.
func (p *DPoP) Check() error {
	switch {
	case p == nil:
		return nil
	case p.Mode != dpopOff && p.Mode != dpopAccepted && p.Mode != dpopRequired:
		return fmt.Errorf("mode %q is none of off, accepted, required", p.Mode)
	case p.Mode == dpopOff && p.Nonce:
		return errors.New("it is off, so nonce has no effect: remove it")
	}
	return nil
}

// ReadDPoP reads the option dpop, which may be given once. Syntax:
//
//	dpop off | accepted | required [{
//	    nonce
//	}]
func ReadDPoP(d *caddyfile.Dispenser, to **DPoP) error {
	if *to != nil {
		return Twice(d, "dpop")
	}
	p := new(DPoP)
	if !d.AllArgs(&p.Mode) {
		return d.Err("dpop takes one of off, accepted, required")
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if d.Val() != "nonce" {
			return d.Errf("unrecognized option of dpop: %s (known: nonce)", d.Val())
		}
		if err := Flag(d, &p.Nonce); err != nil {
			return err
		}
	}
	if err := p.Check(); err != nil {
		return d.Errf("dpop: %v", err)
	}
	*to = p
	return nil
}
