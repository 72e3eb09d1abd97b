package routing

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// This file builds a server's routes from modules and JSON.

// New returns the routes of a server. While the server is being provisioned, some
// of its routes are modules already, and the others are JSON. The matchers and
// rewrites of the others are loaded a second time, for ctx. ctx isn't used
// afterwards.
func New(ctx caddy.Context, server *caddyhttp.Server) (*Tree, error) {
	t := &Tree{server: server, named: make(map[string][]route), OnlyPaths: true}
	b := builder{ctx: ctx, tree: t}
	var err error
	if t.routes, err = b.list(server.Routes, nil); err != nil {
		return nil, err
	}
	for name, r := range server.NamedRoutes {
		if r == nil {
			continue
		}
		if t.named[name], err = b.list(caddyhttp.RouteList{*r}, nil); err != nil {
			return nil, fmt.Errorf("named route %s: %w", name, err)
		}
	}
	if server.Errors != nil {
		doors := t.Doors
		if t.errors, err = b.list(server.Errors.Routes, nil); err != nil {
			return nil, fmt.Errorf("error routes: %w", err)
		}
		t.Doors = doors
	}
	return t, nil
}

type builder struct {
	ctx  caddy.Context
	tree *Tree
}

func (b *builder) list(routes caddyhttp.RouteList, around []caddyhttp.MatcherSets) ([]route, error) {
	list := make([]route, 0, len(routes))
	for _, r := range routes {
		built, err := b.route(r, around)
		if err != nil {
			return nil, err
		}
		list = append(list, built)
	}
	return list, nil
}

func (b *builder) route(r caddyhttp.Route, around []caddyhttp.MatcherSets) (route, error) {
	// r is a copy: the route itself doesn't get what is loaded here.
	if len(r.MatcherSetsRaw) > 0 {
		if err := r.ProvisionMatchers(b.ctx); err != nil {
			return route{}, err
		}
	}
	built := route{group: r.Group, matchers: r.MatcherSets, terminal: r.Terminal}
	b.tree.caseCounts = b.tree.caseCounts || caseCounts(r.MatcherSets)
	b.tree.OnlyPaths = b.tree.OnlyPaths && onlyPaths(r.MatcherSets)
	b.note(r.MatcherSets)
	if len(r.MatcherSets) > 0 {
		around = append(slices.Clip(around), r.MatcherSets)
	}
	parts, err := Parts(r)
	if err != nil {
		return route{}, err
	}
	for _, p := range parts {
		h, err := b.handler(p, around)
		if err != nil {
			return route{}, err
		}
		built.handlers = append(built.handlers, h)
	}
	return built, nil
}

// note records what the matchers say about paths and hosts.
func (b *builder) note(sets caddyhttp.MatcherSets) {
	add := func(to *[]string, values ...string) {
		for _, value := range values {
			if !slices.Contains(*to, value) {
				*to = append(*to, value)
			}
		}
	}
	for _, set := range sets {
		for _, m := range set {
			switch m := m.(type) {
			case *caddyhttp.MatchHost:
				add(&b.tree.Hosts, *m...)
			case *caddyhttp.MatchPath:
				for _, pattern := range *m {
					if prefix, ok := strings.CutSuffix(pattern, "*"); ok && !strings.ContainsAny(prefix, "*{%") {
						add(&b.tree.Prefixes, strings.TrimSuffix(prefix, "/"))
					}
				}
			}
		}
	}
}

// Upstreams returns the addresses that a reverse_proxy passes requests on to.
func (h Handler) Upstreams() []string {
	var proxy struct {
		Upstreams []struct {
			Dial string `json:"dial"`
		} `json:"upstreams"`
	}
	if h.Name != "reverse_proxy" || json.Unmarshal(h.config, &proxy) != nil {
		return nil
	}
	var addresses []string
	for _, u := range proxy.Upstreams {
		addresses = append(addresses, u.Dial)
	}
	return addresses
}

// caseCounts reports whether one of the matchers may distinguish two paths that
// differ only in case. Caddy's path matcher doesn't, unless it contains a
// placeholder.
func caseCounts(sets caddyhttp.MatcherSets) bool {
	for _, set := range sets {
		for _, m := range set {
			switch m := m.(type) {
			case *caddyhttp.MatchHost, caddyhttp.MatchHost, *caddyhttp.MatchMethod, caddyhttp.MatchMethod, *caddyhttp.MatchProtocol, caddyhttp.MatchProtocol:
			case *caddyhttp.MatchPath:
				if placeholder(*m) {
					return true
				}
			case caddyhttp.MatchPath:
				if placeholder(m) {
					return true
				}
			default:
				return true
			}
		}
	}
	return false
}

