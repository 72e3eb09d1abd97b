package guard

import (
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Each of our directives puts a guard before its site, because a directive can't see
// the others. In a site with several directives, the guards follow one another, and
// the first one does the work.

// repeats returns a function that reports whether g stands directly behind another
// guard. Then every request that it gets has just passed the other one, and nothing
// has changed the request in between. It is determined at the first request, when
// all routes are provisioned.
func (g *Handler) repeats(ctx caddy.Context) func() bool {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return nil
	}
	return sync.OnceValue(func() bool {
		lists := []caddyhttp.RouteList{server.Routes}
		if server.Errors != nil {
			lists = append(lists, server.Errors.Routes)
		}
		return slices.ContainsFunc(lists, g.repeatsIn)
	})
}

// repeatsIn reports whether g stands directly behind another guard in one of the
// routes, or in the routes inside them. Named routes aren't looked at.
func (g *Handler) repeatsIn(routes caddyhttp.RouteList) bool {
	var before *Handler
	for _, route := range routes {
		guard := soleGuard(route)
		if guard == g {
			return before != nil
		}
		before = guard
		for _, handler := range route.Handlers {
			sub, ok := handler.(*caddyhttp.Subroute)
			if ok && (g.repeatsIn(sub.Routes) || sub.Errors != nil && g.repeatsIn(sub.Errors.Routes)) {
				return true
			}
		}
	}
	return false
}

// soleGuard returns the guard that a route consists of, if it takes every request and
// hands it on to the next route; nil if it is any other route.
func soleGuard(route caddyhttp.Route) *Handler {
	if route.Group != "" || route.Terminal || len(route.Handlers) != 1 || !takesAll(route.MatcherSets) {
		return nil
	}
	guard, _ := route.Handlers[0].(*Handler)
	return guard
}

// takesAll reports whether there are no matchers, or only those that [Before]
// sets.
func takesAll(sets caddyhttp.MatcherSets) bool {
	if len(sets) == 0 {
		return true
	}
	if len(sets) != 1 || len(sets[0]) != 1 {
		return false
	}
	switch path := sets[0][0].(type) {
	case *caddyhttp.MatchPath:
		return slices.Equal(*path, []string{"*"})
	case caddyhttp.MatchPath:
		return slices.Equal(path, []string{"*"})
	}
	return false
}
