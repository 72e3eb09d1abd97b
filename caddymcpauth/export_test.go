package caddymcpauth

import (
	"encoding/json"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
)

// PoolReferences returns how many configurations hold the shared state of the
// issuer, whatever its discovery and metadata settings.
func PoolReferences(issuer string) int {
	n := 0
	issuerPool.Range(func(key, _ any) bool {
		var parts []any
		if json.Unmarshal([]byte(key.(string)), &parts) == nil && parts[0] == issuer {
			refs, _ := issuerPool.References(key)
			n += refs
		}
		return true
	})
	return n
}

// PoolEntries returns how many shared states there are of the issuer.
func PoolEntries(issuer string) int {
	n := 0
	issuerPool.Range(func(key, _ any) bool {
		var parts []any
		if json.Unmarshal([]byte(key.(string)), &parts) == nil && parts[0] == issuer {
			n++
		}
		return true
	})
	return n
}

// NewTurns returns what shares the questions to an issuer.
func NewTurns() judge.Turns { return newTurns() }
