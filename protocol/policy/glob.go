package policy

import (
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

// glob matches whole names; * is any run of characters. It is kept as the texts
// between the stars. A name without a star is one text.
type glob []string

func parseGlob(s string) glob { return strings.Split(s, "*") }

// Match reports whether the glob, in which * is any run of characters, matches all of
// a name.
func Match(glob, name string) bool { return parseGlob(glob).match(name) }

func (g glob) literal() bool { return len(g) == 1 }

func (g glob) prefix() string { return g[0] }
func (g glob) suffix() string { return g[len(g)-1] }

// match reports whether g matches all of name. It takes time in proportion to the
// name's length for each star, whatever the name is.
func (g glob) match(name string) bool {
	if len(g) == 1 {
		return name == g[0]
	}
	if !strings.HasPrefix(name, g[0]) {
		return false
	}
	name = name[len(g[0]):]
	last := g[len(g)-1]
	if !strings.HasSuffix(name, last) {
		return false
	}
	name = name[:len(name)-len(last)]
	for _, text := range g[1 : len(g)-1] {
		_, rest, ok := strings.Cut(name, text)
		if !ok {
			return false
		}
		name = rest
	}
	return true
}

// fresh is a text that no glob and no name contains: names are valid UTF-8.
const fresh = "\xff"

// covers reports whether g matches every name that other matches. A star of other
// stands for any text. It is replaced by a text that g doesn't contain: only a star
// of g can match that text, and then it matches any other. For the same reason, a
// glob that several globs cover together is covered by one of them.
func (g glob) covers(other glob) bool { return g.match(strings.Join(other, fresh)) }

// overlaps reports whether some name matches both. If both have a star, only their
// beginnings and ends can conflict: in between, the stars let the texts of both
// follow one another.
func (g glob) overlaps(other glob) bool {
	switch {
	case g.literal():
		return other.match(g[0])
	case other.literal():
		return g.match(other[0])
	}
	begins := strings.HasPrefix(g.prefix(), other.prefix()) || strings.HasPrefix(other.prefix(), g.prefix())
	return begins && (strings.HasSuffix(g.suffix(), other.suffix()) || strings.HasSuffix(other.suffix(), g.suffix()))
}

// fold folds the texts, not the stars.
func (g glob) fold() glob {
	folded := make(glob, len(g))
	for i, text := range g {
		folded[i] = mcp.Fold(text)
	}
	return folded
}

// templateGlob returns the glob of the URIs that a template (RFC 6570) expands to:
// each expression becomes a star.
func templateGlob(template string) glob {
	var g glob
	for {
		text, rest, ok := strings.Cut(template, "{")
		g = append(g, text)
		if !ok {
			return g
		}
		_, template, _ = strings.Cut(rest, "}")
	}
}
