package caddymcpauth

import (
	"bufio"
	"errors"
	"io"
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
	r.Header["Accept-Encoding"] = []string{"identity"}
	for _, name := range conditions {
		delete(r.Header, name)
	}
	lists.Max, lists.Private = int(h.MaxBody), needsCacheScope(r.Header.Get("Mcp-Protocol-Version"))
	lw := &listWriter{
		ResponseWriterWrapper: caddyhttp.ResponseWriterWrapper{ResponseWriter: w},
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
	h.logger.Warn("the server's answer could not be checked for lists", zap.String("resource", h.Resource), zap.String("rule", string(refused.Rule)))
	if lw.kind == streamed || lw.kind == passing {
		return nil // the answer ends here
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

// answerKind says what is done with an answer.
type answerKind int

const (
	undecided answerKind = iota
	passed               // as it is
	streamed             // events, one by one
	list                 // JSON, kept until it is complete
	other                // not 200, kept until it is complete
	called               // to another request than for a list, kept until it is complete or too large
	passing              // to another request, larger than may be kept
)

// listWriter filters an answer.
type listWriter struct {
	caddyhttp.ResponseWriterWrapper
	lists  *mcp.Lists
	method string

	kind   answerKind
	status int
	body   []byte // from buffer
	events *mcp.Events
	passed mcp.Passage
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
	mediaType := mediaTypeOf(header["Content-Type"])
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
	case w.lists.Loose && mediaType != "" && !strings.Contains(strings.ToLower(header["Content-Type"][0]), "json"):
		return passed // no client reads a message from it
	case w.lists.Loose:
		return called
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
	case w.kind == passing:
		return w.pass(p)
	}
	if len(w.body)+len(p) > w.lists.Max {
		if w.kind == called {
			_, err := w.pass(w.body)
			buffer.Keep(w.body)
			if w.body = nil; err != nil {
				return 0, err
			}
			return w.pass(p)
		}
		w.err = &mcp.Error{Status: http.StatusBadGateway, Code: mcp.CodeInternal, Rule: mcp.Size}
		return 0, w.err
	}
	for len(w.body)+len(p) > cap(w.body) {
		w.body = buffer.Grown(w.body, w.lists.Max)
	}
	w.body = append(w.body, p...)
	return len(p), nil
}

// pass lets a part of an answer pass that is too large to be kept.
func (w *listWriter) pass(p []byte) (n int, err error) {
	if w.err = w.passed.Check(p); w.err != nil {
		return 0, w.err
	}
	if w.kind != passing {
		w.kind = passing
		w.ResponseWriterWrapper.WriteHeader(w.status)
	}
	n, w.err = w.ResponseWriterWrapper.Write(p) //nolint:gosec // as the server behind wrote it
	return n, w.err
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
	if w.kind == list || w.kind == other || w.kind == called {
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
		body, _, err := w.lists.Filter(w.body)
		if err != nil {
			return err
		}
		return w.write(body)
	case called:
		return w.finishCalled()
	case other:
		if w.err != nil || !mcp.IsRefusal(w.body) {
			withoutContent(w.Header())
			return w.write(nil)
		}
		return w.write(w.body)
	}
	return nil
}

// finishCalled writes the answer to another request than for a list. Without a list, it
// stays as it is.
func (w *listWriter) finishCalled() error {
	if w.err != nil {
		return w.err
	}
	body, changed, err := w.lists.Filter(w.body)
	switch {
	case err != nil && w.status >= 300: // the status says enough
		withoutContent(w.Header())
		return w.write(nil)
	case err != nil:
		return err
	case changed:
		return w.write(body)
	}
	w.ResponseWriterWrapper.WriteHeader(w.status)
	_, err = w.ResponseWriterWrapper.Write(body)
	return err
}

func (w *listWriter) write(body []byte) error {
	withoutValidators(w.Header())
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.ResponseWriterWrapper.WriteHeader(w.status)
	_, err := w.ResponseWriterWrapper.Write(body)
	return err
}

// Interface guards
var (
	_ http.ResponseWriter = (*listWriter)(nil)
	_ io.ReaderFrom       = (*listWriter)(nil)
	_ http.Hijacker       = (*listWriter)(nil)
)