// onlyPaths reports whether the matchers look only at a request's host and path.
func onlyPaths(sets caddyhttp.MatcherSets) bool {
	for _, set := range sets {
		for _, m := range set {
			switch m := m.(type) {
			case *caddyhttp.MatchHost:
				if placeholder(*m) {
					return false
				}
			case *caddyhttp.MatchPath:
				if placeholder(*m) {
					return false
				}
			default:
				return false
			}
		}
	}
	return true
}

func placeholder(patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return strings.Contains(pattern, "{") })
}

// hostsOf returns the hosts that the innermost of the matchers is for.
func hostsOf(around []caddyhttp.MatcherSets) []string {
	for _, sets := range slices.Backward(around) {
		var hosts []string
		for _, set := range sets {
			for _, m := range set {
				if m, ok := m.(*caddyhttp.MatchHost); ok {
					hosts = append(hosts, *m...)
				}
			}
		}
		if len(hosts) > 0 {
			return hosts
		}
	}
	return nil
}

func (b *builder) handler(p Part, around []caddyhttp.MatcherSets) (handler, error) {
	h := handler{
		Handler: Handler{Name: p.Name, Module: p.Module, Matchers: around, Hosts: hostsOf(around)},
		invoke:  p.Invokes,
	}
	switch p.Name {
	case "subroute":
		var err error
		if h.routes, err = b.list(p.Routes[0], around); err != nil || len(p.Routes) == 1 {
			return h, err
		}
		doors := b.tree.Doors
		h.errors, err = b.list(p.Routes[1], around)
		b.tree.Doors = doors
		return h, err
	case "rewrite", "vars", "map", "headers":
		b.tree.caseCounts, b.tree.OnlyPaths = true, false
		b.tree.changesHeaders = b.tree.changesHeaders || p.Name == "headers"
		b.tree.Rewrites = b.tree.Rewrites || p.Name == "rewrite"
		var err error
		h.effect, err = b.effect(p)
		return h, err
	case "mcp_auth", "reverse_proxy", "file_server":
		var err error
		h.config, err = p.JSON()
		if err != nil {
			return h, err
		}
		if p.Name == "mcp_auth" {
			door := struct {
				Resource     *string   `json:"resource"`
				ForwardToken *bool     `json:"forward_token"`
				Assertion    *struct{} `json:"assertion"`
			}{Resource: &h.Resource, ForwardToken: &h.ForwardsToken}
			if err := json.Unmarshal(h.config, &door); err != nil {
				return h, err
			}
			h.Asserts = door.Assertion != nil
			if u, err := url.Parse(h.Resource); err == nil {
				h.path = u.Path
				b.tree.capitals = b.tree.capitals || h.path != strings.ToLower(h.path)
			}
			b.tree.Doors = append(b.tree.Doors, h.Handler)
		}
		h.answers = answers(p.Name, h.config)
	case "mcp_auth_server":
		server := Server{Hosts: h.Hosts}
		if err := p.Decode(&server); err != nil {
			return h, err
		}
		// As the server itself does, once it is provisioned.
		repl := caddy.NewReplacer()
		server.Issuer = repl.ReplaceKnown(server.Issuer, "")
		for i := range server.Resources {
			server.Resources[i] = repl.ReplaceKnown(server.Resources[i], "")
		}
		b.tree.Servers = append(b.tree.Servers, server)
	case "static_response", "metrics", "mcp_whoami":
		h.answers = true
	case "error":
		h.fails = true
	}
	return h, nil
}

// effect returns a handler that changes requests. It loads the handler if there is
// only its JSON.
func (b *builder) effect(p Part) (caddyhttp.MiddlewareHandler, error) {
	if p.Module != nil {
		return p.Module, nil
	}
	var fields map[string]json.RawMessage
	if err := p.Decode(&fields); err != nil {
		return nil, err
	}
	delete(fields, "handler")
	raw, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	module, err := b.ctx.LoadModuleByID("http.handlers."+p.Name, raw)
	if err != nil {
		return nil, err
	}
	effect, _ := module.(caddyhttp.MiddlewareHandler)
	return effect, nil
}

// answers reports whether a handler answers every request that reaches it.
func answers(name string, config json.RawMessage) bool {
	switch name {
	case "reverse_proxy":
		// forward_auth is a reverse_proxy that goes on after a good answer.
		var proxy struct {
			HandleResponse []struct {
				Match struct {
					StatusCode []int `json:"status_code"`
				} `json:"match"`
			} `json:"handle_response"`
		}
		if json.Unmarshal(config, &proxy) != nil {
			return true
		}
		for _, response := range proxy.HandleResponse {
			for _, status := range response.Match.StatusCode {
				if status == 2 || status/100 == 2 {
					return false
				}
			}
		}
		return true
	case "file_server":
		var files struct {
			PassThru bool `json:"pass_thru"`
		}
		return json.Unmarshal(config, &files) != nil || !files.PassThru
	default:
		return false
	}
}
