package caddymcpauth

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// checkVerb refuses what MCP doesn't have: other methods, and bodies that no rule
// sees. It takes out of r what would make another request of it behind the door.
func checkVerb(r *http.Request) *refusal {
	switch r.Method {
	case http.MethodPost:
	case http.MethodGet, http.MethodHead, http.MethodDelete:
		if hasBody(r) { // which some servers read
			return refuseBody(http.StatusBadRequest, "Send messages with POST.", "body of "+r.Method)
		}
	default:
		return &refusal{status: http.StatusMethodNotAllowed, reason: "message", code: codeInvalidRequest, sentence: "Use POST, GET or DELETE."}
	}
	scrubMessage(r.Header)
	return nil
}

// hasBody reports whether r comes with a body, or says so. In HTTP/2 and 3, a length
// that isn't told may be none: HTTP/3 never knows before the stream ends, which it
// does at once where there is no body.
func hasBody(r *http.Request) bool {
	if r.ContentLength >= 0 || len(r.TransferEncoding) > 0 {
		return r.ContentLength != 0
	}
	if _, err := io.ReadFull(r.Body, make([]byte, 1)); err != io.EOF {
		return true
	}
	r.Body, r.ContentLength = http.NoBody, 0
	return false
}

// methodOverrides are headers by which frameworks take another method than that of
// the request.
var methodOverrides = []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"}

// judgedHeaders are headers by which a message is judged, or found in the body.
var judgedHeaders = []string{"Content-Type", "Content-Encoding", "Content-Length", "Transfer-Encoding"}

// scrubMessage deletes headers that would have a message understood in another way
// than it is judged, or lead out of what is judged: an upgrade.
func scrubMessage(header http.Header) {
	mcp.RemoveAliases(header)
	for name := range header {
		same := func(other string) bool { return web.SameHeader(name, other) }
		if slices.ContainsFunc(methodOverrides, same) || !slices.Contains(judgedHeaders, name) && slices.ContainsFunc(judgedHeaders, same) {
			delete(header, name)
		}
	}
	if header.Get("Upgrade") == "" {
		return
	}
	delete(header, "Upgrade")
	var kept []string
	for _, line := range header["Connection"] {
		for option := range strings.SplitSeq(line, ",") {
			if option = strings.TrimSpace(option); option != "" && !strings.EqualFold(option, "Upgrade") {
				kept = append(kept, option)
			}
		}
	}
	delete(header, "Connection")
	if len(kept) > 0 {
		header.Set("Connection", strings.Join(kept, ", "))
	}
}

// readMessage reads the message in the body of the POST r, of so many bytes at most.
// After it, r has the same bytes again, and nothing besides: their length is known,
// and there are no trailers.
func (h *Handler) readMessage(r *http.Request, most int64) (*mcp.Message, *refusal) {
	if ref := checkContent(r.Header); ref != nil {
		return nil, ref
	}
	body, err := readBody(r, most)
	switch {
	case errors.Is(err, errTooLarge):
		return nil, refuseBody(http.StatusRequestEntityTooLarge, "The message is too large.", err.Error())
	case err != nil:
		return nil, refuseBody(http.StatusBadRequest, "The message could not be received.", err.Error())
	}
	m, err := mcp.Read(body)
	if err == nil {
		err = m.CheckHeaders(r.Header)
	}
	if err != nil {
		ref := refuseMessage(err)
		ref.id = bytes.Clone(ref.id)
		keepBuffer(body)
		return nil, ref
	}
	setBody(r, body)
	return m, nil
}

// checkContent refuses bodies that aren't JSON in UTF-8 as it is.
func checkContent(header http.Header) *refusal {
	types := header["Content-Type"]
	if len(types) != 1 {
		return refuseBody(http.StatusUnsupportedMediaType, "Send one message as application/json.", "Content-Type: not one")
	}
	if !mcp.IsJSON(types[0]) {
		return refuseBody(http.StatusUnsupportedMediaType, "Send one message as application/json, in UTF-8.", "Content-Type")
	}
	for _, encoding := range header["Content-Encoding"] {
		if !strings.EqualFold(encoding, "identity") {
			return refuseBody(http.StatusUnsupportedMediaType, "Send the message without a Content-Encoding.", "Content-Encoding")
		}
	}
	return nil
}

var errTooLarge = errors.New("body is larger than max_body")

// firstRead is how many bytes of a message memory is taken for at first: most
// messages are not larger.
const firstRead = 8 << 10

// readBody reads the body of r. It takes memory as bytes arrive, at most four times
// as much: a client that announces a large message and doesn't send it holds next to
// nothing. The memory is from [newBuffer].
func readBody(r *http.Request, most int64) (body []byte, err error) {
	if r.ContentLength > most {
		return nil, errTooLarge
	}
	// One byte more than there may be, to see the end.
	limit := int(most) + 1
	if r.ContentLength >= 0 {
		limit = int(r.ContentLength) + 1
	}
	body = newBuffer(min(limit, firstRead))
	defer func() {
		if err != nil {
			keepBuffer(body)
			body = nil
		}
	}()
	for {
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > most:
			return body, errTooLarge
		case err == io.EOF:
			return body, nil
		case err != nil:
			if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
				err = errTooLarge
			}
			return body, err
		}
		if len(body) == cap(body) {
			body = grown(body, limit)
		}
	}
}

// setBody gives r a body of which everything is known.
func setBody(r *http.Request, body []byte) {
	message := &messageBody{data: body}
	r.Body = message.open()
	r.GetBody = func() (io.ReadCloser, error) { return message.open(), nil }
	r.ContentLength = int64(len(body))
	r.TransferEncoding, r.Trailer = nil, nil
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	for _, name := range []string{"Content-Encoding", "Transfer-Encoding", "Trailer", "Expect"} {
		r.Header.Del(name)
	}
}

// refuseBody returns the answer to a body that isn't read, or not to its end.
func refuseBody(status int, sentence, cause string) *refusal {
	return &refusal{status: status, reason: "message", rpc: mcp.CodeInvalidRequest, sentence: sentence, cause: errors.New(cause)}
}

// refuseMessage returns the answer to a message that can't be judged.
func refuseMessage(err error) *refusal {
	ref := refuseBody(http.StatusBadRequest, "The message can't be read.", "")
	ref.bodyRead = true
	if bad, ok := errors.AsType[*mcp.Error](err); ok {
		ref.status, ref.rpc, ref.id, ref.sentence, ref.cause = bad.Status, bad.Code, bad.ID, bad.Error(), errors.New(string(bad.Rule))
	}
	return ref
}
