package caddymcpauth

import (
	"net/http"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/judge"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
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
	made := decision{judged: &operation{caller: c, message: m, decision: d}}
	if !c.Anonymous {
		made.token = &token.Token{Issuer: c.Issuer, Subject: c.Subject, ClientID: c.ClientID()}
		made.judged.reader = token.NewReader(made.token)
	}
	return h.newRecord(made, time.Millisecond)
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

// ObserveDecisions writes the records of the front doors among the routes to logger.
func ObserveDecisions(routes caddyhttp.RouteList, logger *zap.Logger) {
	for _, route := range routes {
		for _, m := range route.Handlers {
			if h, ok := m.(*Handler); ok {
				h.decided = logger
			}
		}
	}
}
