package oauth

import (
	"slices"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
)

// Door is a resource server in the same process that accepts tokens of this
// server.
type Door struct {
	// Resource is its resource identifier.
	Resource string
	// Scopes are the scopes that its clients should request first.
	Scopes []string
	// Admits reports whether a token with these scopes has the scopes that every
	// request needs.
	Admits func(scopes []string) bool
}

// doorsOf returns the known doors of a resource.
func (s *Server) doorsOf(audience string) []Door {
	if s.config.Doors == nil {
		return nil
	}
	return slices.DeleteFunc(s.config.Doors(), func(d Door) bool { return !resource.Same(d.Resource, audience) })
}

// shut reports whether no door of the resource admits a token with these scopes,
// although one would admit all scopes that the client may have. Then the user
// should be asked for more scopes; renewing the token doesn't help. Without known
// doors, it reports false.
func (s *Server) shut(c *Client, audience string, scopes []string) bool {
	doors := s.doorsOf(audience)
	admits := func(scopes []string) bool {
		return slices.ContainsFunc(doors, func(d Door) bool { return d.Admits(scopes) })
	}
	return len(doors) > 0 && !admits(scopes) && admits(s.allowedScopes(c))
}

// advertised returns the scopes for the metadata. Clients that find no other list
// request all of them at the first sign-in. So the list has what the resources
// want requested first; clients can request the other scopes all the same (RFC
// 8414, section 2: a server may choose not to list some). If the door of some
// resource is not known, the list has all scopes.
func (s *Server) advertised() []string {
	var wanted []string
	for _, audience := range s.config.Resources {
		doors := s.doorsOf(audience)
		if len(doors) == 0 {
			return s.scopes
		}
		for _, d := range doors {
			wanted = append(wanted, d.Scopes...)
		}
	}
	listed := slices.DeleteFunc(slices.Clone(s.scopes), func(name string) bool { return !slices.Contains(wanted, name) })
	if len(listed) == 0 {
		return s.scopes[:1] // what a client gets that requests none
	}
	return listed
}
