package streams

import (
	"context"
	"io"
	"mime"
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// grace is how long a stream that is to end may take to complete an event. A
// client that stops reading keeps no stream open for longer.
const grace = 5 * time.Second

// kind is what the answer to a request for a stream turned out to be.
type kind int

const (
	unknown kind = iota
	// eventStream ends between two events.
	eventStream
	// encoded is an event stream of which we can't see where events end; clients
	// ignore one that is incomplete at the end.
	encoded
	// tunnel is a connection that has been upgraded, a WebSocket's.
	tunnel
	// ordinary is an answer that ends by itself.
	ordinary
)

// stream is a request for a stream, and its [http.ResponseWriter]. It ends without
// an error, as if the server had nothing more to say: to a client that is the sign
// to connect again, and to be told why it can't.
type stream struct {
	*caddyhttp.ResponseWriterWrapper
	method string
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	kind    kind
	events  events
	writing bool
	ending  error // why it is to end; nil if it isn't
	over    bool  // nothing more goes through
	cut     bool  // an event is incomplete
	timer   *time.Timer
}

// Serve has next answer r. If that turns out to be a stream that ends only when a
// side hangs up, it ends when the configuration stops, and when the function that
// watch is given is called, which says why. An answer that ends by itself is not
// ended by that. watch may be nil; what it returns ends the watching.
func (c *Closer) Serve(w http.ResponseWriter, r *http.Request, watch func(end func(error)) (stop func()), next caddyhttp.Handler) error {
	if !IsStream(r) {
		return next.ServeHTTP(w, r)
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	s := &stream{ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, method: r.Method, cancel: cancel}
	unhook := context.AfterFunc(c.running, func() { s.end(errStopping) })
	defer unhook()
	if watch != nil {
		defer watch(s.end)()
	}
	return s.serve(next, r.WithContext(ctx))
}

// serve calls next, whose complaints about the end are of our making.
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
			err = nil
		}
	}()
	return next.ServeHTTP(s, r)
}

// close says that the handler is done, and reports whether we have ended it.
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

// end ends the stream because of cause: now, or after the event that is under way.
func (s *stream) end(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	if s.ending == nil || cause == errStopping { // which an ordinary answer has to hear of
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

// giveUp ends the stream within an event that doesn't come to its end.
func (s *stream) giveUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.over, s.cut = true, true
	s.cancel(s.ending)
	// A write that waits for the client would keep the handler.
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
	s.events.pass(p[:written])
	s.tryEnd()
	if err == nil && written < len(p) {
		err = s.ending
	}
	return written, err
}

// ReadFrom implements [io.ReaderFrom]: what is read goes through Write, too.
func (s *stream) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{s}, r)
}

// FlushError implements what [http.ResponseController] looks for.
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
