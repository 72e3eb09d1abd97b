package check

// What clients in browsers need (Fetch standard, CORS protocol). Other clients
// don't need it, so problems are warnings at most.

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
)

// forBrowsers is the end of messages about CORS.
const forBrowsers = ": clients in browsers can't use it"

// webPage judges the resource's response to a page of the Inspector's origin.
func (w *walker) webPage(ctx context.Context, id resource.Identifier) {
	const step = "CORS"
	a, err := w.probe(ctx, http.MethodPost, id.String(), "Origin", origin)
	switch {
	case err != nil:
		w.warn(step, "cors_challenge_unreadable", "no answer to a request from a web page: "+cause(err), "see the server's log")
	case a.status == http.StatusForbidden:
		w.warn(step, "cors_origin_refused", "a web page on loopback is refused with 403", "allow loopback origins: the Inspector and local clients use them")
	case !allowsOrigin(a.header):
		w.warn(step, "cors_challenge_unreadable", fmt.Sprintf("the %d to a web page has no Access-Control-Allow-Origin%s", a.status, forBrowsers), "send the CORS headers with every response, including refusals")
	case !lists(a.header, "Access-Control-Expose-Headers", "WWW-Authenticate") && !lists(a.header, "Access-Control-Expose-Headers", "*"):
		w.warn(step, "cors_challenge_unreadable", "the challenge is not exposed to web pages", "send Access-Control-Expose-Headers: WWW-Authenticate, Mcp-Session-Id")
	default:
		w.ok(step, "cors_challenge_readable", "web pages can read the challenge")
	}
	w.preflight(ctx, "preflight", "preflight", id.String(), "authorization", "content-type", "mcp-protocol-version")
}

// preflight sends the preflight of a POST with headers, as browsers do, without a
// token. code is that of a good response except for its last word.
func (w *walker) preflight(ctx context.Context, step, code, address string, headers ...string) {
	a, err := w.probe(ctx, http.MethodOptions, address,
		"Origin", origin,
		"Access-Control-Request-Method", http.MethodPost,
		"Access-Control-Request-Headers", strings.Join(headers, ","))
	refused := func(message, cure string) { w.warn(step, code+"_refused", message+forBrowsers, cure) }
	switch {
	case err != nil:
		refused("no answer to the preflight: "+cause(err), "answer OPTIONS with 204")
		return
	case a.status == http.StatusUnauthorized:
		refused("the preflight is answered with 401; browsers send no token with it", "answer OPTIONS without a token")
		return
	case a.status < 200 || a.status > 299:
		refused(fmt.Sprintf("the preflight is answered with %d", a.status), "answer OPTIONS with 204 and the CORS headers")
		return
	case !allowsOrigin(a.header):
		refused("the preflight's answer has no Access-Control-Allow-Origin", "allow the origins of clients in browsers; some servers do so client by client")
		return
	}
	for _, name := range headers {
		// A * doesn't include Authorization.
		if !lists(a.header, "Access-Control-Allow-Headers", name) && (name == "authorization" || !lists(a.header, "Access-Control-Allow-Headers", "*")) {
			refused("the preflight doesn't allow the header "+name, "add it to Access-Control-Allow-Headers")
			return
		}
	}
	w.ok(step, code+"_answered", "%d, without a token", a.status)
}

// readable judges whether web pages can read a document.
func (w *walker) readable(step, code string, header http.Header) {
	if !allowsOrigin(header) {
		w.warn(step, code+"_unreadable", "no Access-Control-Allow-Origin"+forBrowsers, "send Access-Control-Allow-Origin: *")
		return
	}
	w.ok(step, code+"_readable", "web pages can read it")
}

func allowsOrigin(header http.Header) bool {
	values := header.Values("Access-Control-Allow-Origin")
	return len(values) == 1 && (values[0] == "*" || values[0] == origin)
}

// lists reports whether the comma-separated header name has the element value.
func lists(header http.Header, name, value string) bool {
	return slices.ContainsFunc(strings.Split(strings.Join(header.Values(name), ","), ","), func(elem string) bool {
		return strings.EqualFold(strings.TrimSpace(elem), value)
	})
}
