package mcp

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// maxID is the size in bytes that an id may have. It comes back in answers.
const maxID = 1024

// maxName is the size in bytes that a method, a name or a URI may have. Names are
// compared in a form that takes some work to find.
const maxName = 8 << 10

// maxURIs is the number of resources that one subscriptions/listen may name.
const maxURIs = 1000

// A field is a member that is read.
type field struct {
	name string
	// at and end enclose the value; 0 if there is none.
	at, end int
	// variant is set if another reader could find the member under another name.
	variant bool
	// fields are read if the value is an object.
	fields []field
}

// A message is what Read looks at.
type message struct {
	scanner
	top           [6]field
	params        [7]field
	ref           [3]field
	notifications [1]field
	meta          [1]field
}

// The places of the fields.
const (
	topVersion, topID, topMethod, topParams, topResult, topError = 0, 1, 2, 3, 4, 5

	paramsName, paramsURI, paramsTask, paramsArguments, paramsRef, paramsNotifications, paramsMeta = 0, 1, 2, 3, 4, 5, 6

	refType, refName, refURI = 0, 1, 2
)

// messages are kept for the next one.
var messages = sync.Pool{New: func() any { return new(message) }}

// newMessage returns a message for reading body; done releases it.
func newMessage(body []byte) *message {
	m := messages.Get().(*message)
	m.scanner = scanner{b: body, names: m.names[:0], unquoted: m.unquoted[:0]}
	m.ref = [3]field{{name: "type"}, {name: "name"}, {name: "uri"}}
	m.notifications = [1]field{{name: "resourceSubscriptions"}}
	m.meta = [1]field{{name: "io.modelcontextprotocol/protocolVersion"}}
	m.params = [7]field{
		{name: "name"},
		{name: "uri"},
		{name: "taskId"},
		{name: "arguments"},
		{name: "ref", fields: m.ref[:]},
		{name: "notifications", fields: m.notifications[:]},
		{name: "_meta", fields: m.meta[:]},
	}
	m.top = [6]field{{name: "jsonrpc"}, {name: "id"}, {name: "method"}, {name: "params", fields: m.params[:]}, {name: "result"}, {name: "error"}}
	return m
}

func (m *message) done() {
	m.b = nil
	if cap(m.names) <= maxKept && cap(m.unquoted) <= maxKept {
		messages.Put(m)
	}
}

// maxKept bounds the space, in names and in bytes, that is kept for the next message.
const maxKept = 4 << 10

// Read reads the body of a POST: one JSON-RPC message of a client. The error is an
// [*Error]. The message keeps parts of body.
func Read(body []byte) (*Message, error) {
	m := newMessage(body)
	defer m.done()
	rule := m.document(func(at int) (int, Rule) {
		switch m.first(at) {
		case '{':
			return m.read(at, 0, m.top[:])
		case '[':
			return at, Batch
		}
		if end, rule := m.value(at, 0); rule != "" {
			return end, rule
		}
		return at, Envelope
	})
	if rule != "" {
		return nil, refuse(rule, nil)
	}
	msg := &Message{}
	if rule := m.envelope(msg); rule != "" {
		return nil, refuse(rule, msg.ID)
	}
	if msg.Form == Response {
		return msg, nil
	}
	if rule := m.judged(msg); rule != "" {
		return nil, refuse(rule, msg.ID)
	}
	return msg, nil
}

// read reads an object and finds its fields.
func (m *message) read(at, depth int, fields []field) (int, Rule) {
	return m.object(at, depth, func(name []byte, at int) (end int, rule Rule) {
		found, rule := m.find(fields, name)
		if rule != "" {
			return at, rule
		}
		if found != nil && found.fields != nil && m.first(at) == '{' {
			end, rule = m.read(at, depth+1, found.fields)
		} else {
			end, rule = m.value(at, depth+1)
		}
		if found != nil {
			found.at, found.end = at, end
		}
		return end, rule
	})
}

// prototype is the name of a member in which JavaScript looks up what an object
// lacks, once the object has been copied.
const prototype = "__proto__"

