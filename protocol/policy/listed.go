package policy

import (
	"slices"

	"cel.dev/cel-go/cel"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

// Listed reports whether c could be allowed some call of a thing, now or after it is
// granted more scopes. An anonymous caller sees what is open to it, and what a token
// and its scopes would open. A template is judged by the URIs that it expands to.
func (p *Policy) Listed(c *Caller, kind mcp.Kind, name string, template bool) bool {
	s := p.of(kind)
	if s == nil {
		return true
	}
	if s.useFolded || s.use != nil && !s.use.listed(c, callOf[kind], unknownArguments) {
		return false
	}
	if len(s.list) == 0 {
		return true
	}
	if template {
		return s.listedTemplate(c, name)
	}
	if kind == mcp.Resource && !mcp.NormalURI(name) {
		return false
	}
	l, folded := s.first(name)
	return l != nil && !folded && l.listed(c, name, unknownArguments)
}

// Hides reports whether Listed may say no to something of a kind.
func (p *Policy) Hides(kind mcp.Kind) bool {
	s := p.of(kind)
	if s == nil {
		return false
	}
	return s.useFolded || s.use != nil || len(s.list) > 0
}

// callOf has the method that uses an entry of a list.
var callOf = map[mcp.Kind]string{mcp.Tool: "tools/call", mcp.Prompt: "prompts/get", mcp.Resource: "resources/read"}

// listedTemplate reports whether some URI of the template could be allowed. It isn't
// known in advance which line decides about a URI, so every line that names some of
// them counts, up to the first that names them all.
func (s *lines) listedTemplate(c *Caller, name string) bool {
	template := templateGlob(name)
	folded := template.fold()
	for _, l := range s.list {
		if l.overlaps(template) {
			continue
		}
		for _, g := range l.folded {
			if g.covers(folded) {
				return false // each of its URIs fits that line only when folded
			}
		}
	}
	for _, l := range s.list {
		if !l.overlaps(template) {
			continue
		}
		if l.listed(c, name, unknownURI) {
			return true
		}
		if l.covers(template) {
			return false
		}
	}
	return false
}

// listed reports whether the line could allow c for some of the unknown values.
func (l *line) listed(c *Caller, name string, unknown []*cel.AttributePatternType) bool {
	switch {
	case l.nobody:
		return false
	case l.anonymous:
		return true
	case c.Anonymous:
		return l.listedAnonymous(c, name, unknown)
	case l.need == nil:
		return l.whenPossible(c, name, unknown, nil)
	}
	for _, s := range c.standings(l.need) {
		if s.holds && (len(s.missing) == 0 || c.Key == "") && l.whenPossible(c, name, unknown, s.missing) {
			return true
		}
	}
	return false
}

// whenPossible reports whether the expression could be true, with scopes granted as
// well.
func (l *line) whenPossible(c *Caller, name string, unknown []*cel.AttributePatternType, scopes []string) bool {
	return l.when == nil || l.when.canBeTrue(&input{caller: c, name: name, unknown: unknown, scopes: scopes})
}

// listedAnonymous reports whether a token with the right scopes is all that could be
// missing. Nothing is known about the user who would sign in, so entries that depend
// on the user are not shown.
func (l *line) listedAnonymous(c *Caller, name string, unknown []*cel.AttributePatternType) bool {
	if l.when != nil {
		for _, variable := range []string{varClaims, varClientID, varUser, varIssuer} {
			if l.when.reads[variable] {
				return false
			}
		}
		if !l.whenPossible(c, name, slices.Concat(unknownScopes, unknown), nil) {
			return false
		}
	}
	if l.need == nil {
		return true
	}
	for i := range l.need.alternatives {
		if l.need.alternatives[i].standing(c).holds {
			return true
		}
	}
	return false
}

// standings returns the standing of c for each alternative. They are kept, because a
// list asks for them once per entry and neither c nor the alternatives change.
func (c *Caller) standings(n *need) []standing {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.seen[n]; ok {
		return s
	}
	list := make([]standing, len(n.alternatives))
	for i := range n.alternatives {
		list[i] = n.alternatives[i].standing(c)
	}
	if c.seen == nil {
		c.seen = make(map[*need][]standing)
	}
	c.seen[n] = list
	return list
}
