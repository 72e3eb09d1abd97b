package guard

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// survey is what a server's routes have in them. It is made while they are
// provisioned, so a part of them are modules already, and the rest is JSON.
type survey struct {
	server *caddyhttp.Server
	// headers are the names of those that front doors set.
	headers []string
}

// newSurvey looks at the server that ctx belongs to. Outside of one, there is
// nothing to look at.
func newSurvey(ctx caddy.Context) (*survey, error) {
	s := new(survey)
	var ok bool
	if s.server, ok = ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); !ok {
		return s, nil
	}
	lists := []caddyhttp.RouteList{s.server.Routes}
	if s.server.Errors != nil {
		lists = append(lists, s.server.Errors.Routes)
	}
	for _, route := range s.server.NamedRoutes {
		if route != nil {
			lists = append(lists, caddyhttp.RouteList{*route})
		}
	}
	for _, list := range lists {
		if err := s.collect(list); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// collect gathers the headers that front doors set.
func (s *survey) collect(routes caddyhttp.RouteList) error {
	for _, route := range routes {
		parts, err := s.partsOf(route)
		if err != nil {
			return err
		}
		for _, p := range parts {
			if p.name == "mcp_auth" {
				var door struct {
					Header map[string]json.RawMessage `json:"header"`
				}
				if err := p.decode(&door); err != nil {
					return err
				}
				for _, name := range slices.Sorted(maps.Keys(door.Header)) {
					if !s.sets(name) {
						s.headers = append(s.headers, name)
					}
				}
			}
			if p.invokes != "" {
				continue // one of the server's named routes
			}
			for _, list := range p.routes {
				if err := s.collect(list); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// sets reports whether a header is one that a front door sets.
func (s *survey) sets(header string) bool {
	return slices.ContainsFunc(s.headers, func(name string) bool { return web.SameHeader(name, header) })
}

// part is one handler of a route: JSON, or a module after that is provisioned.
type part struct {
	// name is the module's, without http.handlers.
	name   string
	raw    json.RawMessage
	module any
	// routes are the ones inside of it, and then its error routes.
	routes []caddyhttp.RouteList
	// invokes is the named route that it is; empty for most.
	invokes string
}

// config is what JSON is made of for the handler's configuration.
func (p part) config() any {
	if p.module != nil {
		return p.module
	}
	return p.raw
}

// decode reads the handler's configuration into v.
func (p part) decode(v any) error {
	raw, err := json.Marshal(p.config())
	if err == nil {
		err = json.Unmarshal(raw, v)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}

// partsOf returns the handlers of a route.
func (s *survey) partsOf(route caddyhttp.Route) ([]part, error) {
	var parts []part
	for _, raw := range route.HandlersRaw {
		p := part{raw: raw}
		// Into a map, as Caddy reads it: the fields of a struct ignore case.
		var config map[string]json.RawMessage
		if err := json.Unmarshal(raw, &config); err != nil {
			return nil, fmt.Errorf("handler: %w", err)
		}
		if err := json.Unmarshal(config["handler"], &p.name); err != nil {
			return nil, fmt.Errorf("handler without a name: %w", err)
		}
		switch p.name {
		case "subroute":
			sub := new(caddyhttp.Subroute)
			if err := p.decode(sub); err != nil {
				return nil, err
			}
			p.routes = routesOf(sub)
		case "invoke":
			if err := s.invoke(&p); err != nil {
				return nil, err
			}
		}
		parts = append(parts, p)
	}
	for _, handler := range route.Handlers {
		module, ok := handler.(caddy.Module)
		if !ok {
			return nil, fmt.Errorf("%T is not a module", handler)
		}
		p := part{name: strings.TrimPrefix(string(module.CaddyModule().ID), "http.handlers."), module: handler}
		switch handler := handler.(type) {
		case *caddyhttp.Subroute:
			p.routes = routesOf(handler)
		case *caddyhttp.Invoke:
			if err := s.invoke(&p); err != nil {
				return nil, err
			}
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// invoke looks up the named route that p invokes.
func (s *survey) invoke(p *part) error {
	var invoke caddyhttp.Invoke
	if err := p.decode(&invoke); err != nil {
		return err
	}
	// Caddy refuses what isn't there when it is invoked.
	if route := s.server.NamedRoutes[invoke.Name]; route != nil {
		p.invokes = invoke.Name
		p.routes = []caddyhttp.RouteList{{*route}}
	}
	return nil
}

func routesOf(sub *caddyhttp.Subroute) []caddyhttp.RouteList {
	lists := []caddyhttp.RouteList{sub.Routes}
	if sub.Errors != nil {
		lists = append(lists, sub.Errors.Routes)
	}
	return lists
}

// dropIdleErrors takes the error routes from the server if they have nothing but
// guards in them. Caddy takes an error for handled, and logs it at DEBUG, where
// there is any error route: a server without handle_errors would lose its log of
// bad gateways to the guards that our directives add.
func (s *survey) dropIdleErrors() error {
	if s.server == nil || s.server.Errors == nil {
		return nil
	}
	idle, err := s.onlyGuards(s.server.Errors.Routes)
	if idle {
		s.server.Errors.Routes = nil
	}
	return err
}

func (s *survey) onlyGuards(routes caddyhttp.RouteList) (bool, error) {
	for _, route := range routes {
		parts, err := s.partsOf(route)
		if err != nil {
			return false, err
		}
		for _, p := range parts {
			only := p.name == "mcp_auth_guard"
			if p.name == "subroute" {
				for _, list := range p.routes {
					if only, err = s.onlyGuards(list); err != nil || !only {
						break
					}
				}
			}
			if err != nil || !only {
				return false, err
			}
		}
	}
	return true, nil
}
