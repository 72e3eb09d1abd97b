package session

import (
	"bytes"
	"context"
	"io"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

// maxEvent is the size in bytes up to which an event is held. Of a larger one, the
// lines within that size are tagged, and servers write the id first. An id after it has
// no tag, so nobody can resume from there.
const maxEvent = 64 << 10

// Events writes a stream of events to w in which handles have their tags: the ids of
// events, and the address that HTTP+SSE announces. Everything else is unchanged. An
// error ends the stream: the key can't be had, or w fails.
func (to *Binding) Events(ctx context.Context, w io.Writer) *mcp.Events {
	return mcp.NewEvents(w, maxEvent, &editor{ctx, to})
}

// editor tags the handles in events.
type editor struct {
	ctx context.Context // of the request that the stream answers
	to  *Binding
}

// Event implements [mcp.EventEditor].
func (e *editor) Event(event []byte) (edited []byte, changed bool, err error) {
	isEndpoint := false
	edited, changed = mcp.EditFields(event, func(name, value []byte) ([]byte, bool) {
		switch string(name) {
		case "event":
			isEndpoint = string(value) == "endpoint"
		case "id":
			return e.id(value, &err)
		}
		return nil, false
	})
	if err != nil || !isEndpoint {
		return edited, changed, err
	}
	return e.endpoint(edited, changed)
}

// Large implements [mcp.EventEditor].
func (e *editor) Large(part []byte, first bool) ([]byte, error) {
	if !first {
		return part, nil
	}
	// The last line is incomplete.
	at := bytes.LastIndexAny(part, "\r\n") + 1
	edited, changed, err := e.Event(part[:at:at])
	if err != nil || !changed {
		return part, err
	}
	return append(edited, part[at:]...), nil
}

// id returns the id of an event with its tag. An empty one says that the stream can't be
// resumed, and one with a NUL is ignored (HTML, section 9.2.6).
func (e *editor) id(value []byte, err *error) ([]byte, bool) {
	if len(value) == 0 || *err != nil || bytes.IndexByte(value, 0) >= 0 {
		return nil, false
	}
	if e.to.owner.anonymous() && e.to.session == "" {
		return nil, false // see Bind
	}
	tagged, failed := e.to.taggedEvent(e.ctx, string(value))
	if failed != nil {
		*err = failed
		return nil, false
	}
	return []byte(tagged), true
}

// endpoint tags the session id in an event that announces where messages go. An address
// of several lines is none.
func (e *editor) endpoint(event []byte, changed bool) ([]byte, bool, error) {
	var err error
	edited, tagged := mcp.EditFields(event, func(name, value []byte) ([]byte, bool) {
		if string(name) != "data" || err != nil {
			return nil, false
		}
		var address string
		address, err = endpoint(string(value), func(id string) (string, error) {
			return e.to.tagged(e.ctx, Query, id)
		})
		return []byte(address), err == nil && address != string(value)
	})
	return edited, changed || tagged, err
}
