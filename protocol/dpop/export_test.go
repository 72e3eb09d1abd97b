package dpop

import "time"

// UseAs is m.Use for a proof like p, as if the key with the thumbprint had made it.
func UseAs(m *Replay, p *Proof, thumbprint, id string, now time.Time) error {
	return m.use(thumbprint, id, p.issuedAt, now)
}
