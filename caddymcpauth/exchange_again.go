package caddymcpauth

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"

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
		r.Header["Authorization"] = []string{"Bearer " + text}
		again := copyOf(r)
		if again == nil {
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
		// The same once more, if there is no better one: then the answer stands.
		again.Header["Authorization"] = []string{"Bearer " + renewed}
		body, err := bodyAgain(r)
		if err != nil {
			return err
		}
		again.Body = body
		return next.ServeHTTP(w, again)
	})
}

// copyOf returns r as it is before later handlers change it, without its body; nil if
// that can't be sent again.
func copyOf(r *http.Request) *http.Request {
	if r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0 && r.GetBody == nil {
		return nil
	}
	again := r.WithContext(r.Context())
	again.Header = r.Header.Clone()
	again.URL = new(url.URL)
	*again.URL = *r.URL
	return again
}

func bodyAgain(r *http.Request) (io.ReadCloser, error) {
	if r.GetBody == nil {
		return http.NoBody, nil
	}
	return r.GetBody()
}

// firstTry passes an answer on, unless it is 401.
type firstTry struct {
	*caddyhttp.ResponseWriterWrapper
	before    http.Header
	decided   bool
	refused   bool
	discarded int
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

// WriteHeader implements [http.ResponseWriter].
func (w *firstTry) WriteHeader(status int) {
	switch {
	case w.refused:
	case !w.decided && status == http.StatusUnauthorized:
		w.decided, w.refused = true, true
		clear(w.Header())
		maps.Copy(w.Header(), w.before)
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
