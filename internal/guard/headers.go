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
// the user is. Only we set them. Nil stands for none.
type Headers struct {
	names []string
	set   web.Names
}

// NewHeaders returns the headers of these names.
func NewHeaders(names ...string) *Headers {
	if len(names) == 0 {
		return nil
	}
	return &Headers{names, web.NewNames(names...)}
}

// Names returns the names, in the order in which they were given.
func (h *Headers) Names() []string {
	if h == nil {
		return nil
	}
	return h.names
}

// notIdentity are headers that mean something else to the next handler, or to a
// proxy on the way there, which removes or replaces them.
var notIdentity = []string{
	"Accept", "Connection", "Content-Length", "Content-Type", "Cookie", "Host",
	"Origin", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Alt-Svc", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
	"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
}

// Check returns an error for a header that can't carry an identity. A name that
// servers may take for another one counts as that one.
func (h *Headers) Check() error {
	names := h.Names()
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
func (h *Headers) Scrub(r *http.Request) {
	if h != nil {
		h.scrub(r, h.set.In(r.Header))
	}
}

// scrub is Scrub for a caller that has looked at r.Header already: found contains
// every name there that is one of ours, and possibly others.
func (h *Headers) scrub(r *http.Request, found []string) {
	if h == nil {
		return
	}
	for _, key := range found {
		if h.set.Contains(key) {
			delete(r.Header, key)
		}
	}
	// Trailers arrive after the body, too late to be checked. MCP doesn't use
	// them.
	r.Trailer = nil
	removeOptions(r.Header, h.set)
}

// removeOptions takes options out of Connection.
func removeOptions(header http.Header, remove web.Names) {
	values := header["Connection"]
	if !slices.ContainsFunc(values, func(value string) bool { return hasOption(value, remove) }) {
		return
	}
	var kept []string
	for _, value := range values {
		for option := range strings.SplitSeq(value, ",") {
			if option = strings.TrimSpace(option); option != "" && !remove.Contains(option) {
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

// hasOption reports whether a value of Connection has one of the options.
func hasOption(value string, options web.Names) bool {
	for option := range strings.SplitSeq(value, ",") {
		if options.Contains(option) {
			return true
		}
	}
	return false
}

// without returns the headers that are not among others.
func (h *Headers) without(others *Headers) *Headers {
	if h == nil || others == nil {
		return h
	}
	return NewHeaders(slices.DeleteFunc(slices.Clone(h.names), others.set.Contains)...)
}

// setVar is the request variable that holds the identity headers that front doors
// have set for this request.
const setVar = "mcp_auth_header"

// MarkSet records that a front door has set the headers for this request. They are
// no longer the client's, so the guard leaves them.
func (h *Headers) MarkSet(r *http.Request) {
	if before := setHeaders(r); before != nil {
		h = NewHeaders(slices.Concat(before.Names(), h.Names())...)
	}
	caddyhttp.SetVar(r.Context(), setVar, h)
}

func setHeaders(r *http.Request) *Headers {
	headers, _ := caddyhttp.GetVar(r.Context(), setVar).(*Headers)
	return headers
}
