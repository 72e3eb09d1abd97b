package routing

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// rewriteHeaders name another path to frameworks that trust a rewriting server in
// front of them: those of Microsoft, Symfony, Laminas.
var rewriteHeaders = []string{"X-Original-Url", "X-Rewrite-Url"}

// Misread reports whether a server behind could read the path of r so that it
// belongs to a front door which r, as Caddy reads it, doesn't meet. It asks the
// server's own routes, so every kind of matcher counts, and every rewrite.
//
// The other direction needs no care: a request that meets a door is judged by it,
// however the path is read behind.
func (t *Tree) Misread(r *http.Request) bool {
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
	readings, ok := web.Readings(escaped)
	if !ok {
		return true
	}
	for _, name := range rewriteHeaders {
		for _, value := range r.Header.Values(name) {
			more, ok := headerReadings(value)
			if !ok {
				return true
			}
			readings = append(readings, more...)
		}
	}
	if t.caseCounts {
		readings = append(readings, t.spelled(append(readings, u.Path))...)
	} else if len(readings) == 1 && strings.EqualFold(readings[0], u.Path) {
		return false // the routes don't see the difference
	}
	if len(readings) == 0 {
		return false
	}
	judged := t.doorsOf(r, u.Path)
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

// headerReadings returns what the path in such a header may be read as.
func headerReadings(value string) ([]string, bool) {
	u, err := url.Parse(value)
	path, _, _ := strings.Cut(value, "?")
	if err == nil && u.Host != "" {
		path = u.EscapedPath()
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	readings, ok := web.Readings(path)
	return append(readings, path), ok
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
