package caddymcpauth

import (
	"fmt"
	"net/http"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/assertion"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
)

// checkMetadata warns if clients can't learn where to sign in.
func (l *layout) checkMetadata() {
	way := l.follow(probe{method: http.MethodGet, path: l.resource.MetadataPath()})
	for _, door := range way.Handlers {
		if door.Name != "mcp_auth" {
			continue
		}
		if door.Resource != l.self.Resource {
			l.found(fmt.Sprintf("the metadata at %s is behind mcp_auth for %s, which asks for a token", l.resource.MetadataURL(), door.Resource),
				"put this mcp_auth before that one, or leave the metadata's path out of its matcher")
		}
		return
	}
	l.found(fmt.Sprintf("the metadata at %s can't be reached, so clients don't learn where to sign in", l.resource.MetadataURL()),
		fmt.Sprintf("put mcp_auth beside handle, handle_path or route with a matcher of its own, or let these match %s* as well", l.resource.MetadataPath()))
}

// checkKeys warns if the server behind can't get the keys that it needs to check
// assertions. Any door of the origin that signs assertions serves them.
func (l *layout) checkKeys() {
	way := l.follow(probe{method: http.MethodGet, path: assertion.KeysPath})
	for _, door := range way.Handlers {
		if door.Name != "mcp_auth" {
			continue
		}
		if id, err := resource.Parse(door.Resource); err == nil && door.Asserts && id.Origin() == l.resource.Origin() {
			return
		}
		l.found(fmt.Sprintf("the keys of assertions at %s are behind mcp_auth for %s, which asks for a token", l.resource.Origin()+assertion.KeysPath, door.Resource),
			"put this mcp_auth before that one, or leave that path out of its matcher")
		return
	}
	l.found(fmt.Sprintf("the keys of assertions at %s can't be reached, so the server behind can't check them", l.resource.Origin()+assertion.KeysPath),
		fmt.Sprintf("put mcp_auth beside handle, handle_path or route with a matcher of its own, or let these match %s as well", assertion.KeysPath))
}
