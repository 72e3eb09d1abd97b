package caddymcpauth

import (
	"io"
	"net/http"
	"sync"
)

// buffers are kept for the next message or answer: those at i hold
// smallestBuffer<<(2*i) bytes.
var buffers [7]sync.Pool

const (
	smallestBuffer = 2 << 10
	largestBuffer  = smallestBuffer << (2 * (len(buffers) - 1))
)

// newBuffer returns an empty buffer with space for size bytes.
func newBuffer(size int) []byte {
	for i := range buffers {
		if class := smallestBuffer << (2 * i); size <= class {
			if b, ok := buffers[i].Get().(*[]byte); ok {
				return (*b)[:0]
			}
			return make([]byte, 0, class)
		}
	}
	return make([]byte, 0, size)
}

// grown returns a buffer with what is in b and space for more, at most four times as
// much or limit. b is kept for others.
func grown(b []byte, limit int) []byte {
	more := append(newBuffer(min(max(4*cap(b), smallestBuffer), limit)), b...)
	keepBuffer(b)
	return more
}

// keepBuffer keeps a buffer that nothing points into any more.
func keepBuffer(b []byte) {
	for i := range buffers {
		if cap(b) == smallestBuffer<<(2*i) {
			buffers[i].Put(&b)
		}
	}
}

// messageBody is a message that was read, as the body of its request. It is given
// back when the request is over: as with the body of a server's request, nothing is
// read from it then, though a transport may still try.
type messageBody struct {
	mu   sync.Mutex
	data []byte // nil after release
}

// open returns the body from its beginning.
func (m *messageBody) open() io.ReadCloser { return &messageReader{message: m} }

func (m *messageBody) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.data != nil {
		keepBuffer(m.data)
		m.data = nil
	}
}

// messageReader reads a messageBody.
type messageReader struct {
	message *messageBody
	at      int
}

// Read implements [io.Reader].
func (r *messageReader) Read(p []byte) (int, error) {
	r.message.mu.Lock()
	defer r.message.mu.Unlock()
	if r.message.data == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	n := copy(p, r.message.data[r.at:])
	r.at += n
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Close implements [io.Closer].
func (r *messageReader) Close() error { return nil }

// releaseMessage gives the message back that body reads, if it does.
func releaseMessage(body io.ReadCloser) {
	if r, ok := body.(*messageReader); ok {
		r.message.release()
	}
}
