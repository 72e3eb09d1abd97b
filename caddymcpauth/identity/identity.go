// Package identity is how the front door tells the Caddy handlers after it who a
// request is from.
package identity

import (
	"context"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// variable is the request variable that holds what reads the verified token. A
// variable, because a context of its own costs every request two allocations.
const variable = "mcp_auth_token"

// Set makes the token that t reads the verified one of the request with the context
// ctx, which must be one of Caddy's.
func Set(ctx context.Context, t *token.Reader) {
	caddyhttp.SetVar(ctx, variable, t)
}

// Reader returns what reads the verified token of the request with the context ctx;
// nil where no front door has let the request in.
func Reader(ctx context.Context) *token.Reader {
	t, _ := caddyhttp.GetVar(ctx, variable).(*token.Reader)
	return t
}

// FromContext returns the verified token of the request that ctx belongs to. It
// reports false where no front door has let the request in. Outside of Caddy, it
// finds what [token.NewContext] put there.
func FromContext(ctx context.Context) (*token.Token, bool) {
	if t := Reader(ctx); t != nil {
		return t.Token(), true
	}
	return token.FromContext(ctx)
}
