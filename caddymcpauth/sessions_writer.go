package caddymcpauth

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/session"
)

const (
	sessionHeader = "Mcp-Session-Id"
	eventStream   = "text/event-stream"
)

// sessionWriter is the handler of one request, and the writer of its answer, in which it
// tags the handles of sessions. It is one value, because every request needs it.
type sessionWriter struct {
	caddyhttp.ResponseWriterWrapper
	door    *Handler
	binding session.Binding
	message *mcp.Message // nil if it hasn't been read
	next    caddyhttp.Handler

	ctx context.Context // of the request
	// tagsEvents is false for revisions whose streams can't be resumed.
	tagsEvents bool

	begun  bool // the client has got a status
	events *mcp.Events
	// err is why there is no more to write.
	err error
}

// ServeHTTP implements [caddyhttp.Handler].
func (w *sessionWriter) ServeHTTP(rw http.ResponseWriter, r *http.Request) error {
	w.ResponseWriter, w.ctx = rw, r.Context()
	// Since 2026-07-28 there are no sessions, and streams can't be resumed.
	w.tagsEvents = !needsCacheScope(r.Header.Get("Mcp-Protocol-Version"))
	if w.binding.TookOver {
		countSession(w.door.Resource, "taken_over")
	}
	// Trailers arrive after the body, too late to be checked. MCP doesn't use them.
	r.Trailer = nil
	r.URL.RawQuery = w.binding.Set(r.Header, r.URL.RawQuery)
	if (w.binding.HasSession() || r.Method == http.MethodGet) && acceptsEvents(r) {
		// Ids in compressed events can't be tagged, and then nobody could resume.
		r.Header.Set("Accept-Encoding", "identity")
	}
	refuse, err := w.serve(r)
	if !refuse {
		return err
	}
	withoutContent(rw.Header())
	rw.Header().Del(sessionHeader)
	rw.Header().Del("Set-Cookie")
	ref := refuseSession(w.err)
	ref.bodyRead = true // or the server behind would not have answered
	if w.message != nil {
		ref.id = w.message.ID
	}
	return w.door.refuse(rw, r, ref)
}

// acceptsEvents reports whether the answer to r may be a stream of events.
func acceptsEvents(r *http.Request) bool {
	for _, accept := range r.Header["Accept"] {
		if strings.Contains(accept, eventStream) {
			return true
		}
	}
	return false
}

// errUnbound is what the server behind gets when its answer can't be passed on.
var errUnbound = errors.New("the session can't be bound to its user")

// serve calls next, which gives up in a panic when it can't write an answer, as
// reverse_proxy does. It reports whether the client is to get another answer.
func (w *sessionWriter) serve(r *http.Request) (refuse bool, err error) {
	defer func() {
		if isUnavailable(w.err) {
			w.door.logger.Error("a session can't be bound to its user, so the server's answer was not passed on", zap.String("resource", w.door.Resource), zap.Error(w.err))
		}
		if p := recover(); p != nil && (p != http.ErrAbortHandler || !w.refused()) {
			panic(p)
		}
		if refuse = w.refused(); refuse {
			err = nil
		}
	}()
	err = w.next.ServeHTTP(w, r)
	switch {
	case w.begun && isUnavailable(w.err):
		panic(http.ErrAbortHandler) // the client must not take the stream for complete
	case err == nil && w.events != nil && w.err == nil:
		_ = w.events.Close() // the client may be gone
	}
	return false, err
}

// refused reports whether the answer can't be handed out, and nothing of it was.
func (w *sessionWriter) refused() bool { return w.err != nil && !w.begun }

func isUnavailable(err error) bool {
	_, ok := errors.AsType[*session.UnavailableError](err)
	return ok
}

// WriteHeader implements [http.ResponseWriter].
func (w *sessionWriter) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		w.ResponseWriterWrapper.WriteHeader(status)
		return
	}
	if w.begun || w.err != nil {
		return
	}
	header := w.Header()
	if w.err = w.tag(header[sessionHeader]); w.err != nil {
		return
	}
	if w.tagsEvents && isPlainEventStream(header) {
		header.Del("Content-Length")
		w.events = w.binding.Events(w.ctx, w.ResponseWriter)
	}
	w.begun = true
	w.ResponseWriterWrapper.WriteHeader(status)
}

// tag tags the session ids in the answer's header.
func (w *sessionWriter) tag(ids []string) error {
	for i, id := range ids {
		if id == "" {
			continue
		}
		tagged, begins, err := w.binding.Session(w.ctx, id)
		if err != nil {
			return err
		}
		ids[i] = tagged
		switch {
		case begins && w.binding.Anonymous():
			countSession(w.door.Resource, "begun_anonymous")
		case begins:
			countSession(w.door.Resource, "begun")
		}
	}
	return nil
}

// isPlainEventStream reports whether an answer is a stream of events that can be read.
func isPlainEventStream(header http.Header) bool {
	types := header["Content-Type"]
	if len(types) == 0 || len(types[0]) < len(eventStream) {
		return false
	}
	mediaType, _, _ := mime.ParseMediaType(types[0])
	encoding := header.Get("Content-Encoding")
	return mediaType == eventStream && (encoding == "" || strings.EqualFold(encoding, "identity"))
}

// Write implements [io.Writer].
func (w *sessionWriter) Write(p []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case w.err != nil:
		return 0, errUnbound
	case w.events == nil:
		return w.ResponseWriterWrapper.Write(p)
	}
	n, err := w.events.Write(p)
	w.err = err
	return n, err
}

// ReadFrom implements [io.ReaderFrom].
func (w *sessionWriter) ReadFrom(r io.Reader) (int64, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	if w.err == nil && w.events == nil {
		return w.ResponseWriterWrapper.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{w}, r)
}

// FlushError is what [http.ResponseController] calls.
func (w *sessionWriter) FlushError() error {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	if w.err != nil {
		return errUnbound
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Interface guards
var (
	_ caddyhttp.Handler   = (*sessionWriter)(nil)
	_ http.ResponseWriter = (*sessionWriter)(nil)
	_ io.ReaderFrom       = (*sessionWriter)(nil)
)
