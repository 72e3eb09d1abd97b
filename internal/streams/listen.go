package streams

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"sync"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

// maxListen is the size in bytes up to which the body of a subscriptions/listen, and
// an event of its stream, are looked at. Larger ones pass, but their stream ends
// without the result.
const maxListen = 64 << 10

// subscription holds what is needed to end the stream of a subscriptions/listen with
// its result, which carries the request's id.
type subscription struct {
	messages messages

	mu   sync.Mutex // a transport reads the body at any time, in its own goroutine
	id   json.RawMessage
	body []byte // what has passed of the body
	done bool   // no more of the body is kept
}

// newSubscription returns the subscription that r asks for; nil if it asks for
// another stream. m is the message in r's body. If that hasn't been read, m is nil,
// and the id is found when the next handler reads it.
func newSubscription(r *http.Request, m *mcp.Message) *subscription {
	if r.Method != http.MethodPost {
		return nil
	}
	s := new(subscription)
	switch {
	case m != nil:
		s.id, s.done = listenID(m), true
	case r.Body != nil && r.Body != http.NoBody:
		r.Body = &copied{ReadCloser: r.Body, length: r.ContentLength, to: s}
	}
	return s
}

// listenID returns the id of a subscriptions/listen, nil for other messages. It
// doesn't keep the body of the message.
func listenID(m *mcp.Message) json.RawMessage {
	if m.Form != mcp.Request || m.Method != mcp.Listen {
		return nil
	}
	return bytes.Clone(m.ID)
}

// copied is a body that is copied as it passes. Nothing is read ahead, and nothing
// waits.
type copied struct {
	io.ReadCloser
	length int64 // -1 if it isn't known
	to     *subscription
}

// Read implements [io.Reader].
func (c *copied) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.to.read(p[:n], c.length, err == io.EOF)
	return n, err
}

// read keeps a part of the body. At the last part it finds the id, and from then on
// keeps only the id.
func (s *subscription) read(part []byte, length int64, end bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.done:
		return
	case len(s.body)+len(part) > maxListen:
		s.done, s.body = true, nil
		return
	}
	s.body = append(s.body, part...)
	if !end && int64(len(s.body)) != length {
		return
	}
	if m, err := mcp.Read(s.body); err == nil {
		s.id = listenID(m)
	}
	s.done, s.body = true, nil
}

// result returns the event that ends the stream. It is nil if the stream must end
// without one, because the id isn't known or the server's own messages leave no
// place for a result.
func (s *subscription) result() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.id == nil || !s.messages.acknowledged || s.messages.answered {
		return nil
	}
	return mcp.ListenResult(s.id)
}

// messages follows what a server says on the stream of a subscriptions/listen.
type messages struct {
	event []byte // what has passed of the current event
	// acknowledged is set by the first notification: the acknowledgment is the first
	// message of such a stream, and no result comes before it.
	acknowledged bool
	// answered is set by the result, and by an event that can't be read, since it
	// may be the result.
	answered bool
}

// pass follows a byte. between says that no event has begun after it.
func (m *messages) pass(b byte, between bool) {
	if m.answered {
		return
	}
	if len(m.event) == maxListen {
		m.answered, m.event = true, nil
		return
	}
	m.event = append(m.event, b)
	if !between {
		return
	}
	message, err := mcp.ReadEvent(m.event)
	switch {
	case err != nil, message != nil && message.Form == mcp.Response:
		m.answered = true
	case message != nil && message.Form == mcp.Notification:
		m.acknowledged = true
	}
	m.event = m.event[:0]
}
