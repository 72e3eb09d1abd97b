package whoami

import (
	"io"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// responseWriter removes the Connection field from the response header. The SDK
// sets it on event streams, but in HTTP/2 and HTTP/3 it makes a response
// malformed (RFC 9113, section 8.2.2; RFC 9114, section 4.2), and Chromium then
// gives up the whole connection. In HTTP/1.1, net/http sets it as needed.
type responseWriter struct {
	*caddyhttp.ResponseWriterWrapper
}

func (w *responseWriter) WriteHeader(status int) {
	w.Header().Del("Connection")
	w.ResponseWriter.WriteHeader(status)
}

func (w *responseWriter) Write(p []byte) (int, error) {
	w.Header().Del("Connection")
	return w.ResponseWriter.Write(p)
}

func (w *responseWriter) ReadFrom(r io.Reader) (int64, error) {
	w.Header().Del("Connection")
	return w.ResponseWriterWrapper.ReadFrom(r)
}

// FlushError flushes the response. It sends the header if that hasn't been sent.
func (w *responseWriter) FlushError() error {
	w.Header().Del("Connection")
	//nolint:bodyclose
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Interface guards
var (
	_ http.ResponseWriter             = (*responseWriter)(nil)
	_ io.ReaderFrom                   = (*responseWriter)(nil)
	_ interface{ FlushError() error } = (*responseWriter)(nil)
)