// find returns the field of that name. It marks a field that another reader could
// find under that name.
func (m *message) find(fields []field, name []byte) (*field, Rule) {
	if string(name) == prototype {
		return nil, Variant
	}
	plain := isPlain(name)
	parted := bytes.ContainsAny(name, "_-")
	for i := range fields {
		f := &fields[i]
		if string(name) == f.name {
			return f, ""
		}
		// Pydantic takes resource_subscriptions for resourceSubscriptions.
		if parted && web.SameHeader(string(name), f.name) {
			f.variant = true
		}
		if plain && len(name) == len(f.name) && strings.EqualFold(string(name), f.name) {
			f.variant = true
		}
	}
	if plain {
		return nil, ""
	}
	folded, ok := m.folded(name)
	if !ok {
		return nil, Variant
	}
	for i := range fields {
		if strings.EqualFold(folded, fields[i].name) {
			fields[i].variant = true
		}
	}
	return nil, ""
}

// envelope reads the members that make JSON a message of JSON-RPC 2.0 (sections 4 and
// 5).
func (m *message) envelope(msg *Message) Rule {
	for _, f := range m.top {
		if f.variant {
			return Variant
		}
	}
	id := m.raw(m.top[topID])
	if id != nil && !isID(id) {
		return ID
	}
	msg.ID = id
	if version, ok := m.string(m.top[topVersion]); !ok || version != "2.0" {
		return Envelope
	}
	hasMethod, hasResult, hasError := m.top[topMethod].at > 0, m.top[topResult].at > 0, m.top[topError].at > 0
	if !hasMethod {
		answer := m.top[topResult]
		if hasError {
			answer = m.top[topError]
		}
		if hasResult == hasError || m.top[topParams].at > 0 || m.first(answer.at) != '{' {
			return Envelope
		}
		if id == nil {
			return ID
		}
		msg.Form = Response
		return ""
	}
	method, ok := m.string(m.top[topMethod])
	if !ok || method == "" || len(method) > maxName || hasControl(method) || hasResult || hasError {
		return Envelope
	}
	msg.Method = method
	notification, variant := isNotification(method)
	if variant {
		return Variant
	}
	if notification != (id == nil) {
		return ID
	}
	if notification {
		msg.Form = Notification
	}
	if p := m.top[topParams]; p.at > 0 && m.first(p.at) != '{' {
		return Params
	}
	return ""
}

// isID reports whether an id is a string or an integer of 64 bits, written as one.
func isID(raw []byte) bool {
	if raw[0] == '"' {
		return len(raw) <= maxID
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	return err == nil && strconv.FormatInt(n, 10) == string(raw)
}

// raw returns a field's value as it came, nil if there is none.
func (m *message) raw(f field) json.RawMessage {
	if f.at == 0 {
		return nil
	}
	return json.RawMessage(m.b[f.at:f.end:f.end])
}

// string returns a field's value if it is a string.
func (m *message) string(f field) (string, bool) {
	if f.at == 0 || m.b[f.at] != '"' {
		return "", false
	}
	return unquoted(m.b[f.at+1 : f.end-1]), true
}

// isNull reports whether a field is absent, or null, which most libraries send for an
// absent one.
func (m *message) isNull(f field) bool { return f.at == 0 || m.b[f.at] == 'n' }

// texts are what clients are told.
var texts = map[Rule]string{
	Syntax:    "the body is not one JSON object",
	Encoding:  "the body is not valid UTF-8 text without a byte order mark",
	Depth:     "the body is nested too deep",
	Duplicate: "an object has two members of one name",
	Variant:   "a name is spelled almost, but not exactly, as the protocol spells it",
	Batch:     "batches are not supported: send one message per request",
	Envelope:  "the body is not a JSON-RPC 2.0 message",
	ID:        "requests and responses have an id, a string or an integer, and notifications have none",
	Params:    "the params don't fit the method",
	Header:    "a header doesn't agree with the body",
	Argument:  "an Mcp-Param header doesn't agree with the arguments",
}

func refuse(rule Rule, id json.RawMessage) *Error {
	code := CodeInvalidRequest
	switch rule {
	case Syntax, Encoding, Depth, Duplicate:
		code = CodeParse
	case Params:
		code = CodeInvalidParams
	case Header, Argument:
		code = CodeHeaderMismatch
	}
	return &Error{Status: http.StatusBadRequest, Code: code, Rule: rule, ID: id, text: texts[rule]}
}
