package streams

import (
	"context"
	"io"
	"mime"
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

// grace is how long an event may take to complete in a stream that must end. It
// bounds how long a client that stops reading keeps the stream open.
const grace = 5 * time.Second

// kind is the kind of the response to a request for a stream.
type kind int

const (
	unknown kind = iota
	// eventStream ends between two events.
	eventStream
	// encoded is a compressed event stream, in which we can't see where events
	// end. Clients ignore an incomplete event at the end.
	encoded
	// tunnel is an upgraded connection, such as a WebSocket.
	tunnel
	// ordinary is a response that ends without us.
	ordinary
)

// stream is a request for a stream, and its [http.ResponseWriter]. It ends
// without an error, as if the server had nothing more to say. That makes the
// client connect again, and learn why it can't. A subscriptions/listen ends with its
// result.
type stream struct {
	*caddyhttp.ResponseWriterWrapper
	method       string
	cancel       context.CancelCauseFunc
	subscription *subscription // nil for other streams

	mu      sync.Mutex
	kind    kind
	events  events
	writing bool
	ending  error // why it must end; nil if it need not
	over    bool  // no more bytes pass
	cut     bool  // an event is incomplete
	timer   *time.Timer
}

// Serve calls next to answer r. If the response is a stream that would end only when
// a side hangs up, Serve ends it when the configuration stops, or when watch calls
// the function that it was given, with the reason. Serve doesn't end an ordinary
// response. m is the message in r's body, nil if that hasn't been read. watch may be
// nil; Serve calls the function that it returns when the request is over.
func (c *Closer) Serve(w http.ResponseWriter, r *http.Request, m *mcp.Message, watch func(end func(error)) (stop func()), next caddyhttp.Handler) error {
	if !IsStream(r) {
		return next.ServeHTTP(w, r)
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	r = r.WithContext(ctx) // a copy, which may get another body
	s := &stream{
		ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w},
		method:                r.Method,
		cancel:                cancel,
		subscription:          newSubscription(r, m),
	}
	unhook := context.AfterFunc(c.running, func() { s.end(errStopping) })
	defer unhook()
	if watch != nil {
		defer watch(s.end)()
	}
	return s.serve(next, r)
}

// serve calls next. Errors of next after we have ended the stream are our own
// doing.
func (s *stream) serve(next caddyhttp.Handler, r *http.Request) (err error) {
	defer func() {
		p := recover()
		ended := s.close()
		switch {
		case p != nil && (p != http.ErrAbortHandler || !ended):
			panic(p)
		case s.cut:
			panic(http.ErrAbortHandler)
		case ended:
			s.conclude()
			err = nil
		}
	}()
	return next.ServeHTTP(s, r)
}

// conclude writes the result of a subscriptions/listen that we have ended. The handler
// has returned, so nothing else writes.
func (s *stream) conclude() {
	if s.kind != eventStream || s.subscription == nil {
		return
	}
	result := s.subscription.result()
	if result == nil {
		return
	}
	// Don't wait for a client that has stopped reading.
	_ = http.NewResponseController(s.ResponseWriter).SetWriteDeadline(time.Now().Add(grace))
	_, _ = s.ResponseWriterWrapper.Write(result)
}

// close marks the handler as finished, and reports whether we have ended the
// stream.
func (s *stream) close() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
	ended := s.over
	s.over = true
	return ended
}

// end ends the stream because of cause, now or after the current event.
func (s *stream) end(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	if s.ending == nil || cause == errStopping { // which also ends an ordinary response
		s.ending = cause
	}
	s.tryEnd()
}

// tryEnd ends the stream if it may end here. The caller holds the lock.
func (s *stream) tryEnd() {
	if s.over || s.ending == nil {
		return
	}
	switch s.kind {
	case unknown, ordinary:
		if s.ending == errStopping {
			s.cancel(s.ending)
		}
		return
	case eventStream:
		if s.writing || !s.events.between() {
			if s.timer == nil {
				s.timer = time.AfterFunc(grace, s.giveUp)
			}
			return
		}
	}
	s.over = true
	s.cancel(s.ending)
}

// giveUp ends the stream in the middle of an event that doesn't complete.
func (s *stream) giveUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.over, s.cut = true, true
	s.cancel(s.ending)
	// A write that waits for the client would block the handler.
	_ = http.NewResponseController(s.ResponseWriter).SetWriteDeadline(time.Now())
}

// WriteHeader implements [http.ResponseWriter].
func (s *stream) WriteHeader(status int) {
	s.mu.Lock()
	if s.kind == unknown && (status >= 200 || status == http.StatusSwitchingProtocols) {
		s.kind = s.kindOf(status)
	}
	s.mu.Unlock()
	s.ResponseWriterWrapper.WriteHeader(status)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tryEnd()
}

func (s *stream) kindOf(status int) kind {
	header := s.Header()
	mediaType, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	encoding := header.Get("Content-Encoding")
	switch {
	case status == http.StatusSwitchingProtocols, s.method == http.MethodConnect && status < 300:
		return tunnel
	case mediaType != "text/event-stream":
		return ordinary
	case encoding != "" && encoding != "identity":
		return encoded
	}
	return eventStream
}

// Write implements [io.Writer].
func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	if s.kind == unknown {
		s.mu.Unlock()
		s.WriteHeader(http.StatusOK)
		s.mu.Lock()
	}
	if s.kind != eventStream {
		s.mu.Unlock()
		return s.ResponseWriterWrapper.Write(p)
	}
	if s.over {
		defer s.mu.Unlock()
		return 0, s.ending
	}
	n := len(p)
	if s.ending != nil {
		n = s.events.rest(p)
	}
	s.writing = true
	s.mu.Unlock()
	written, err := s.ResponseWriterWrapper.Write(p[:n])
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = false
	s.pass(p[:written])
	s.tryEnd()
	if err == nil && written < len(p) {
		err = s.ending
	}
	return written, err
}

// pass follows what has passed. The caller holds the lock.
func (s *stream) pass(p []byte) {
	if s.subscription == nil {
		s.events.pass(p)
		return
	}
	for _, b := range p {
		s.events.next(b)
		s.subscription.messages.pass(b, s.events.between())
	}
}

// ReadFrom implements [io.ReaderFrom]. What is read also goes through Write.
func (s *stream) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{s}, r)
}

// FlushError is called by [http.ResponseController].
func (s *stream) FlushError() error {
	s.mu.Lock()
	first := s.kind == unknown
	s.mu.Unlock()
	if first {
		s.WriteHeader(http.StatusOK)
	}
	return http.NewResponseController(s.ResponseWriter).Flush()
}

// Flush implements [http.Flusher].
func (s *stream) Flush() { _ = s.FlushError() }

// Interface guards
var (
	_ http.ResponseWriter = (*stream)(nil)
	_ http.Flusher        = (*stream)(nil)
	_ io.ReaderFrom       = (*stream)(nil)
)
