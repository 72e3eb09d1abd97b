package routing

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// Headers with which a proxy may change the path that a server or framework sees.
// Many accept them from any client, even without a proxy.
var (
	// PathHeaders are all of them: those that name a path, and those that name a
	// prefix.
	PathHeaders = web.NewNames(slices.Concat(pathHeaders, prefixHeaders)...)

	// pathHeaders name another path: to those of Microsoft, Symfony, Laminas, and
	// Gunicorn.
	pathHeaders = []string{"X-Original-URL", "X-Rewrite-URL", "PATH_INFO"}
	// prefixHeaders name a prefix to remove from the path: to Gunicorn, and in
	// code that many applications have copied so that they can be served below
	// another path.
	prefixHeaders = []string{"SCRIPT_NAME", "X-Script-Name", "X-Forwarded-Script-Name", "X-Forwarded-Prefix", "X-Forwarded-PathBase"}
)

// Misread reports whether a server behind could read the path of r so that it
// belongs to a front door which r, as Caddy reads it, doesn't meet. It asks the
// server's own routes, so every kind of matcher counts, and every rewrite.
//
// The reverse case is safe: a door judges every request that meets it, however a
// server behind reads the path.
//
// Named are the headers of r that servers may take for one of [PathHeaders]. Other
// headers among them do no harm.
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

// readAlike reports whether the routes treat every reading of a path alike. That
// holds for nearly every request, and costs only one look at each character. If it
// reports false, [Tree.misread] has to find out.
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

// spelled takes the paths that differ only in case from a door's resource, and
// returns them with the resource's spelling: a matcher such as path_regexp may ask
// for it.
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
