package check

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// maxIssuers bounds how many authorization servers of a resource are checked.
const maxIssuers = 8

// resourceMetadata has the members of RFC 9728, section 2 that clients use.
type resourceMetadata struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers"`
	ScopesSupported      []string `json:"scopes_supported"`
	BearerMethods        []string `json:"bearer_methods_supported"`
}

// resource checks an MCP server that has answered post.
func (w *walker) resource(ctx context.Context, id resource.Identifier, post *answer) {
	get, err := w.probe(ctx, http.MethodGet, id.String())
	w.methods = map[string]*answer{http.MethodPost: post, http.MethodGet: get}
	w.challenged(http.MethodPost, post, nil)
	w.challenged(http.MethodGet, get, err)
	w.otherForms(ctx, id, post)
	if post.status != http.StatusUnauthorized && pathOf(id) == "" {
		if issuer := w.issuerBelow(ctx, id.String()); issuer != "" {
			w.warn("target", "issuer_below", "this is the origin of an authorization server, whose issuer is "+discovery.Quote(issuer), "check that URL, and write it where an issuer is asked for")
			return
		}
	}
	named := ""
	if post.status == http.StatusUnauthorized {
		named = w.challenge(id, post.header)
	}
	w.webPage(ctx, id)

	doc := w.resourceMetadata(ctx, id, named)
	if doc == nil {
		return
	}
	servers := doc.AuthorizationServers
	w.metadataContent(id, doc)
	for i, issuer := range servers {
		if i == maxIssuers {
			w.warn("servers", "too_many_authorization_servers", fmt.Sprintf("only the first %d authorization servers are checked", maxIssuers), "check the others by their URL")
			break
		}
		if !slices.Contains(servers[:i], issuer) {
			w.issuer(ctx, issuer)
		}
	}
	w.about = id.String()
}

// challenged judges the response to a request without a token.
func (w *walker) challenged(method string, a *answer, err error) {
	step := method + " without token"
	code := strings.ToLower(method) + "_not_challenged"
	switch {
	case err != nil:
		w.fail(step, code, "no answer: "+cause(err), "answer every request without a token immediately, with 401 and a challenge")
	case a.status == http.StatusUnauthorized:
		w.ok(step, strings.ToLower(method)+"_challenged", "401")
	case a.status >= 300 && a.status < 400 && w.toItself(a.header.Get("Location")):
		w.fail(step, code, fmt.Sprintf("%d to itself, endlessly", a.status),
			"find out which server on the way redirects: most often one redirects http to https behind another that terminates TLS and speaks http to it; tell it that it is behind a proxy, or turn its redirects off")
	case a.status >= 300 && a.status < 400:
		w.fail(step, code, fmt.Sprintf("%d to %s", a.status, discovery.Quote(a.header.Get("Location"))),
			"have clients use the final address: many don't follow redirects, and none may send a token along")
	case a.status == http.StatusMethodNotAllowed:
		w.fail(step, code, "405 comes before 401", "challenge every method without a token, whether it is allowed or not: some clients, mcp-remote and Codex among them, begin with GET")
	case a.status == http.StatusOK && a.nothing():
		w.fail(step, code, "200 with an empty body: Caddy answers that when no handler matches the path", "check the URL, letter by letter, and the matchers in the server's Caddyfile")
	case a.status >= 200 && a.status < 300:
		w.fail(step, code, fmt.Sprintf("%d: anyone can use this server", a.status), w.openCure())
	case a.status == http.StatusNotFound:
		w.fail(step, code, "404: there is nothing at this URL", "check the URL, including a slash at its end")
	default:
		w.fail(step, code, fmt.Sprintf("%d instead of 401", a.status), "see the server's log; clients only start to sign in after a 401")
	}
}

// toItself reports whether a redirect leads back to its own URL.
func (w *walker) toItself(location string) bool {
	from, err := url.Parse(w.about)
	if err != nil {
		return false
	}
	to, err := from.Parse(location)
	return err == nil && location != "" && web.Origin(to) == web.Origin(from) && to.EscapedPath() == from.EscapedPath() && to.RawQuery == from.RawQuery
}

// openCure says how to fix a server that answers without a token.
func (w *walker) openCure() string {
	for _, a := range w.methods {
		if a != nil && a.status == http.StatusUnauthorized {
			return "the matcher of mcp_auth tests more than the path, such as a method or a header: have it match the path only"
		}
	}
	return "protect it: put mcp_auth before it, with a matcher that covers this path, or none; if it has one, a `uri`, `rewrite` or `handle_path` may change the path before mcp_auth sees it, or `respond` or `reverse_proxy` come before it in a `route`: " +
		"`caddy validate` warns of that"
}

// otherForms sends requests that differ from the first in what a matcher may look
// at. A server that challenges the first must challenge them too.
func (w *walker) otherForms(ctx context.Context, id resource.Identifier, post *answer) {
	if post.status != http.StatusUnauthorized {
		return
	}
	for _, form := range []struct{ what, method, address, cure string }{
		{"DELETE", http.MethodDelete, id.String(), "the matcher of mcp_auth tests more than the path, such as a method: have it match the path only"},
		{"what is below it", http.MethodPost, strings.TrimSuffix(id.String(), "/") + "/x", "have the matcher of mcp_auth cover what is below the resource too, as in mcp_auth /mcp*"},
	} {
		a, err := w.probe(ctx, form.method, form.address)
		if err == nil && a.status >= 200 && a.status < 300 && !a.nothing() {
			w.fail(form.what, "not_challenged", fmt.Sprintf("%s %s without token: %d", form.method, discovery.Quote(form.address), a.status), form.cure)
		}
	}
}

