package facade

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/facade/reading"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// requestKind is how the façade handles a request.
type requestKind int

const (
	otherRequest requestKind = iota
	authorizationRequest
	consentRequest
	registrationRequest
	tokenRequest   // also for revocation and introspection
	refusedRequest // what the façade can't inspect
)

// inspected is an endpoint on the issuer's origin.
type inspected struct {
	kind requestKind
	// address is its URL, without a query.
	address string
	// path is its escaped path.
	path string
	// label is its name in the metrics.
	label string
}

// inspectedEndpoints are the endpoints of the authorization server, by their
// metadata fields. The façade inspects requests to those on the issuer's origin.
var inspectedEndpoints = []struct {
	field string
	kind  requestKind
	label string
}{
	{"authorization_endpoint", authorizationRequest, atAuthorization},
	{"token_endpoint", tokenRequest, atToken},
	{"revocation_endpoint", tokenRequest, atRevocation},
	{"introspection_endpoint", tokenRequest, atIntrospection},
	{"pushed_authorization_request_endpoint", refusedRequest, atPushed},
}

// ownEndpoints returns the façade's own endpoints.
func (h *Handler) ownEndpoints() []inspected {
	var list []inspected
	add := func(kind requestKind, path, label string) {
		u := url.URL{Path: h.base + path}
		list = append(list, inspected{kind: kind, address: h.origin + u.EscapedPath(), path: u.EscapedPath(), label: label})
	}
	if h.registrar != nil {
		add(registrationRequest, registerPath, atRegistration)
	}
	if h.shared != nil {
		add(consentRequest, consentPath, atConsent)
	}
	return list
}

// serverEndpoints returns the endpoints of the authorization server. fields is the
// metadata that clients get, discovered is the server's own.
func (h *Handler) serverEndpoints(fields, discovered map[string]any) (list []inspected) {
	for _, endpoint := range inspectedEndpoints {
		address, ok := fields[endpoint.field].(string)
		if !ok {
			// Clients aren't told about it, but the endpoint exists.
			address, _ = discovered[endpoint.field].(string)
			address = h.corrected.Public(address)
		}
		u, err := url.Parse(address)
		if err != nil || address == "" || web.Origin(u) != h.origin {
			continue
		}
		list = append(list, inspected{endpoint.kind, h.origin + u.EscapedPath(), u.EscapedPath(), endpoint.label})
	}
	return list
}

// endpointOf returns the endpoint that a request is for, or nil if it is for none. The
// endpoints may have to be discovered first; the error says that this failed. A
// path that a server might read as an endpoint's has an error of the type
// *misread.
func (h *Handler) endpointOf(r *http.Request) (*inspected, error) {
	path := r.URL.EscapedPath()
	g, err := find(h.own, path)
	if g != nil || err != nil {
		return g, err
	}
	list, err := h.discoveredEndpoints(r.Context())
	if err != nil {
		if h.mayBeInspected(r) {
			return nil, err
		}
		return nil, nil
	}
	return find(list, path)
}

func find(list []inspected, path string) (*inspected, error) {
	for i := range list {
		if path == list[i].path {
			return &list[i], nil
		}
	}
	p := reading.NewPath(path)
	for i := range list {
		if p.MayBe(list[i].path) {
			return &list[i], &misread{list[i].path}
		}
	}
	return nil, nil
}

// misread is the error of a path that some servers might read as an endpoint's.
type misread struct{ endpoint string }

func (e *misread) Error() string {
	return fmt.Sprintf("the path is not exactly that of the endpoint in the metadata, %s, but could be taken for it", e.endpoint)
}

// mayBeInspected reports whether a request could be for an endpoint while the
// endpoints are unknown.
func (h *Handler) mayBeInspected(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return reading.NoBody(r) != nil || reading.CheckHeaders(r.Header) != nil || h.authorizations.Suspicious(r.URL.RawQuery)
	}
	return true
}

// refuseMisread refuses a request whose path a server might read as an
// endpoint's.
func (h *Handler) refuseMisread(w http.ResponseWriter, r *http.Request, g *inspected, cause error) error {
	if g.kind == authorizationRequest || g.kind == consentRequest {
		return h.refusePage(w, r, g.label, cause)
	}
	h.refuseProgram(w, r, g.label, http.StatusBadRequest, cause)
	return nil
}

// discoveredEndpoints returns the endpoints of the authorization server. The error says that
// they can't be discovered.
func (h *Handler) discoveredEndpoints(ctx context.Context) ([]inspected, error) {
	if _, err := h.fields(ctx); err != nil {
		return nil, err
	}
	h.applied.mu.Lock()
	defer h.applied.mu.Unlock()
	return h.applied.endpoints, nil
}

var errMethod = errors.New("this endpoint does not support the method")
