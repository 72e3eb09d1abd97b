package inprocess

import "github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pool"

// signIns has who may sign in, in words, by issuer.
var signIns pool.Registry[[]string]

// RegisterSignIn says, in words, who may sign in at the authorization server with the
// identifier issuer, until release is called.
func RegisterSignIn(issuer string, who []string) (release func()) {
	return signIns.Register(issuer, who)
}

// SignIn returns who may sign in at issuer; nil if that isn't in this process.
func SignIn(issuer string) []string {
	who, _ := signIns.Latest(issuer)
	return who
}
