package caddymcpauth

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/routing"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
)

// checkLayout checks where the front door stands in its server's routes. It
// follows requests for the resource through these routes, as Caddy would, and
// warns if another handler answers one that hasn't met the door. A layout that
// can't work at all is an error.
//
// Neither a door nor its directive sees the routes around it. So this can't be
// checked when a Caddyfile is adapted, only when the configuration is loaded or
// validated.
func (h *Handler) checkLayout(ctx caddy.Context) error {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return nil
	}
	tree, err := routing.Provisioning(ctx, server)
	if err != nil {
		return nil // one of the routes is invalid; its own provisioning reports the error
	}
	findings, err := h.layout(tree)
	for _, f := range findings {
		ctx.Logger().Warn(f.message, zap.String("resource", h.Resource), zap.String("cure", f.cure))
	}
	return err
}

// layout looks at the doors of this resource among the routes of a server.
func (h *Handler) layout(tree *routing.Tree) ([]layoutFinding, error) {
	l := layout{tree: tree, resource: h.resource}
	for _, door := range tree.Doors {
		if door.Resource == h.Resource {
			l.self = door
			if err := l.check(); err != nil {
				return nil, err
			}
		}
	}
	if l.self.Name != "" {
		l.checkServers(h)
		if h.Assertion != nil {
			l.checkKeys()
		}
	}
	return l.findings, nil
}

// layout is a door and its place in the routes.
type layout struct {
	tree     *routing.Tree
	self     routing.Handler
	resource resource.Identifier
	findings []layoutFinding
}

type layoutFinding struct{ message, cure string }

func (l *layout) check() error {
	path := l.path()
	base := probe{method: http.MethodPost, path: path}
	variations := l.variations(base)
	for i, v := range variations {
		variations[i].way = l.follow(v.probe)
		if v.method == base.method && (v.path == path || v.path == below(path, "/x")) {
			if err := l.checkDoors(v.path, variations[i].way); err != nil {
				return err
			}
		}
	}
	way := variations[0].way // that of base
	if !slices.ContainsFunc(variations, func(v variation) bool { return l.meets(v.way) }) {
		l.unreached(way)
		return nil
	}
	if l.meets(way) && slices.ContainsFunc(way.Handlers, func(h routing.Handler) bool { return h.Name == "authentication" }) {
		l.found("requests for this resource also pass basic_auth or another authentication handler: a request has only one Authorization header, so nobody gets past both",
			fmt.Sprintf("exclude these paths from it: basic_auth @rest, with @rest not path %s* %s*", path, resource.WellKnown))
	}
	for _, v := range variations {
		if v.way.Meets("mcp_auth") || !opens(v.way) {
			continue
		}
		answering := answeredBy(v.way)
		if v.way.Failed {
			l.found(fmt.Sprintf("handle_errors passes requests for this resource that fail before mcp_auth on to %s, without a token", answering),
				"put mcp_auth before what can fail, such as try_files, or answer errors without "+answering)
			continue
		}
		l.found(fmt.Sprintf("%s gets to %s without a token: the matcher of mcp_auth doesn't cover it", v.what, answering), v.cure)
		if v.probe.equal(base) {
			break // the others would give the same result
		}
	}
	l.checkSideways(way)
	l.checkMetadata()
	return nil
}

