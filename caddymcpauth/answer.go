package caddymcpauth

import (
	"bufio"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/buffer"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

// filterLists calls next with a writer that takes out of answers what lists doesn't
// keep. m is the message that is answered, nil for a GET.
func (h *Handler) filterLists(w http.ResponseWriter, r *http.Request, m *mcp.Message, lists *mcp.Lists,
	next func(http.ResponseWriter, *http.Request) error,
) error {
	if r.Method == http.MethodDelete {
		return next(w, r)
	}
	// What can't be read can't be filtered, and no part or older copy of a list is
	// this caller's.
	r.Header.Set("Accept-Encoding", "identity")
	for _, name := range []string{"Range", "If-Range", "If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since"} {
		r.Header.Del(name)
	}
	lists.Max, lists.Private = int(h.MaxBody), needsCacheScope(r.Header.Get("Mcp-Protocol-Version"))
	lw := &listWriter{
		ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w},
		lists:                 lists,
		method:                r.Method,
	}
	defer func() { buffer.Keep(lw.body) }()
	if err := lw.serve(next, r); err != nil {
		return err
	}
	err := lw.finish()
	refused, ok := errors.AsType[*mcp.Error](err)
	if !ok {
		return nil // the client is gone, or all is well
	}
	h.logger.Warn("the server's answer to a list could not be checked", zap.String("resource", h.Resource), zap.String("rule", string(refused.Rule)))
	if lw.kind == streamed {
		return nil // the stream ends here
	}
	ref := &refusal{status: refused.Status, reason: "answer", rpc: refused.Code, sentence: "The server's answer could not be checked.", bodyRead: true}
	if m != nil {
		ref.id = m.ID
	}
	withoutContent(w.Header())
	return h.refuse(w, r, ref)
}

// serve calls next, which gives up in a panic when it can't write an answer, as
// reverse_proxy does.
func (w *listWriter) serve(next func(http.ResponseWriter, *http.Request) error, r *http.Request) error {
	defer func() {
		p := recover()
		if _, ours := errors.AsType[*mcp.Error](w.err); p != nil && (p != http.ErrAbortHandler || !ours) {
			panic(p)
		}
	}()
	return next(w, r)
}

// needsCacheScope reports whether lists say for whom they may be kept: since
// 2026-07-28 they do.
func needsCacheScope(version string) bool {
	return len(version) == len("2026-07-28") && version >= "2026-07-28"
}

// answerKind says what is done with an answer.
type answerKind int

const (
	undecided answerKind = iota
	passed               // as it is
	streamed             // events, one by one
	list                 // JSON, kept until it is complete
	other                // not 200, kept until it is complete
)

// listWriter filters an answer.
type listWriter struct {
	*caddyhttp.ResponseWriterWrapper
	lists  *mcp.Lists
	method string

	kind   answerKind
	status int
	body   []byte // from buffer
	events *mcp.Events
	// err is why there is no more to write.
	err error
}

// WriteHeader implements [http.ResponseWriter].
func (w *listWriter) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		w.ResponseWriterWrapper.WriteHeader(status)
		return
	}
	if w.kind != undecided {
		return
	}
	w.status = status
	w.kind = w.kindOf(status)
	switch w.kind {
	case streamed:
		w.events = w.lists.Events(w.ResponseWriter)
		withoutValidators(w.Header())
		w.ResponseWriterWrapper.WriteHeader(status)
	case passed:
		if w.method == http.MethodHead {
			withoutValidators(w.Header())
		}
		w.ResponseWriterWrapper.WriteHeader(status)
	}
}

// kindOf decides by the status and the headers. Errors of it are in w.err.
func (w *listWriter) kindOf(status int) answerKind {
	if w.method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified {
		return passed
	}
	header := w.Header()
	encoded := false
	for _, encoding := range header["Content-Encoding"] {
		encoded = encoded || encoding != "" && !strings.EqualFold(encoding, "identity")
	}
	mediaType := ""
	if types := header["Content-Type"]; len(types) > 0 {
		mediaType, _, _ = mime.ParseMediaType(types[0])
	}
	switch {
	case encoded || len(header["Content-Type"]) > 1:
		// If it isn't 200, the status says enough.
		w.err = &mcp.Error{Status: http.StatusBadGateway, Code: mcp.CodeInternal, Rule: mcp.Encoding}
		if status == http.StatusOK {
			return list
		}
		return other
	case mediaType == "text/event-stream":
		return streamed
	case status != http.StatusOK:
		return other
	case w.method == http.MethodGet && mediaType != "" && mediaType != "application/json":
		return passed // a page, for a person who looks
	}
	return list
}

// Write implements [io.Writer].
func (w *listWriter) Write(p []byte) (int, error) {
	if w.kind == undecided {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case w.kind == passed:
		return w.ResponseWriterWrapper.Write(p)
	case w.err != nil:
		return 0, w.err
	case w.kind == streamed:
		var n int
		n, w.err = w.events.Write(p)
		return n, w.err
	}
	if len(w.body)+len(p) > w.lists.Max {
		w.err = &mcp.Error{Status: http.StatusBadGateway, Code: mcp.CodeInternal, Rule: mcp.Size}
		return 0, w.err
	}
	for len(w.body)+len(p) > cap(w.body) {
		w.body = buffer.Grown(w.body, w.lists.Max)
	}
	w.body = append(w.body, p...)
	return len(p), nil
}

// ReadFrom implements [io.ReaderFrom]: what is read goes through Write, too.
func (w *listWriter) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{w}, r)
}

// FlushError is what [http.ResponseController] calls. What is kept isn't written
// earlier for it.
func (w *listWriter) FlushError() error {
	if w.kind == undecided {
		w.WriteHeader(http.StatusOK)
	}
	if w.kind == list || w.kind == other {
		return nil
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack is what [http.ResponseController] calls. Nobody gets the connection, on
// which nothing is filtered.
func (w *listWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, http.ErrNotSupported
}

// finish writes what was kept.
func (w *listWriter) finish() error {
	switch w.kind {
	case streamed:
		if w.err != nil {
			return w.err
		}
		return w.events.Close()
	case list:
		if w.err != nil {
			return w.err
		}
		// A GET may be answered with a text for a person who looks.
		if kept := w.body; len(kept) == 0 || w.method == http.MethodGet && mcp.IsRefusal(kept) {
			return w.write(kept)
		}
		body, err := w.lists.Filter(w.body)
		if err != nil {
			return err
		}
		return w.write(body)
	case other:
		if w.err != nil || !mcp.IsRefusal(w.body) {
			withoutContent(w.Header())
			return w.write(nil)
		}
		return w.write(w.body)
	}
	return nil
}

func (w *listWriter) write(body []byte) error {
	withoutValidators(w.Header())
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.ResponseWriterWrapper.WriteHeader(w.status)
	_, err := w.ResponseWriterWrapper.Write(body)
	return err
}

// withoutValidators deletes what was true of the answer before it was filtered.
func withoutValidators(header http.Header) {
	for _, name := range []string{"Content-Length", "Etag", "Last-Modified", "Accept-Ranges", "Content-Range", "Content-Md5", "Digest", "Content-Digest", "Repr-Digest", "Trailer"} {
		header.Del(name)
	}
}

// withoutContent deletes what is about a body that isn't sent.
func withoutContent(header http.Header) {
	withoutValidators(header)
	for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Disposition", "Content-Location"} {
		header.Del(name)
	}
}

// Interface guards
var (
	_ http.ResponseWriter = (*listWriter)(nil)
	_ io.ReaderFrom       = (*listWriter)(nil)
	_ http.Hijacker       = (*listWriter)(nil)
)
