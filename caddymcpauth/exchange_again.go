package caddymcpauth

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// exchanged returns next, which gets the token for the server behind. If that answers
// 401, the token is exchanged once more, and the request is sent again: the server may
// have forgotten the token before it expired. That needs a body that was read, or none.
func (h *Handler) exchanged(d decision, sender *token.Reader, text string, next caddyhttp.Handler) caddyhttp.Handler {
	if h.Exchange == nil {
		return next
	}
	return caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		setAuthorization(r, text)
		before := asItIs(r)
		if before == nil {
			return next.ServeHTTP(w, r)
		}
		first := &firstTry{ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, before: w.Header().Clone()}
		if err := first.serve(next, r); err != nil || !first.refused {
			return err
		}
		renewed, err := h.Exchange.exchanger.Again(r.Context(), d.raw, h.client(r), text, sender)
		if ref := h.refuseExchange(d, err); ref != nil {
			return h.refuse(w, r, ref)
		}
		if err := before.putBack(r); err != nil {
			return err
		}
		// The same once more, if there is no better one: then the answer stands.
		setAuthorization(r, renewed)
		return next.ServeHTTP(w, r)
	})
}

// routeGroups is where Caddy keeps which groups of routes, such as handle blocks side by
// side, have taken a request: no second one of a group does.
const routeGroups = caddy.CtxKey("route_group")

// sent is a request before later handlers changed it.
type sent struct {
	method, uri, host string
	url               url.URL
	header            http.Header
	body              func() (io.ReadCloser, error) // nil without one
	length            int64
	groups            map[string]struct{}
}

// asItIs returns what is needed to send r again; nil if its body can't be.
func asItIs(r *http.Request) *sent {
	if r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0 && r.GetBody == nil {
		return nil
	}
	groups, _ := r.Context().Value(routeGroups).(map[string]struct{})
	return &sent{r.Method, r.RequestURI, r.Host, *r.URL, r.Header.Clone(), r.GetBody, r.ContentLength, maps.Clone(groups)}
}

// putBack makes r what it was. It is the same request, not a copy: Caddy's placeholders
// are about that one.
func (s *sent) putBack(r *http.Request) error {
	var body io.ReadCloser = http.NoBody
	if s.body != nil {
		var err error
		if body, err = s.body(); err != nil {
			return err
		}
	}
	r.Method, r.RequestURI, r.Host = s.method, s.uri, s.host
	*r.URL = s.url
	clear(r.Header)
	maps.Copy(r.Header, s.header)
	r.Body, r.GetBody, r.ContentLength = body, s.body, s.length
	if groups, ok := r.Context().Value(routeGroups).(map[string]struct{}); ok {
		clear(groups)
		maps.Copy(groups, s.groups)
	}
	return nil
}

// firstTry passes an answer on, unless it is 401.
type firstTry struct {
	*caddyhttp.ResponseWriterWrapper
	before    http.Header
	decided   bool
	refused   bool
	discarded int
	trailers  http.Header // of the answer that isn't passed on
}

// maxDiscarded is how much of an answer that isn't passed on is read, so that its
// connection can be used again.
const maxDiscarded = 64 << 10

var errRefused = errors.New("the answer to the first try is not passed on")

// serve calls next, which gives up in a panic when it can't write an answer, as
// reverse_proxy does.
func (w *firstTry) serve(next caddyhttp.Handler, r *http.Request) error {
	defer func() {
		if p := recover(); p != nil && (p != http.ErrAbortHandler || !w.refused) {
			panic(p)
		}
	}()
	if err := next.ServeHTTP(w, r); !w.refused {
		return err
	}
	return nil
}

// Header implements [http.ResponseWriter].
func (w *firstTry) Header() http.Header {
	if w.refused {
		return w.trailers
	}
	return w.ResponseWriterWrapper.Header()
}

// WriteHeader implements [http.ResponseWriter].
func (w *firstTry) WriteHeader(status int) {
	switch {
	case w.refused:
	case !w.decided && status == http.StatusUnauthorized:
		clear(w.Header())
		maps.Copy(w.Header(), w.before)
		w.decided, w.refused, w.trailers = true, true, make(http.Header)
	default:
		w.decided = w.decided || status >= 200 || status == http.StatusSwitchingProtocols
		w.ResponseWriterWrapper.WriteHeader(status)
	}
}

// Write implements [io.Writer].
func (w *firstTry) Write(p []byte) (int, error) {
	if w.refused {
		if w.discarded += len(p); w.discarded > maxDiscarded {
			return 0, errRefused
		}
		return len(p), nil
	}
	w.decided = true
	return w.ResponseWriterWrapper.Write(p)
}

// ReadFrom implements [io.ReaderFrom].
func (w *firstTry) ReadFrom(r io.Reader) (int64, error) {
	if w.refused {
		return io.Copy(struct{ io.Writer }{w}, r)
	}
	w.decided = true
	return w.ResponseWriterWrapper.ReadFrom(r)
}

// FlushError is what [http.ResponseController] calls.
func (w *firstTry) FlushError() error {
	if w.refused {
		return nil
	}
	w.decided = true
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Interface guards
var (
	_ http.ResponseWriter = (*firstTry)(nil)
	_ io.ReaderFrom       = (*firstTry)(nil)
)
