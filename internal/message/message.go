// Package message reads the MCP message in a request, once for all handlers. The
// message is stored with the body that it was read from, so that it can't be
// mistaken for the message of another body.
//
// Once a message has been read, its request has these placeholders, with the
// values as the client sent them, and two fields in the access log, quoted and
// shortened:
//
//	{http.mcp.method}  mcp_method  the method; empty for a response of the client
//	{http.mcp.name}    mcp_name    the name of the tool or prompt, the resource's
//	                               URI, the task's id; empty for other methods
package message

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

// Message is a message that was read.
type Message struct{ *mcp.Message }

// Error says why a request has no message that can be judged. Its text is a fixed
// sentence for the client that quotes nothing from the request.
type Error struct {
	// Status is the status of the HTTP answer.
	Status int
	// Code is the code of the JSON-RPC error.
	Code int
	// ID is the message's id as it came; nil if it couldn't be read.
	ID json.RawMessage
	// BodyRead says that the body was read to its end.
	BodyRead bool
	// Cause is for the log.
	Cause error

	sentence string
}

func (e *Error) Error() string { return e.sentence }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Read returns the message in the body of the POST r, if the body has at most limit
// bytes. Afterwards r has exactly the same bytes again, with a known length and
// without trailers. If reading fails, r still has the bytes that it had. The error
// is an [*Error].
//
// The headers that repeat what the body says are compared each time.
func Read(r *http.Request, limit int64) (*Message, error) {
	if err := checkContent(r.Header); err != nil {
		return nil, err
	}
	b, err := bodyOf(r, limit)
	if err != nil {
		return nil, err
	}
	switch size := b.size(); {
	case size < 0:
		return nil, unread(http.StatusBadRequest, "The message could not be received.", http.ErrBodyReadAfterClose)
	case int64(size) > limit:
		return nil, TooLarge()
	}
	return b.judged(r)
}

// Of returns the message in the body of the POST r as [Read] does. But limit applies
// only to a body that hasn't been read yet.
func Of(r *http.Request, limit int64) (*Message, error) {
	if err := checkContent(r.Header); err != nil {
		return nil, err
	}
	b, err := bodyOf(r, limit)
	if err != nil {
		return nil, err
	}
	return b.judged(r)
}

// judged returns the message in b, the body of r.
func (b *body) judged(r *http.Request) (*Message, error) {
	if b.err != nil {
		return nil, Refused(b.err)
	}
	if err := b.message.CheckHeaders(r.Header); err != nil {
		return nil, Refused(err)
	}
	return b.message, nil
}

// checkContent refuses bodies that aren't plain JSON in UTF-8.
func checkContent(header http.Header) error {
	types := header["Content-Type"]
	if len(types) != 1 {
		return unread(http.StatusUnsupportedMediaType, "Send one message as application/json.", errContentTypes)
	}
	if !mcp.IsJSON(types[0]) {
		return unread(http.StatusUnsupportedMediaType, "Send one message as application/json, in UTF-8.", errContentType)
	}
	for _, encoding := range header["Content-Encoding"] {
		if !strings.EqualFold(encoding, "identity") {
			return unread(http.StatusUnsupportedMediaType, "Send the message without a Content-Encoding.", errContentEncoding)
		}
	}
	return nil
}

// Causes, for the log.
var (
	errContentTypes    = errors.New("Content-Type: not one")
	errContentType     = errors.New("Content-Type")
	errContentEncoding = errors.New("Content-Encoding")
	errTooLarge        = errors.New("body is larger than max_body, or than what is read of strangers")
)

// unread returns the error about a body that isn't read, or not to its end.
func unread(status int, sentence string, cause error) *Error {
	return &Error{Status: status, Code: mcp.CodeInvalidRequest, Cause: cause, sentence: sentence}
}

// TooLarge returns the error about a body that is larger than the limit.
func TooLarge() *Error {
	return unread(http.StatusRequestEntityTooLarge, "The message is too large.", errTooLarge)
}

// Refused returns the error about a message that can't be judged, for the cause err.
func Refused(err error) *Error {
	e := unread(http.StatusBadRequest, "The message can't be read.", err)
	e.BodyRead = true
	if bad, ok := errors.AsType[*mcp.Error](err); ok {
		e.Status, e.Code, e.ID, e.sentence, e.Cause = bad.Status, bad.Code, bad.ID, bad.Error(), errors.New(string(bad.Rule))
	}
	return e
}