// checkSideways warns of other ways to the server behind the door: below another
// prefix that is stripped, or by another host of this Caddy server.
func (l *layout) checkSideways(way *routing.Way) {
	if !way.Answered {
		return
	}
	upstreams := way.Handlers[len(way.Handlers)-1].Upstreams()
	open := func(other *routing.Way) bool {
		return !other.Meets("mcp_auth") && opens(other) && other.Path == way.Path &&
			slices.ContainsFunc(other.Handlers[len(other.Handlers)-1].Upstreams(), func(address string) bool { return slices.Contains(upstreams, address) })
	}
	for _, prefix := range l.tree.Prefixes {
		if !l.tree.Rewrites {
			break // nothing strips a prefix; with many doors, trying each would be most of the work
		}
		path := prefix + way.Path
		if prefix != "" && open(l.follow(probe{method: http.MethodPost, path: path})) {
			l.found(fmt.Sprintf("%s gets to the same server as %s, without a token: a prefix is stripped on the way", path, l.path()),
				fmt.Sprintf("have the matcher of mcp_auth cover %s* too, or leave that server out of what is below %s", path, prefix))
		}
	}
	for _, host := range l.tree.Hosts {
		if strings.ContainsAny(host, "*{") || slices.ContainsFunc(l.self.Hosts, func(own string) bool { return strings.EqualFold(own, host) }) {
			continue
		}
		if open(l.follow(probe{method: http.MethodPost, path: l.path(), host: host})) {
			l.found(fmt.Sprintf("%s gets to the same server without a token by the host %s", l.path(), host),
				fmt.Sprintf("put mcp_auth into the site %s as well, or don't pass %s on there", host, l.path()))
		}
	}
}

func (l *layout) found(message, cure string) {
	if f := (layoutFinding{message, cure}); !slices.Contains(l.findings, f) {
		l.findings = append(l.findings, f)
	}
}

// checkDoors returns an error if two doors on the way judge requests for path.
func (l *layout) checkDoors(path string, way *routing.Way) error {
	var before *routing.Handler
	for _, door := range way.Handlers {
		switch {
		case door.Name != "mcp_auth":
		case before == nil:
			before = &door
		case before.ForwardsToken:
			l.found(fmt.Sprintf("mcp_auth for %s and mcp_auth for %s both judge requests for %s: only tokens that both accept get through", before.Resource, door.Resource, path),
				"give them matchers that don't overlap")
		case before.Resource == door.Resource:
			return fmt.Errorf("requests for %s pass mcp_auth for %s twice: the first removes the token, so the second answers 401 to everyone. Remove one of the two", path, door.Resource)
		default:
			return fmt.Errorf("requests for %s pass mcp_auth for %s and then mcp_auth for %s: the first removes the token, so the second answers 401 to everyone. Give them matchers that don't overlap", path, before.Resource, door.Resource)
		}
	}
	return nil
}

// unreached says why requests for the resource, which go this way, don't reach the
// door.
func (l *layout) unreached(way *routing.Way) {
	path, last := l.path(), answeredBy(way)
	switch {
	case way.Failed:
		l.found(fmt.Sprintf("requests for this resource fail before they reach mcp_auth, and %s in handle_errors answers them without a token", last),
			"put mcp_auth before what fails, such as try_files, for example by writing both in a route")
	case way.Path != path && way.Answered:
		l.found(fmt.Sprintf("requests for this resource don't reach mcp_auth: uri, rewrite, try_files or handle_path makes %q of their path %q, and %s answers them without a token", way.Path, path, last),
			"have the matcher of mcp_auth cover the rewritten path, or write mcp_auth before it in a route, or outside of handle_path")
	case way.Answered:
		l.found(fmt.Sprintf("requests for this resource don't reach mcp_auth: %s answers them before, without a token", last),
			fmt.Sprintf("have the matcher of mcp_auth cover %s, and put it before %s: in a route, directives run from top to bottom; elsewhere Caddy orders them, and the option `order` changes that", path, last))
	default:
		l.found("no request for this resource reaches mcp_auth", fmt.Sprintf("have its matcher, and those of the routes around it, cover %s", path))
	}
}

// opens reports whether a way ends at a handler that may be the MCP server or lead
// to it.
func opens(way *routing.Way) bool {
	return way.Answered && slices.Contains([]string{"reverse_proxy", "mcp_whoami"}, way.Handlers[len(way.Handlers)-1].Name)
}

// answeredBy names the directive that answers at the end of a way.
func answeredBy(way *routing.Way) string {
	if !way.Answered {
		return "nothing"
	}
	name := way.Handlers[len(way.Handlers)-1].Name
	if name == "static_response" {
		return "respond (or redir, abort)"
	}
	return name
}

func (l *layout) meets(way *routing.Way) bool {
	return slices.ContainsFunc(way.Handlers, func(h routing.Handler) bool { return h.Name == "mcp_auth" && h.Resource == l.self.Resource })
}
