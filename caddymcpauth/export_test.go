package caddymcpauth

import (
	"net/http"

	"go.uber.org/zap/zapcore"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
)

// PoolReferences returns how many configurations hold the shared state of the
// issuer, whatever its discovery and metadata settings.
func PoolReferences(issuer string) int {
	_, references := issuerPool.Count(issuer)
	return references
}

// PoolEntries returns how many shared states there are of the issuer.
func PoolEntries(issuer string) int {
	values, _ := issuerPool.Count(issuer)
	return values
}

// NewTurns returns what shares the questions to an issuer.
func NewTurns() judge.Turns { return newTurns() }

// NewRecord returns the record of a decision at a front door.
func NewRecord(c *policy.Caller, m *mcp.Message, d policy.Decision) zapcore.ObjectMarshaler {
	h := &Handler{Resource: "https://mcp.example.com/mcp"}
	return h.newRecord(&operation{caller: c, message: m, decision: d})
}

// CheckVerb returns the status that r is refused with for its method, 0 if it isn't.
func CheckVerb(r *http.Request) int {
	if ref := checkVerb(r); ref != nil {
		return ref.status
	}
	return 0
}

// WantsPage reports whether a client with these Accept headers gets a page.
func WantsPage(accept []string) bool { return wantsPage(accept) }
