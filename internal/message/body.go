package message

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

// body is a body that was read, with what it says.
type body struct {
	data    []byte
	message *Message
	err     error // why there is no message
}

// reader reads a body from its beginning.
type reader struct {
	bytes.Reader
	body *body
}

// Close implements [io.Closer].
func (*reader) Close() error { return nil }

func (b *body) open() io.ReadCloser {
	r := &reader{body: b}
	r.Reset(b.data)
	return r
}

// bodyOf returns the body of r, reading at most limit bytes of it if it wasn't read
// before.
func bodyOf(r *http.Request, limit int64) (*body, error) {
	if seen, ok := r.Body.(*reader); ok {
		// What another handler has read of it is there again.
		r.Body = seen.body.open()
		return seen.body, nil
	}
	data, err := readBody(r, limit)
	if err != nil {
		if data != nil {
			r.Body = prefixed{io.MultiReader(bytes.NewReader(data), r.Body), r.Body}
		}
		if errors.Is(err, errTooLarge) {
			return nil, tooLarge()
		}
		return nil, unread(http.StatusBadRequest, "The message could not be received.", err)
	}
	b := &body{data: data}
	m, err := mcp.Read(data)
	if err != nil {
		b.err = err
		forget(r.Context())
	} else {
		b.message = &Message{Message: m, MethodText: quotedOr(m.Method), NameText: quotedOr(m.Name)}
		b.message.publish(r.Context())
	}
	setBody(r, b)
	return b, nil
}

// prefixed is a body of which a part was read.
type prefixed struct {
	io.Reader
	io.Closer
}

// firstRead is how many bytes of a message memory is taken for at first: most
// messages are not larger.
const firstRead = 2 << 10

// readBody reads the body of r. It takes memory as bytes arrive, at most four times
// as much: a client that announces a large message and doesn't send it holds next to
// nothing. With an error, it returns what it has read.
func readBody(r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, errTooLarge
	}
	// One byte more than there may be, to see the end.
	most := limit + 1
	if r.ContentLength >= 0 {
		most = r.ContentLength + 1
	}
	data := make([]byte, 0, min(most, firstRead))
	for {
		n, err := r.Body.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case int64(len(data)) > limit:
			return data, errTooLarge
		case err == io.EOF:
			return data, nil
		case err != nil:
			if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
				err = errTooLarge
			}
			return data, err
		}
		if len(data) == cap(data) {
			data = append(make([]byte, 0, min(most, 4*int64(cap(data)))), data...)
		}
	}
}

// setBody gives r a body of which everything is known.
func setBody(r *http.Request, b *body) {
	r.Body = b.open()
	r.GetBody = func() (io.ReadCloser, error) { return b.open(), nil }
	r.ContentLength = int64(len(b.data))
	r.TransferEncoding, r.Trailer = nil, nil
	r.Header.Set("Content-Length", strconv.Itoa(len(b.data)))
	for _, name := range []string{"Content-Encoding", "Transfer-Encoding", "Trailer", "Expect"} {
		r.Header.Del(name)
	}
}
