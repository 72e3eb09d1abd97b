// Package routing finds out which handlers a request would meet on its way through
// a server's routes, without sending it there. It uses the server's own matchers,
// so its result is what Caddy does.
package routing

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Handler is a handler on the way.
type Handler struct {
	// Name is the module's name, without its namespace.
	Name string
	// Module is the handler itself; nil where it isn't provisioned yet.
	Module caddyhttp.MiddlewareHandler
	// Resource is the resource of a front door. ForwardsToken says that the door
	// leaves the token in the request, and Asserts that it signs assertions.
	Resource      string
	ForwardsToken bool
	Asserts       bool

	path   string // of the resource
	config json.RawMessage
	// Matchers are the matchers of its route and of the routes around it.
	Matchers []caddyhttp.MatcherSets
	// Hosts are the hosts that the routes around it are for; none if they are
	// for all.
	Hosts []string
}

// Server is an authorization server among the routes.
type Server struct {
	// Issuer is its identifier, Resources the resources that it issues tokens
	// for, and Scopes the scopes that it can grant.
	Issuer    string   `json:"issuer"`
	Resources []string `json:"resources"`
	Scopes    []Scope  `json:"scopes"`
	// Hosts are the hosts that the routes around it are for.
	Hosts []string `json:"-"`
}

// Scope is a scope of an authorization server.
type Scope struct {
	// Name is the name of the scope.
	Name string `json:"name"`
}

// Way is the way of a request.
type Way struct {
	// Handlers are those that the request reaches, in order, assuming that it has
	// any credentials that are asked for.
	Handlers []Handler
	// Path is the request's path at the end, after rewrites.
	Path string
	// Answered says whether the last handler answers the request. For third-party
	// handlers that isn't known; they count as not answering.
	Answered bool
	// Failed says whether the request went through error routes.
	Failed bool
}

// Meets reports whether one of the handlers has that name.
func (w *Way) Meets(name string) bool {
	for _, h := range w.Handlers {
		if h.Name == name {
			return true
		}
	}
	return false
}

// Tree is a server's routes.
type Tree struct {
	server *caddyhttp.Server
	routes []route
	errors []route
	named  map[string][]route
	// Doors are the mcp_auth handlers in all routes except the error routes.
	Doors []Handler
	// Servers are the mcp_auth_server handlers.
	Servers []Server

	// Rewrites says that a handler on the way may change a request's path.
	Rewrites bool
	// Prefixes are the paths that end in * in the routes' path matchers, without
	// the * and a slash before it.
	Prefixes []string
	// Hosts are the hosts that the routes are for.
	Hosts []string
	// OnlyPaths says that host and path alone decide which handlers a request meets.
	OnlyPaths bool

	// caseCounts says that the case of a path's letters may decide which handlers
	// a request meets.
	caseCounts bool
	// changesHeaders says that a handler on the way may change a request's headers.
	changesHeaders bool
	// capitals says that the path of a door's resource contains capital letters.
	capitals bool
}

type route struct {
	group    string
	matchers caddyhttp.MatcherSets
	terminal bool
	handlers []handler
}

type handler struct {
	Handler
	routes, errors []route                     // of a subroute
	effect         caddyhttp.MiddlewareHandler // what changes the request, and with it the way
	invoke         string
	answers, fails bool
}

// maxDepth bounds how deep named routes may invoke each other.
const maxDepth = 20

// IsResource reports whether path is the path of a door's resource.
func (t *Tree) IsResource(path string) bool {
	return slices.ContainsFunc(t.Doors, func(door Handler) bool { return door.path == path })
}

// Way returns the way that r would take with that path. It doesn't change r or
// read its body.
func (t *Tree) Way(r *http.Request, path string) *Way {
	clone := r.WithContext(r.Context())
	clone.Body, clone.ContentLength = http.NoBody, 0
	if t.changesHeaders {
		clone.Header = r.Header.Clone()
	}
	clone.URL = &url.URL{Scheme: r.URL.Scheme, Host: r.URL.Host, Path: path, RawQuery: r.URL.RawQuery}
	clone.RequestURI = clone.URL.RequestURI()
	clone = caddyhttp.PrepareRequest(clone, caddy.NewReplacer(), discard{}, t.server)
	w := walk{tree: t, r: clone, groups: make(map[string]bool)}
	_, err := w.routes(t.routes)
	if err != nil && t.errors != nil {
		// Caddy gives the error routes the request as it came.
		w.way.Failed = true
		*w.r.URL = url.URL{Scheme: r.URL.Scheme, Host: r.URL.Host, Path: path, RawQuery: r.URL.RawQuery}
		w.r.Method, w.r.RequestURI = r.Method, w.r.URL.RequestURI()
		w.r = t.server.Errors.WithError(w.r, err)
		_, _ = w.routes(t.errors) // if these fail too, Caddy answers
	}
	w.way.Path = w.r.URL.Path
	return &w.way
}

type walk struct {
	tree   *Tree
	r      *http.Request
	groups map[string]bool
	depth  int
	way    Way
}

// routes follows a list of routes. It reports whether the way ends there.
func (w *walk) routes(routes []route) (bool, error) {
	for _, rt := range routes {
		if rt.group != "" && w.groups[rt.group] {
			continue
		}
		matches, err := rt.matchers.AnyMatchWithError(w.r)
		if err != nil {
			return true, err
		}
		if !matches {
			continue
		}
		if rt.group != "" {
			w.groups[rt.group] = true
		}
		for _, h := range rt.handlers {
			if stop, err := w.handler(h); stop || err != nil {
				return true, err
			}
		}
		if rt.terminal {
			return true, nil
		}
	}
	return false, nil
}

func (w *walk) handler(h handler) (bool, error) {
	w.way.Handlers = append(w.way.Handlers, h.Handler)
	switch {
	case h.routes != nil:
		stop, err := w.routes(h.routes)
		if err != nil && h.errors != nil {
			w.way.Failed = true
			w.r = (*caddyhttp.HTTPErrorConfig)(nil).WithError(w.r, err)
			return w.routes(h.errors)
		}
		return stop, err
	case h.invoke != "":
		if w.depth++; w.depth > maxDepth {
			return true, nil
		}
		return w.routes(w.tree.named[h.invoke])
	case h.fails:
		return true, caddyhttp.Error(http.StatusInternalServerError, errors.New("error"))
	case h.effect != nil:
		return false, h.effect.ServeHTTP(discard{}, w.r, caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
			w.r = r
			return nil
		}))
	default:
		w.way.Answered = h.answers
		return h.answers, nil
	}
}

// discard is the ResponseWriter for handlers that only change the request. They
// write no answer.
type discard struct{}

func (discard) Header() http.Header         { return make(http.Header) }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

// Same reports whether two are the same handler.
func (h Handler) Same(other Handler) bool {
	if h.Module != nil || other.Module != nil {
		return h.Module == other.Module
	}
	return bytes.Equal(h.config, other.config) && h.Name == other.Name
}
