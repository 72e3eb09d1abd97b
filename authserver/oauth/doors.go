package oauth

import (
	"slices"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
)

// Door is a resource server beside this one, which takes its tokens.
type Door struct {
	// Resource is its identifier.
	Resource string
	// Scopes are those that its clients should ask for at first.
	Scopes []string
	// Admits reports whether a token with these scopes has what every request
	// needs.
	Admits func(scopes []string) bool
}

// doorsOf returns the doors of a resource, as far as they are known here.
func (s *Server) doorsOf(audience string) []Door {
	if s.config.Doors == nil {
		return nil
	}
	return slices.DeleteFunc(s.config.Doors(), func(d Door) bool { return !resource.Same(d.Resource, audience) })
}

// shut reports whether a token with these scopes gets the client past no door of
// the resource, although it would with all the scopes that it may have: whether
// the user should be asked for more rather than a token be renewed. Where a door
// isn't known, nothing is shut.
func (s *Server) shut(c *Client, audience string, scopes []string) bool {
	doors := s.doorsOf(audience)
	admits := func(scopes []string) bool {
		return slices.ContainsFunc(doors, func(d Door) bool { return d.Admits(scopes) })
	}
	return len(doors) > 0 && !admits(scopes) && admits(s.allowedScopes(c))
}

// advertised returns the scopes for the metadata. Clients that find no other list
// ask for all of it at the first sign-in, so it has what the resources want asked
// for at first; the others can be asked for all the same (RFC 8414, section 2: a
// server may choose not to list some). It has all of them if some resource is
// elsewhere, and so isn't known to need less.
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
		return s.scopes[:1] // what a client gets that asks for none
	}
	return listed
}