// resourceMetadata finds the metadata where the challenge says, or else at the
// well-known location, where some clients look first. It returns nil if there is
// none.
func (w *walker) resourceMetadata(ctx context.Context, id resource.Identifier, named string) *resourceMetadata {
	const step = "metadata"
	wellKnown := id.MetadataURL()
	doc, err := w.readResourceMetadata(ctx, wellKnown)
	if err == nil {
		w.ok(step, "resource_metadata_found", "at %s", discovery.Quote(wellKnown))
	} else if named == id.Origin()+resource.WellKnown {
		// Clients that follow the challenge find it, and the others try this
		// location if the one with the path has nothing.
		if atRoot, rootErr := w.readResourceMetadata(ctx, named); rootErr == nil {
			w.ok(step, "resource_metadata_found", "at %s, as the challenge says", discovery.Quote(named))
			return atRoot
		}
		w.fail(step, "resource_metadata_not_found", fmt.Sprintf("neither at %s nor at %s: %s", discovery.Quote(wellKnown), discovery.Quote(named), cause(err)),
			"serve the metadata at the first of them: the well-known string, then the path of the resource (RFC 9728, section 3.1)")
		return nil
	} else if elsewhere, ok := errors.AsType[*outbound.RedirectError](err); ok {
		w.fail(step, "resource_metadata_not_found", fmt.Sprintf("%s: redirected to %s, another origin, where clients don't follow", discovery.Quote(wellKnown), discovery.Quote(elsewhere.Origin)),
			"serve the metadata on the resource's own origin: with mcp_auth, leave "+resource.WellKnown+"* out of the redirect, and put mcp_auth before it")
	} else {
		w.fail(step, "resource_metadata_not_found", fmt.Sprintf("%s: %s", discovery.Quote(wellKnown), cause(err)),
			"serve the metadata there as well: the well-known string, then the path of the resource (RFC 9728, section 3.1); some clients look nowhere else")
	}
	if named == "" || named == wellKnown {
		return doc
	}
	atNamed, err := w.readResourceMetadata(ctx, named)
	if err != nil {
		w.fail(step, "resource_metadata_misplaced", fmt.Sprintf("the challenge's %s: %s", discovery.Quote(named), cause(err)), "have resource_metadata name an address that works")
		return doc
	}
	w.ok(step, "resource_metadata_found", "at %s, as the challenge says", discovery.Quote(named))
	return atNamed
}

func (w *walker) readResourceMetadata(ctx context.Context, address string) (*resourceMetadata, error) {
	a, err := w.document(ctx, address)
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, fmt.Errorf("answered %d", a.status)
	}
	doc := new(resourceMetadata)
	if err := json.Unmarshal(a.body, doc); err != nil {
		return nil, fmt.Errorf("answered 200 with something other than resource metadata (%s)", contentType(a.header))
	}
	if !strings.HasPrefix(contentType(a.header), "application/json") {
		w.warn("metadata", "resource_metadata_content_type", "the metadata is sent as "+contentType(a.header), "send it as application/json")
	}
	w.readable("metadata CORS", "resource_metadata", a.header)
	return doc, nil
}

// contentType returns the media type of a response; empty if it has none.
func contentType(header http.Header) string {
	mediaType, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || len(mediaType) > 100 {
		return "no Content-Type"
	}
	return mediaType
}

// metadataContent judges the content of the metadata.
func (w *walker) metadataContent(id resource.Identifier, doc *resourceMetadata) {
	const step = "resource"
	switch found := discovery.Quote(doc.Resource); {
	case doc.Resource == id.String():
		w.ok(step, "resource_matches", "the metadata names exactly this URL")
	case doc.Resource == "":
		w.fail(step, "resource_mismatch", "the metadata names no resource", "have it name the URL that clients use")
	case resource.Same(doc.Resource, id.String()):
		w.fail(step, "resource_mismatch", fmt.Sprintf("the metadata names %s: only the spelling differs, but clients compare it exactly", found),
			"use that URL, or configure this one as the resource")
	default:
		w.fail(step, "resource_mismatch", fmt.Sprintf("the metadata names %s: clients refuse it", found), mismatchCure(doc.Resource, id))
	}
	switch n := len(doc.AuthorizationServers); {
	case n == 0:
		w.fail("servers", "no_authorization_servers", "the metadata names no authorization server: clients don't know where to sign in", "name one; with mcp_auth: issuer <url>")
	default:
		w.ok("servers", "authorization_servers_named", "%s", discovery.Quote(strings.Join(doc.AuthorizationServers, " ")))
	}
	if slices.Contains(doc.ScopesSupported, "offline_access") {
		w.warn("scopes", "offline_access_advertised", "scopes_supported has offline_access, which is not a scope of a resource", "remove it: clients that want refresh tokens ask for it by themselves")
	}
	if doc.BearerMethods != nil && !slices.Contains(doc.BearerMethods, "header") {
		w.fail("metadata", "bearer_header_not_supported", "bearer_methods_supported lacks \"header\", the only way MCP clients send tokens", "add it, or leave the field out")
	}
}

// mismatchCure recognizes common mistakes.
func mismatchCure(named string, id resource.Identifier) string {
	u, err := url.Parse(named)
	if err == nil && u.Scheme == "http" && strings.HasPrefix(id.Origin(), "https:") {
		return "the server behind TLS thinks it is served over http: configure its public URL"
	}
	return "use the URL that it names, or have it name the one that clients use"
}
