// Package unread answers requests whose body has not been read.
//
// Over HTTP/1.1, net/http first reads the rest of the body, up to 256 KiB,
// because some clients don't look at a response while they send. It makes
// exceptions, but not when the body is wrapped, as Caddy does. Then a client that
// sends slowly waits for its refusal, and one that waits for 100 Continue waits
// forever. This package sends the response immediately and closes the connection,
// because the rest of the body must not be taken for the next request.
package unread

import (
	"io"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Answer prepares w for a response to r before the body of r was read.
func Answer(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 1 || r.ContentLength == 0 {
		return
	}
	// If the writer doesn't support it, nothing waits either.
	_ = http.NewResponseController(w).EnableFullDuplex()
	w.Header().Set("Connection", "close")
}

// Track returns a writer that does what [Answer] does, if the body has not been
// read to its end when the response begins. It is for handlers that read some
// bodies and refuse others.
func Track(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	if r.ProtoMajor != 1 || r.ContentLength == 0 {
		return w
	}
	body := &tracked{ReadCloser: r.Body, left: r.ContentLength}
	r.Body = body
	return &writer{&caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, r, body, false}
}

// tracked is a body that counts how much is left.
type tracked struct {
	io.ReadCloser
	left int64 // negative if not known
	end  bool
}

func (b *tracked) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left >= 0 {
		b.left -= int64(n)
	}
	b.end = b.end || err == io.EOF || b.left == 0
	return n, err
}

// writer answers a request with a tracked body.
type writer struct {
	*caddyhttp.ResponseWriterWrapper
	request  *http.Request
	body     *tracked
	answered bool
}

// WriteHeader implements [http.ResponseWriter].
func (w *writer) WriteHeader(status int) {
	if !w.answered && status >= 200 {
		w.answered = true
		if !w.body.end {
			Answer(w.ResponseWriter, w.request)
		}
	}
	w.ResponseWriterWrapper.WriteHeader(status)
}

// Write implements [io.Writer].
func (w *writer) Write(p []byte) (int, error) {
	if !w.answered {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriterWrapper.Write(p)
}

// ReadFrom implements [io.ReaderFrom].
func (w *writer) ReadFrom(r io.Reader) (int64, error) {
	if !w.answered {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriterWrapper.ReadFrom(r)
}

// Interface guards
var (
	_ http.ResponseWriter = (*writer)(nil)
	_ io.ReaderFrom       = (*writer)(nil)
)
