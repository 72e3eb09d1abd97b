package routing

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// Headers by which servers and frameworks let a proxy in front of them change the
// path, whether there is such a proxy or not.
var (
	// PathHeaders are the names of all of them.
	PathHeaders = web.NewNames(slices.Concat(pathHeaders, prefixHeaders)...)

	// pathHeaders name another path: to those of Microsoft, Symfony, Laminas, and
	// Gunicorn.
	pathHeaders = []string{"X-Original-URL", "X-Rewrite-URL", "PATH_INFO"}
	// prefixHeaders name what to take off the path: to Gunicorn, and to what many
	// applications have copied to be served below another path.
	prefixHeaders = []string{"SCRIPT_NAME", "X-Script-Name", "X-Forwarded-Script-Name", "X-Forwarded-Prefix", "X-Forwarded-PathBase"}
)

// Misread reports whether a server behind could read the path of r so that it
// belongs to a front door which r, as Caddy reads it, doesn't meet. It asks the
// server's own routes, so every kind of matcher counts, and every rewrite.
//
// The other direction needs no care: a request that meets a door is judged by it,
// however the path is read behind.
//
// Named are those headers of r which servers may take for one of [PathHeaders].
// Others among them do no harm.
func (t *Tree) Misread(r *http.Request, named []string) bool {
	if len(t.Doors) == 0 {
		return false
	}
	u, method := r.URL, r.Method
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && original.URL != nil {
		u, method = original.URL, original.Method
	}
	if u.Path == "*" && method == http.MethodOptions {
		return false
	}
	// As in "GET http:mcp": the server behind gets the request line "GET mcp".
	if u.Opaque != "" || u.Path != "" && u.Path[0] != '/' {
		return true
	}
	escaped := u.EscapedPath()
	if escaped == "" {
		escaped = "/"
	}
	if len(named) == 0 && t.readAlike(escaped) {
		return false
	}
	return t.misread(r, u.Path, escaped, named)
}

// readAlike reports whether no reading of a path makes a difference to the routes.
// That is so for nearly every request, and costs it nothing but a look at each
// character. It says no where [Tree.misread] has to find out.
func (t *Tree) readAlike(escaped string) bool {
	plain, lower := web.Plain(escaped)
	return plain && (!t.caseCounts || lower && !t.capitals)
}

// misread is Misread for a path that may have several readings.
func (t *Tree) misread(r *http.Request, path, escaped string, named []string) bool {
	readings, ok := web.Readings(escaped, headerPaths(r.Header, named, escaped, path)...)
	if !ok {
		return true
	}
	if t.caseCounts {
		readings = append(readings, t.spelled(append(readings, path))...)
	} else if len(readings) == 1 && strings.EqualFold(readings[0], path) {
		return false // the routes don't see the difference
	}
	if len(readings) == 0 {
		return false
	}
	judged := t.doorsOf(r, path)
	if len(judged) == len(t.Doors) {
		return false
	}
	for _, reading := range readings {
		for _, door := range t.doorsOf(r, reading) {
			if !slices.ContainsFunc(judged, door.Same) {
				return true
			}
		}
	}
	return false
}

// headerPaths returns the paths that the named headers of a request with one of the
// given paths make of it.
func headerPaths(header http.Header, named []string, paths ...string) []string {
	var found []string
	for _, name := range named {
		values := header[name]
		switch same := func(other string) bool { return web.SameHeader(name, other) }; {
		case slices.ContainsFunc(pathHeaders, same):
			for _, value := range values {
				found = append(found, pathOf(value))
			}
		case slices.ContainsFunc(prefixHeaders, same):
			for _, value := range values {
				for prefix := range strings.SplitSeq(value, ",") {
					for _, path := range paths {
						if rest, ok := strings.CutPrefix(path, strings.TrimSpace(prefix)); ok {
							found = append(found, rest)
						}
					}
				}
			}
		}
	}
	return found
}

// pathOf returns the path of an address.
func pathOf(address string) string {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return u.EscapedPath()
	}
	path, _, _ := strings.Cut(address, "?")
	return path
}

// spelled returns those of the paths that differ from a door's resource in case
// only, in the spelling of the resource: a matcher such as path_regexp may ask for
// it.
func (t *Tree) spelled(paths []string) []string {
	var spelled []string
	for _, door := range t.Doors {
		n := len(door.path)
		if door.path == strings.ToLower(door.path) {
			continue // the readings have it in lower case
		}
		for _, path := range paths {
			if len(path) >= n && path[:n] != door.path && strings.EqualFold(path[:n], door.path) {
				spelled = append(spelled, door.path+path[n:])
			}
		}
	}
	return spelled
}

// doorsOf returns the doors that r meets with a path.
func (t *Tree) doorsOf(r *http.Request, path string) []Handler {
	way := t.Way(r, path)
	return slices.DeleteFunc(way.Handlers, func(h Handler) bool { return h.Name != "mcp_auth" })
}
