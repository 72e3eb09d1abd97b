// Package identity passes the identity of a request from the front door to later
// Caddy handlers.
package identity

import (
	"context"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// variable is the name of the request variable that holds the reader of the
// verified token. It is a variable because a new context would cost two
// allocations per request.
const variable = "mcp_auth_token"

// Set stores the verified token of a request, which t reads. ctx must be the
// request's context, with Caddy's variables.
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
// reports false if no front door has let the request in. Outside of Caddy, it
// returns the token that [token.NewContext] stored.
func FromContext(ctx context.Context) (*token.Token, bool) {
	if t := Reader(ctx); t != nil {
		return t.Token(), true
	}
	return token.FromContext(ctx)
}
