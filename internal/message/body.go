package message

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"sync"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/buffer"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

// HasBody reports whether r comes with a body, or says so. In HTTP/2 and 3, a length
// that isn't told may be none: HTTP/3 never knows before the stream ends, which it
// does at once where there is no body.
func HasBody(r *http.Request) bool {
	if r.ContentLength >= 0 || len(r.TransferEncoding) > 0 {
		return r.ContentLength != 0
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(r.Body, first); err == nil {
		r.Body = &prefixed{Reader: io.MultiReader(bytes.NewReader(first), r.Body), Closer: r.Body}
		return true
	} else if err != io.EOF {
		return true
	}
	r.Body, r.ContentLength = http.NoBody, 0
	return false
}

// body is a body that was read, with what it says.
type body struct {
	message *Message
	err     error // why there is no message

	mu   sync.Mutex
	data []byte // nil after release
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
			r.Body = &prefixed{io.MultiReader(bytes.NewReader(data), r.Body), r.Body, data}
		}
		if errors.Is(err, errTooLarge) {
			return nil, TooLarge()
		}
		return nil, unread(http.StatusBadRequest, "The message could not be received.", err)
	}
	b := &body{data: data}
	m, err := mcp.Read(data)
	if err != nil {
		b.err = err
		forget(r.Context())
	} else {
		b.message = &Message{Message: m}
		b.message.publish(r.Context())
	}
	setBody(r, b)
	return b, nil
}

// open returns the body from its beginning.
func (b *body) open() io.ReadCloser { return &reader{body: b} }

// size returns the length of the body; -1 after release.
func (b *body) size() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.data == nil {
		return -1
	}
	return len(b.data)
}

func (b *body) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.data == nil {
		return
	}
	buffer.Keep(b.data)
	b.data = nil
	if b.message != nil {
		// These are parts of it.
		b.message.ID, b.message.Arguments = nil, nil
	}
}

// Release gives the memory of a body back that [Read] has left in a request. Nothing
// is read from it then, though a transport may still try: it is as with the body of a
// server's request once that is over. What the message names stays known.
func Release(body io.ReadCloser) {
	switch b := body.(type) {
	case *reader:
		b.body.release()
	case *prefixed:
		buffer.Keep(b.data)
		b.Reader, b.data = closed{}, nil
	}
}

// closed is a body whose request is over.
type closed struct{}

func (closed) Read([]byte) (int, error) { return 0, http.ErrBodyReadAfterClose }

// reader reads a body.
type reader struct {
	body *body
	at   int
}

// Read implements [io.Reader].
func (r *reader) Read(p []byte) (int, error) {
	r.body.mu.Lock()
	defer r.body.mu.Unlock()
	if r.body.data == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	n := copy(p, r.body.data[r.at:])
	r.at += n
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Close implements [io.Closer].
func (*reader) Close() error { return nil }

// prefixed is a body of which a part was read: data, if that is a buffer.
type prefixed struct {
	io.Reader
	io.Closer
	data []byte
}

// firstRead is how many bytes of a message memory is taken for at first: most
// messages are not larger.
const firstRead = 8 << 10

// readBody reads the body of r. It takes memory as bytes arrive, at most four times
// as much: a client that announces a large message and doesn't send it holds next to
// nothing. The memory is a buffer, also of what it returns with an error.
func readBody(r *http.Request, limit int64) (data []byte, err error) {
	if r.ContentLength > limit {
		return nil, errTooLarge
	}
	// One byte more than there may be, to see the end.
	most := int(min(limit, math.MaxInt-1)) + 1
	if r.ContentLength >= 0 {
		most = int(r.ContentLength) + 1
	}
	data = buffer.New(min(most, firstRead))
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
		if len(data) >= most {
			return data, errTooLarge // more than its length says
		}
		if len(data) == cap(data) {
			data = buffer.Grown(data, most)
		}
	}
}

// setBody gives r a body of which everything is known.
func setBody(r *http.Request, b *body) {
	r.Body = b.open()
	r.GetBody = func() (io.ReadCloser, error) { return b.open(), nil }
	r.ContentLength = int64(len(b.data))
	r.TransferEncoding, r.Trailer = nil, nil
	length := strconv.Itoa(len(b.data))
	if said := r.Header["Content-Length"]; len(said) != 1 || said[0] != length {
		r.Header["Content-Length"] = []string{length}
	}
	for _, name := range [...]string{"Content-Encoding", "Transfer-Encoding", "Trailer", "Expect"} {
		delete(r.Header, name)
	}
}
