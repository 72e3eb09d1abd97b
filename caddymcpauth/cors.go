package caddymcpauth

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/unread"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// requestHeaders are the request headers that MCP clients in browsers send,
// over all revisions of the protocol.
var requestHeaders = []string{
	"authorization", "content-type", "accept", "last-event-id",
	"mcp-protocol-version", "mcp-session-id", "mcp-method", "mcp-name", "dpop",
}

// exposedHeaders are the response headers that they must be able to read.
const exposedHeaders = "WWW-Authenticate, Mcp-Session-Id, Mcp-Protocol-Version, Retry-After, DPoP-Nonce"

// maxRequestedHeaders bounds, in bytes, what a preflight may ask for.
const maxRequestedHeaders = 4 << 10

// checkOrigin reports whether the origin of r is acceptable: r comes from no web
// page, or from a page of an allowed origin. MCP servers must check (MCP,
// transports, security): otherwise any page that the user visits could reach a
// server on the user's own machine.
func (h *Handler) checkOrigin(r *http.Request) (origin string, allowed bool) {
	switch values := r.Header["Origin"]; len(values) {
	case 0:
		return "", true
	case 1:
		origin = values[0]
	default:
		return "", false
	}
	u, err := parseOrigin(origin)
	if err != nil {
		return "", false // "null" too: sandboxed pages and data URLs
	}
	return origin, web.IsLoopback(u.Hostname()) || slices.Contains(h.allowedOrigins, web.Origin(u))
}

// parseOrigin reads the value of an Origin header: scheme, host and port, and
// nothing else.
func parseOrigin(origin string) (*url.URL, error) {
	u, err := url.Parse(origin)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || !strings.EqualFold(origin, u.Scheme+"://"+u.Host) {
		return nil, errors.New("not an origin")
	}
	return u, nil
}

// isPreflight reports whether r is a CORS preflight, which browsers send without
// credentials before the request that has them (Fetch standard).
func isPreflight(r *http.Request, origin string) bool {
	return origin != "" && r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}

// servePreflight lets an allowed origin send what MCP needs. Its caller has
// checked the origin, so the headers that the page asks for are allowed too.
func (h *Handler) servePreflight(w http.ResponseWriter, r *http.Request, origin string) error {
	unread.Answer(w, r)
	decisions.WithLabelValues(h.Resource, "preflight").Inc()
	allowed := slices.Clone(requestHeaders)
	if asked := r.Header.Get("Access-Control-Request-Headers"); len(asked) <= maxRequestedHeaders {
		for name := range strings.SplitSeq(asked, ",") {
			name = strings.ToLower(strings.TrimSpace(name))
			if httpguts.ValidHeaderFieldName(name) && !slices.Contains(allowed, name) {
				allowed = append(allowed, name)
			}
		}
	}
	header := w.Header()
	setCORS(header, origin)
	header.Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
	header.Set("Access-Control-Allow-Headers", strings.Join(allowed, ", "))
	header.Set("Access-Control-Max-Age", "7200")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// setCORS lets pages of origin read the answer.
func setCORS(header http.Header, origin string) {
	header.Set("Access-Control-Allow-Origin", origin)
	header.Set("Access-Control-Expose-Headers", exposedHeaders)
	header.Del("Access-Control-Allow-Credentials")
	if !slices.Contains(header["Vary"], "Origin") {
		header.Add("Vary", "Origin")
	}
}

// corsWriter sets the CORS headers of a response, whichever handler writes it. The server
// behind may set its own, which reverse_proxy adds to ours; a browser rejects two values,
// so ours replace them at the last moment.
type corsWriter struct {
	*caddyhttp.ResponseWriterWrapper
	origin string
	wrote  bool
}

func newCORSWriter(w http.ResponseWriter, origin string) *corsWriter {
	setCORS(w.Header(), origin)
	return &corsWriter{
		ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w},
		origin:                origin,
	}
}

func (w *corsWriter) commit() {
	if !w.wrote {
		w.wrote = true
		setCORS(w.Header(), w.origin)
	}
}

// WriteHeader implements [http.ResponseWriter].
func (w *corsWriter) WriteHeader(status int) {
	if status < 100 || status > 199 {
		w.commit()
	}
	w.ResponseWriterWrapper.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (w *corsWriter) Write(p []byte) (int, error) {
	w.commit()
	return w.ResponseWriterWrapper.Write(p)
}

// ReadFrom implements [io.ReaderFrom].
func (w *corsWriter) ReadFrom(r io.Reader) (int64, error) {
	w.commit()
	return w.ResponseWriterWrapper.ReadFrom(r)
}

// FlushError is what [http.ResponseController] calls.
func (w *corsWriter) FlushError() error {
	w.commit()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Interface guards
var (
	_ http.ResponseWriter = (*corsWriter)(nil)
	_ io.ReaderFrom       = (*corsWriter)(nil)
)
