package mcp

import (
	"encoding/json"
	"errors"
	"io"
)

// Lists takes out of answers what a caller may not see: of the results of
// tools/list, prompts/list, resources/list and resources/templates/list.
type Lists struct {
	// Keep reports whether an entry stays. template is true for the URI templates of
	// resources/templates/list. item is valid during the call only.
	Keep func(kind Kind, name string, template bool, item json.RawMessage) bool
	// Max is the size in bytes that an answer with a list may have.
	Max int
	// Private adds cacheScope and ttlMs to lists that don't have them, as revisions
	// from 2026-07-28 require. Where they are there, they always become "private" and
	// 0: a shared cache must not give one caller's list to another.
	Private bool
}

// Filter returns a JSON answer without the entries that don't stay, and otherwise
// byte for byte as it came. The error is an [*Error].
func (l *Lists) Filter(body []byte) ([]byte, error) {
	return nil, errors.ErrUnsupported
}

// Events is a stream of server-sent events, filtered.
type Events struct{}

// Events filters what is written to it and writes it to w, each event as soon as
// it is complete.
func (l *Lists) Events(w io.Writer) *Events { return &Events{} }

// Write filters p. After an error, an [*Error] or one of the writer below, the
// stream is at its end.
func (e *Events) Write(p []byte) (int, error) { return 0, errors.ErrUnsupported }

// Close drops an event that wasn't complete, as a client would.
func (e *Events) Close() error { return nil }
