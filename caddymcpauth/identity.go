package caddymcpauth

import (
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth/identity"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// FromContext returns the verified token of the request that ctx belongs to, for
// handlers written in Go. It reports false if no front door let the request in.
var FromContext = identity.FromContext

const userPlaceholders = "http.auth.user."

// userPlaceholder returns a replacer function for {http.auth.user.*}: id is the
// subject, issuer, type, client_id and scope are what the front door made of the
// issuer's dialect, every other name is looked up among the verified claims. A
// claim that isn't there is empty. Values are made when asked for, and not
// expanded again: {env.SECRET} in a claim stays what it is.
func userPlaceholder(r *token.Reader) caddy.ReplacerFunc {
	t := r.Judged()
	return func(key string) (any, bool) {
		name, ok := strings.CutPrefix(key, userPlaceholders)
		if !ok {
			return nil, false
		}
		switch name {
		case "id":
			return t.Subject, true
		case "issuer":
			return t.Issuer, true
		case "type":
			return r.Token().Type.String(), true
		case "client_id":
			return r.Token().ClientID, true
		case "scope":
			return strings.Join(t.Scopes, " "), true
		default:
			return r.Text(name), true
		}
	}
}
