package tools

import (
	"cmp"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
)

// WriteSkeleton writes a Caddyfile with rules for tools, to start from. Tools are
// grouped by how their names begin. Those that say of themselves that they only read
// are open to every caller with a token; all others are closed until their line says
// whom they are for. Its lines are valid whatever the names are.
//
// resource is the URL of the MCP server as clients use it, and server that of the
// server behind, whose path doesn't matter.
func WriteSkeleton(w io.Writer, resource, server *url.URL, list []Tool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Rules for %d tools. Whether a tool only reads is what the server says of it: check\n", len(list))
	b.WriteString("# that. Replace nobody by whom it is for, such as: need scope mcp:write\n")
	fmt.Fprintf(&b, "%s {\n\tmcp_auth %s {\n\t\tissuer https://auth.example.com # your authorization server\n", origin(resource), resource)
	groups, unnamable := group(list)
	for _, g := range groups {
		b.WriteString("\n")
		for _, tool := range g.tools {
			hint := "may change things"
			if tool.ReadOnly {
				hint = "only reads"
			}
			fmt.Fprintf(&b, "\t\t# %s %s\n", comment(tool.Name), hint)
		}
		for _, line := range g.lines(unnamable) {
			fmt.Fprintf(&b, "\t\ttools %s\n", line)
		}
	}
	if len(unnamable) > 0 {
		b.WriteString("\n\t\t# No rule can name these, so they are closed. A * in a name is any text.\n")
		for _, tool := range unnamable {
			fmt.Fprintf(&b, "\t\t# %s\n", comment(tool.Name))
		}
	}
	if len(groups) == 0 {
		b.WriteString("\n\t\ttools * nobody\n")
	}
	fmt.Fprintf(&b, "\t}\n\treverse_proxy %s\n}\n", strings.TrimPrefix(origin(server), "http://"))
	_, err := io.WriteString(w, b.String())
	return err
}

// origin is what an URL has before its path.
func origin(u *url.URL) string { return u.Scheme + "://" + u.Host }

// aGroup are tools whose names begin with the same word.
type aGroup struct {
	prefix string // with what ends the word
	tools  []Tool
}

// group groups tools in the order of prefixes. unnamable are those whose names can't
// stand in a rule as they are.
func group(list []Tool) (groups []*aGroup, unnamable []Tool) {
	byPrefix := make(map[string]*aGroup)
	seen := make(map[string]bool)
	for _, tool := range list {
		if seen[tool.Name] {
			continue // a server that names one twice
		}
		seen[tool.Name] = true
		if !namable(tool.Name) {
			unnamable = append(unnamable, tool)
			continue
		}
		prefix := prefixOf(tool.Name)
		g := byPrefix[prefix]
		if g == nil {
			g = &aGroup{prefix: prefix}
			byPrefix[prefix] = g
			groups = append(groups, g)
		}
		g.tools = append(g.tools, tool)
	}
	slices.SortFunc(groups, func(a, b *aGroup) int { return cmp.Compare(a.prefix, b.prefix) })
	return groups, unnamable
}

// maxName is how long a name may be to be written as it is.
const maxName = 200

// namable reports whether a name can stand in a rule as it is: it is one of a rule,
// and a Caddyfile has a way to write it.
func namable(name string) bool {
	_, err := policy.ParseNames("tools", []string{name})
	return err == nil && len(name) <= maxName && !strings.ContainsFunc(name, func(r rune) bool {
		return r == '*' || r == '`' || !unicode.IsPrint(r)
	})
}

// prefixOf returns the first word of a name with what ends it; the whole name if it
// has one word. So a name that begins with a prefix has that prefix.
func prefixOf(name string) string {
	if i := strings.IndexAny(name, "_-./:"); i >= 0 {
		return name[:i+1]
	}
	return name
}

// lines returns the rules of a group. No name of one is hidden by another, and none
// opens one of the unnamable tools.
func (g *aGroup) lines(unnamable []Tool) []policy.Line {
	names := func(readOnly bool) (names []string) {
		for _, tool := range g.tools {
			if tool.ReadOnly == readOnly {
				names = append(names, tool.Name)
			}
		}
		return names
	}
	open, closed := names(true), names(false)
	switch {
	case len(closed) == 0 && (len(open) == 1 || slices.ContainsFunc(unnamable, func(t Tool) bool { return strings.HasPrefix(t.Name, g.prefix) })):
		return []policy.Line{{Names: open}}
	case len(closed) == 0:
		return []policy.Line{{Names: []string{g.prefix + "*"}}}
	case len(open) == 0 && len(closed) == 1:
		return []policy.Line{{Names: closed, Nobody: true}}
	case len(open) == 0:
		return []policy.Line{{Names: []string{g.prefix + "*"}, Nobody: true}}
	default:
		return []policy.Line{{Names: open}, {Names: []string{g.prefix + "*"}, Nobody: true}}
	}
}

// comment shows a name in a comment. Caddy replaces {$NAME} in comments, too.
func comment(name string) string {
	return strings.NewReplacer("{", `\x7b`, "}", `\x7d`).Replace(discovery.Quote(name))
}
