package guard

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/routing"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/assertion"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// survey describes what a server's routes contain. It is made while the routes are
// provisioned, so some of them are modules already, and the others are JSON.
type survey struct {
	server *caddyhttp.Server
	// headers are the headers that front doors set.
	headers []string
	// check looks at every site of the server, once for all its doors.
	check func() error
}

// surveys has one survey for each server: what a door sets doesn't change while the
// others are provisioned.
var surveys routing.PerServer[*survey]

// surveyOf returns the survey of the server that ctx belongs to. Outside a server
// it is empty.
func surveyOf(ctx caddy.Context) (*survey, error) {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return new(survey), nil
	}
	return surveys.Of(ctx, server, func() (*survey, error) { return newSurvey(server) })
}

func newSurvey(server *caddyhttp.Server) (*survey, error) {
	s := &survey{server: server}
	s.check = sync.OnceValue(s.checkSites)
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
		parts, err := routing.Parts(route)
		if err != nil {
			return err
		}
		for _, p := range parts {
			if p.Name == "mcp_auth" {
				var door struct {
					Header    map[string]json.RawMessage `json:"header"`
					Assertion *struct {
						Header        string `json:"header"`
						Authorization bool   `json:"authorization"`
					} `json:"assertion"`
				}
				if err := p.Decode(&door); err != nil {
					return err
				}
				names := slices.Sorted(maps.Keys(door.Header))
				if a := door.Assertion; a != nil && !a.Authorization {
					names = append(names, cmp.Or(a.Header, assertion.DefaultHeader))
				}
				for _, name := range names {
					if !s.sets(name) {
						s.headers = append(s.headers, name)
					}
				}
			}
			// The server's named routes are among the lists already.
			for _, list := range p.Routes {
				if err := s.collect(list); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// sets reports whether a front door sets the header.
func (s *survey) sets(header string) bool {
	return slices.ContainsFunc(s.headers, func(name string) bool { return web.SameHeader(name, header) })
}

// inside returns the routes inside a handler: those of a subroute followed by its
// error routes, or the named route that it invokes. Caddy refuses to invoke a route
// that isn't there.
func (s *survey) inside(p routing.Part) []caddyhttp.RouteList {
	if route := s.server.NamedRoutes[p.Invokes]; p.Invokes != "" && route != nil {
		return []caddyhttp.RouteList{{*route}}
	}
	return p.Routes
}

// dropIdleErrors removes the server's error routes if they contain only guards. If
// there is any error route, Caddy considers an error handled and logs it at DEBUG.
// So a server without handle_errors would no longer log bad gateways, only because
// our directives add guards.
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
		parts, err := routing.Parts(route)
		if err != nil {
			return false, err
		}
		for _, p := range parts {
			only := p.Name == "mcp_auth_guard"
			if p.Name == "subroute" {
				for _, list := range p.Routes {
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
