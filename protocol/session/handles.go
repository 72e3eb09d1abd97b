package session

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

const (
	sessionHeader = "Mcp-Session-Id"
	eventHeader   = "Last-Event-Id"
)

// names are the headers that have handles.
var names = web.NewNames(sessionHeader, eventHeader)

// Handles are what a request has, as the client sent it. The zero value is a request
// without any, as nearly all are that have no session.
type Handles struct {
	session, event string
	query          parameter
	// found are the headers that have handles, or that a server behind may take for
	// one.
	found []string
}

// None reports whether the request names no session and no event.
func (h *Handles) None() bool { return h.session == "" && h.event == "" && h.query.value == "" }

// Read returns the handles of a request. The error is a [*Error] if two servers could
// read different ones.
func Read(header http.Header, rawQuery string) (h Handles, err error) {
	h.found = names.In(header)
	for _, name := range h.found {
		values := header[name]
		var to *string
		var kind Kind
		switch name {
		case sessionHeader:
			to, kind = &h.session, Header
		case eventHeader:
			to, kind = &h.event, Event
		default:
			continue
		}
		if len(values) != 1 {
			return h, &Error{kind, Ambiguous}
		}
		*to = values[0]
	}
	if rawQuery == "" {
		return h, nil
	}
	found := parameters(rawQuery)
	switch {
	case len(found) == 0:
	case len(found) > 1, strings.Contains(rawQuery, ";"), !found[0].plain:
		return h, &Error{Query, Ambiguous}
	default:
		h.query = found[0]
	}
	return h, nil
}

// set replaces the handles in a request by those that the server gave out.
func (h *Handles) set(header http.Header, rawQuery, session, event, query string) (newQuery string) {
	for _, name := range h.found {
		delete(header, name)
	}
	if session != "" {
		header[sessionHeader] = []string{session}
	}
	if event != "" {
		header[eventHeader] = []string{event}
	}
	if query == "" {
		return rawQuery
	}
	return h.query.replaced(rawQuery, query)
}

// parameter is a session id in a query.
type parameter struct {
	value      string // decoded
	start, end int    // of the value in the query
	plain      bool   // it can be decoded
}

// replaced returns the query with another value of the parameter.
func (p parameter) replaced(rawQuery, value string) string {
	return rawQuery[:p.start] + url.QueryEscape(value) + rawQuery[p.end:]
}

// parameters returns the session ids in a query. SDKs call them sessionId, session_id
// or sessionid.
func parameters(rawQuery string) (found []parameter) {
	for at := 0; at <= len(rawQuery); {
		end := len(rawQuery)
		if n := strings.IndexAny(rawQuery[at:], "&;"); n >= 0 {
			end = at + n
		}
		name, value, hasValue := strings.Cut(rawQuery[at:end], "=")
		if isSession(name) {
			p := parameter{start: end - len(value), end: end}
			decoded, err := url.QueryUnescape(value)
			p.value, p.plain = decoded, err == nil && hasValue && decoded != ""
			found = append(found, p)
		}
		at = end + 1
	}
	return found
}

// isSession reports whether a server may take a parameter of that name for a session
// id. Some ignore letter case or what isn't a letter or digit, some read a[] as a, and
// some stop at a NUL.
func isSession(name string) bool {
	if decoded, err := url.QueryUnescape(name); err == nil {
		name = decoded
	}
	if at := strings.IndexAny(name, "[\x00"); at >= 0 {
		name = name[:at]
	}
	return web.SameHeader(mcp.Fold(name), "sessionid")
}

// endpoint returns the address that HTTP+SSE announces, with its session ids replaced.
func endpoint(address string, tagged func(id string) (string, error)) (string, error) {
	before, rest, ok := strings.Cut(address, "?")
	if !ok {
		return address, nil
	}
	query, fragment, hasFragment := strings.Cut(rest, "#")
	found := parameters(query)
	for i := len(found) - 1; i >= 0; i-- {
		if !found[i].plain {
			continue // what comes back with it is refused
		}
		value, err := tagged(found[i].value)
		if err != nil {
			return "", err
		}
		query = found[i].replaced(query, value)
	}
	address = before + "?" + query
	if hasFragment {
		address += "#" + fragment
	}
	return address, nil
}
