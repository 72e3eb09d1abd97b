package guard

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/routing"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// passive are the handlers that a request may meet before the guard: they pass it
// on within the site or answer it themselves, so no server behind sees it. Every
// other handler, including plugins that we don't know, counts as one that passes
// requests to a server.
var passive = map[string]bool{
	"acme_server": true, "copy_response": true, "copy_response_headers": true, "encode": true, "error": true,
	"file_server": true, "headers": true, "log_append": true, "map": true, "metrics": true, "request_body": true,
	"rewrite": true, "static_response": true, "templates": true, "timeouts": true, "tracing": true, "vars": true,
	// Ours. The handlers behind them are checked separately.
	"mcp_auth": true, "mcp_auth_facade": true, "mcp_auth_server": true, "mcp_whoami": true,
}

// isDoor reports whether sites with that handler need the guard.
func isDoor(name string) bool {
	return name == "mcp_auth" || name == "mcp_auth_server" || name == "mcp_auth_facade"
}

// Require returns an error unless the guard comes first wherever a request of a
// site with a front door, an authorization server or a façade could reach another
// server. It is called in Provision, so that it holds for every configuration. Our
// directives put the guard in its place, but they can't from within another block,
// and `order` and JSON can put any handler anywhere.
func Require(ctx caddy.Context) error {
	s, err := surveyOf(ctx)
	if err != nil {
		return fmt.Errorf("looking for mcp_auth_guard: %w", err)
	}
	if s.server == nil {
		return nil // no site
	}
	modules := ctx.Modules()
	for _, module := range modules[:max(0, len(modules)-1)] {
		switch module.(type) {
		case *caddyhttp.App, *caddyhttp.Subroute:
		default:
			return fmt.Errorf("it can't stand inside of %s, whose routes mcp_auth_guard can't see: put it among the site's own routes", module.CaddyModule().ID)
		}
	}
	return s.check()
}

// checkSites looks at every site of the server that has a door.
func (s *survey) checkSites() error {
	sites, err := s.sites()
	if err != nil {
		return err
	}
	for _, hosts := range sites {
		site := "the site"
		if hosts != nil {
			site = strings.Join(hosts, ", ")
		}
		if err := s.checkSite(s.server.Routes, hosts); err != nil {
			return fmt.Errorf("%s: %w. Put mcp_auth beside handle and route, with a matcher (`mcp_auth /mcp* …`), or write `mcp_auth_guard` as a line of its own in the site. "+
				"If an `order` puts another directive first, add `order mcp_auth_guard first` below it. In JSON, make mcp_auth_guard the first handler of the site's routes", site, err)
		}
		if s.server.Errors == nil {
			continue
		}
		if err := s.checkSite(s.server.Errors.Routes, hosts); err != nil {
			return fmt.Errorf("handle_errors of %s: %w. Write `mcp_auth_guard` as a line in the block of handle_errors, or move the block below mcp_auth. "+
				"In JSON, make it the first handler of the error routes", site, err)
		}
	}
	return nil
}

// sites returns the hosts of each site that has a door; nil stands for all hosts.
func (s *survey) sites() ([][]string, error) {
	lists := []caddyhttp.RouteList{s.server.Routes}
	if s.server.Errors != nil {
		lists = append(lists, s.server.Errors.Routes)
	}
	var sites [][]string
	for _, list := range lists {
		for _, route := range list {
			has, err := s.hasDoor(caddyhttp.RouteList{route}, nil)
			if err != nil {
				return nil, err
			}
			if !has {
				continue
			}
			hosts, err := hostsOf(route)
			if err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(sites, func(other []string) bool { return slices.Equal(other, hosts) }) {
				sites = append(sites, hosts)
			}
		}
	}
	return sites, nil
}

func (s *survey) hasDoor(routes caddyhttp.RouteList, invoked []string) (bool, error) {
	for _, route := range routes {
		parts, err := routing.Parts(route)
		if err != nil {
			return false, err
		}
		for _, p := range parts {
			if isDoor(p.Name) {
				return true, nil
			}
			if p.Invokes != "" {
				if slices.Contains(invoked, p.Invokes) {
					continue
				}
				invoked = append(invoked, p.Invokes)
			}
			for _, list := range s.inside(p) {
				if has, err := s.hasDoor(list, invoked); has || err != nil {
					return has, err
				}
			}
		}
	}
	return false, nil
}

// checkSite follows the requests for hosts through a server's routes.
func (s *survey) checkSite(routes caddyhttp.RouteList, hosts []string) error {
	guarded := false
	for _, route := range routes {
		other, err := isOtherSite(route, hosts)
		if err != nil {
			return err
		}
		if other {
			continue
		}
		done, err := s.follow(route, hosts, &guarded, nil)
		if done || err != nil {
			return err
		}
	}
	return nil
}

// followAll is follow for several routes.
func (s *survey) followAll(routes caddyhttp.RouteList, hosts []string, guarded *bool, invoked []string) error {
	for _, route := range routes {
		done, err := s.follow(route, hosts, guarded, invoked)
		if done || err != nil {
			return err
		}
	}
	return nil
}

