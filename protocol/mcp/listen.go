package mcp

import (
	"bytes"
	"encoding/json"
)

// Listen is the method of a request for a stream of notifications, since 2026-07-28.
const Listen = "subscriptions/listen"

// ListenResult returns the event by which a server ends the stream of the
// subscriptions/listen with that id (schema of 2026-07-28,
// SubscriptionsListenResultResponse). To a client, a stream that ends without it has
// broken off.
func ListenResult(id json.RawMessage) []byte {
	var event bytes.Buffer
	event.WriteString(`data: {"jsonrpc":"2.0","id":`)
	event.Write(id)
	event.WriteString(`,"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":`)
	event.Write(id)
	event.WriteString("}}}\n\n")
	return event.Bytes()
}

// ReadEvent reads the message in a complete server-sent event. It returns nil for an
// event that isn't a message: a comment, an event without data, or one of another
// type. The error is an [*Error].
func ReadEvent(event []byte) (*Message, error) {
	data, isMessage := fieldsOf(event, true)
	if !isMessage || len(bytes.TrimLeft(data, " \t\r\n")) == 0 {
		return nil, nil
	}
	return Read(data)
}
