package guard

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// Headers are the names of the headers that tell the next handler who
// the user is. Only we set them.
type Headers []string

// notIdentity are headers that mean something else to the next handler, or on
// the way there.
var notIdentity = []string{
	"Accept", "Connection", "Content-Length", "Content-Type", "Cookie", "Host",
	"Origin", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// Check returns an error for a header that can't carry an identity. A name that
// servers may take for another one counts as that one.
func (names Headers) Check() error {
	for i, name := range names {
		if !httpguts.ValidHeaderFieldName(name) || web.SameHeader(name, "") {
			return fmt.Errorf("header %q is not a header name", name)
		}
		if web.SameHeader(name, "Authorization") {
			return errors.New("header Authorization cannot be set here: use header_up of reverse_proxy for credentials of your own, or forward_token")
		}
		for _, other := range notIdentity {
			if web.SameHeader(name, other) {
				return fmt.Errorf("header %s cannot carry an identity: choose a name of its own, such as X-User", other)
			}
		}
		if len(name) > 3 && web.SameHeader(name[:4], "Mcp") {
			return fmt.Errorf("header %q belongs to the MCP protocol: choose another name", name)
		}
		for _, other := range names[:i] {
			if web.SameHeader(name, other) {
				return fmt.Errorf("headers %q and %q are the same to servers that fold header names", other, name)
			}
		}
	}
	return nil
}

// Scrub removes from r whatever the client sent under one of the names, or
// under a name that a server behind may take for it: CGI, WSGI and PHP turn
// X-User, X_User and X.User into the same variable. It also takes the names out
// of Connection, by which a client could have the next proxy drop our header
// after it was set (the class of CVE-2025-48865).
func (names Headers) Scrub(r *http.Request) {
	if len(names) == 0 {
		return
	}
	for key := range r.Header {
		if names.contain(key) {
			delete(r.Header, key)
		}
	}
	// Trailers arrive with the end of the body, when it is too late to look at
	// them. MCP has no use for any.
	r.Trailer = nil
	removeOptions(r.Header, names.contain)
}

// removeOptions takes options out of Connection.
func removeOptions(header http.Header, remove func(option string) bool) {
	if len(header["Connection"]) == 0 {
		return
	}
	var kept []string
	for _, value := range header["Connection"] {
		for option := range strings.SplitSeq(value, ",") {
			if option = strings.TrimSpace(option); option != "" && !remove(option) {
				kept = append(kept, option)
			}
		}
	}
	if len(kept) == 0 {
		delete(header, "Connection")
		return
	}
	header["Connection"] = []string{strings.Join(kept, ", ")}
}

// without returns the names that are not in others.
func (names Headers) without(others Headers) Headers {
	if len(others) == 0 {
		return names
	}
	return slices.DeleteFunc(slices.Clone(names), others.contain)
}

// setVar is the request variable that holds the identity headers which front
// doors have set for this request.
const setVar = "mcp_auth_header"

// MarkSet says that a front door has set the headers for this request: they are
// no longer the client's, and stay.
func (names Headers) MarkSet(r *http.Request) {
	caddyhttp.SetVar(r.Context(), setVar, slices.Concat(setHeaders(r), names))
}

func setHeaders(r *http.Request) Headers {
	names, _ := caddyhttp.GetVar(r.Context(), setVar).(Headers)
	return names
}

func (names Headers) contain(key string) bool {
	for _, name := range names {
		if web.SameHeader(key, name) {
			return true
		}
	}
	return false
}