// follow follows requests through a route. guarded says whether all of them have
// passed the guard. It returns an error if one that hasn't could reach another
// server, and reports whether no request goes on to the next route.
func (s *survey) follow(route caddyhttp.Route, hosts []string, guarded *bool, invoked []string) (done bool, err error) {
	sets, err := matcherSetsOf(route)
	if err != nil {
		return false, err
	}
	if !*guarded {
		if err := s.checkReads("a matcher", sets); err != nil {
			return false, err
		}
	}
	inside := *guarded
	parts, err := routing.Parts(route)
	if err != nil {
		return false, err
	}
	for _, p := range parts {
		switch {
		case p.Name == "mcp_auth_guard":
			inside = true
		case p.Invokes != "" && slices.Contains(invoked, p.Invokes):
			// A named route that invokes itself is being followed already.
		case len(s.inside(p)) > 0:
			lists := s.inside(p)
			if p.Invokes != "" {
				invoked = append(slices.Clip(invoked), p.Invokes)
			}
			// The error routes of a subroute may run before its routes have
			// reached their own guard.
			for _, list := range lists[1:] {
				within := inside
				if err := s.followAll(list, hosts, &within, invoked); err != nil {
					return false, err
				}
			}
			if err := s.followAll(lists[0], hosts, &inside, invoked); err != nil {
				return false, err
			}
		case inside:
		case !passive[p.Name]:
			return false, fmt.Errorf("requests could reach %s without having passed mcp_auth_guard, with forged identity headers and with upgrades that bypass mcp_auth", p.Name)
		case !strings.HasPrefix(p.Name, "mcp_"):
			if err := s.checkReads(p.Name, p.Config()); err != nil {
				return false, err
			}
		}
	}
	// In a group only the first match counts, so this one may be passed over.
	if route.Group != "" || !alwaysMatches(sets, hosts) {
		return false, nil
	}
	*guarded = inside
	return route.Terminal, nil
}

// checkReads returns an error if something before the guard reads a header that
// carries an identity: it would see the value that the client sent.
func (s *survey) checkReads(what string, config any) error {
	if len(s.headers) == 0 {
		return nil
	}
	text, err := json.Marshal(config)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	for word := range strings.FieldsFuncSeq(string(text), func(r rune) bool {
		return !strings.ContainsRune("-_.", r) && (r > 'z' || web.SameHeader(string(r), ""))
	}) {
		// http.request.header.X-User
		for {
			if s.sets(word) {
				return fmt.Errorf("%s that comes before mcp_auth_guard looks at %s, which clients can forge", what, word)
			}
			_, rest, ok := strings.Cut(word, ".")
			if !ok {
				break
			}
			word = rest
		}
	}
	return nil
}

// alwaysMatches reports whether sets match every request for hosts.
func alwaysMatches(sets []map[string]any, hosts []string) bool {
	if len(sets) == 0 {
		return true
	}
	return slices.ContainsFunc(sets, func(set map[string]any) bool {
		for name, matcher := range set {
			values, ok := texts(matcher)
			switch {
			case ok && name == "path" && slices.Contains(values, "*"):
			case ok && name == "host" && hosts != nil && !slices.ContainsFunc(hosts, func(host string) bool { return !slices.Contains(values, host) }):
			default:
				return false
			}
		}
		return true
	})
}

// isOtherSite reports whether a route is for none of hosts.
func isOtherSite(route caddyhttp.Route, hosts []string) (bool, error) {
	others, err := hostsOf(route)
	if err != nil || others == nil {
		return false, err
	}
	if hosts == nil {
		// The site for all hosts gets the requests that no site before it took.
		return route.Terminal, nil
	}
	return !slices.ContainsFunc(others, func(other string) bool {
		return slices.ContainsFunc(hosts, func(host string) bool {
			return coversHost(other, host)
		})
	}), nil
}

// coversHost reports whether a host matcher matches everything that host, which is
// also a host matcher, matches. A placeholder may stand for any host.
func coversHost(matcher, host string) bool {
	if strings.Contains(matcher+host, "{") {
		return true
	}
	a, b := strings.Split(matcher, "."), strings.Split(host, ".")
	return slices.EqualFunc(a, b, func(a, b string) bool { return a == "*" || strings.EqualFold(a, b) })
}

// hostsOf returns the hosts that a route is for; nil for all.
func hostsOf(route caddyhttp.Route) ([]string, error) {
	sets, err := matcherSetsOf(route)
	if err != nil {
		return nil, err
	}
	var hosts []string
	for _, set := range sets {
		values, ok := texts(set["host"])
		if !ok {
			return nil, nil
		}
		hosts = append(hosts, values...)
	}
	return hosts, nil
}

// texts returns the elements of a matcher that is a list of texts.
func texts(matcher any) ([]string, bool) {
	list, ok := matcher.([]any)
	if !ok {
		return nil, false
	}
	values := make([]string, len(list))
	for i, v := range list {
		if values[i], ok = v.(string); !ok {
			return nil, false
		}
	}
	return values, true
}

// matcherSetsOf returns a route's matchers, by name, as JSON has them.
func matcherSetsOf(route caddyhttp.Route) ([]map[string]any, error) {
	var named []map[string]any
	for _, set := range route.MatcherSetsRaw {
		matchers := make(map[string]any, len(set))
		for name, raw := range set {
			matchers[name] = raw
		}
		named = append(named, matchers)
	}
	for _, set := range route.MatcherSets {
		matchers := make(map[string]any, len(set))
		for _, matcher := range set {
			module, ok := matcher.(caddy.Module)
			if !ok {
				return nil, fmt.Errorf("%T is not a module", matcher)
			}
			matchers[module.CaddyModule().ID.Name()] = matcher
		}
		named = append(named, matchers)
	}
	if len(named) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(named)
	if err != nil {
		return nil, fmt.Errorf("matchers: %w", err)
	}
	var sets []map[string]any
	if err := json.Unmarshal(text, &sets); err != nil {
		return nil, fmt.Errorf("matchers: %w", err)
	}
	return sets, nil
}
