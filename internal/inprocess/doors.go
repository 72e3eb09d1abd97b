package inprocess

import "github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pool"

// Door is what the authorization server in the same process knows about a
// resource server.
type Door struct {
	// Resource is the resource identifier.
	Resource string
	// Scopes are the scopes that clients should request first.
	Scopes []string
	// Admits reports whether a token with these scopes has the scopes that every
	// request needs.
	Admits func(scopes []string) bool
}

// doors has the resource servers, by issuer.
var doors pool.Registry[Door]

// RegisterDoor adds d as a resource server that accepts tokens of issuer, until
// release is called.
func RegisterDoor(issuer string, d Door) (release func()) { return doors.Register(issuer, d) }

// Doors returns the resource servers that accept tokens of issuer. During a
// reload, these may be the ones of two configurations.
func Doors(issuer string) []Door { return doors.All(issuer) }
