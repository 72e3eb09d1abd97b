package caddymcpauth

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/routing"
)

// variation is a request for the resource that a matcher may tell from others.
type variation struct {
	probe
	what, cure string
	way        *routing.Way
}

// below returns the path rest below path.
func below(path, rest string) string { return strings.TrimSuffix(path, "/") + rest }

// variations returns base, and requests for the resource that each differ from it
// in one thing.
func (l *layout) variations(base probe) []variation {
	without := func(what string) string {
		return fmt.Sprintf("leave %s out of the matcher of mcp_auth: match the path only, as in mcp_auth %s*", what, strings.TrimSuffix(base.path, "/"))
	}
	list := []variation{{probe: base, what: "a request for this resource", cure: without("everything except the path")}}
	add := func(p probe, what, cure string) { list = append(list, variation{probe: p, what: what, cure: cure}) }
	methods := []string{http.MethodGet, http.MethodDelete, http.MethodHead, http.MethodPut, http.MethodPatch}
	if l.tree.OnlyPaths {
		methods = nil // no matcher sees the difference
	}
	for _, method := range methods {
		p := base
		p.method = method
		add(p, "a request for this resource with a method other than POST", without("`method`"))
	}
	for _, path := range []string{"/", "/x"} {
		p := base
		p.path = below(base.path, path)
		add(p, "a request for "+p.path, fmt.Sprintf("have the matcher of mcp_auth cover what is below the resource: mcp_auth %s*", strings.TrimSuffix(base.path, "/")))
	}
	if l.tree.OnlyPaths {
		return list
	}
	for major := 2; major <= 3; major++ {
		p := base
		p.major = major
		add(p, fmt.Sprintf("a request for this resource over HTTP/%d", major), without("`protocol`"))
	}
	for _, client := range networks[1:] {
		p := base
		p.client = client
		add(p, "a request for this resource from "+client, without("`remote_ip` and `client_ip`"))
	}
	for _, door := range l.tree.Doors {
		if door.Resource != l.self.Resource {
			continue
		}
		for _, sets := range door.Matchers {
			headers, queries := headersIn(sets), queriesIn(sets)
			for _, name := range slices.Sorted(maps.Keys(headers)) {
				p := base
				p.header = http.Header{name: {headers[name]}}
				add(p, fmt.Sprintf("a request for this resource with a header %s", name), without("`header`"))
			}
			for _, name := range slices.Sorted(maps.Keys(queries)) {
				p := base
				p.query = url.Values{name: {queries[name]}}.Encode()
				add(p, fmt.Sprintf("a request for this resource with a query %s", name), without("`query`"))
			}
		}
	}
	return list
}

// headersIn returns the headers that matchers look at, each with a value that they
// may ask for.
func headersIn(sets caddyhttp.MatcherSets) map[string]string {
	found := make(map[string]string)
	for _, set := range sets {
		for _, m := range set {
			switch m := m.(type) {
			case *caddyhttp.MatchHeader:
				for name, values := range *m {
					found[name] = wanted(values)
				}
			case *caddyhttp.MatchHeaderRE:
				for name := range *m {
					found[name] = "x"
				}
			case *caddyhttp.MatchNot:
				maps.Copy(found, headersIn(m.MatcherSets))
			}
		}
	}
	return found
}

func queriesIn(sets caddyhttp.MatcherSets) map[string]string {
	found := make(map[string]string)
	for _, set := range sets {
		for _, m := range set {
			switch m := m.(type) {
			case *caddyhttp.MatchQuery:
				for name, values := range *m {
					found[name] = wanted(values)
				}
			case *caddyhttp.MatchNot:
				maps.Copy(found, queriesIn(m.MatcherSets))
			}
		}
	}
	return found
}

// wanted returns a value that matches the first of the patterns.
func wanted(patterns []string) string {
	if len(patterns) == 0 {
		return "x"
	}
	return cmp.Or(strings.ReplaceAll(patterns[0], "*", ""), "x")
}
