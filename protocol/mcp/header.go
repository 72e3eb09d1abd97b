package mcp

import (
	"encoding/json"
	"errors"
	"net/http"
)

// CheckHeaders compares the headers Mcp-Method, Mcp-Name and MCP-Protocol-Version
// with the message (transports, "Server Validation", 2026-07-28), whatever the
// version: who sends one of them means it. The error is an [*Error].
func (m *Message) CheckHeaders(h http.Header) error {
	return errors.ErrUnsupported
}

// CheckParams compares the headers Mcp-Param-* with the arguments of the same name
// of a call. The error is an [*Error].
func (m *Message) CheckParams(h http.Header) error {
	return errors.ErrUnsupported
}

// RemoveAliases deletes the headers that a server could take for Mcp-Method,
// Mcp-Name or Mcp-Param-* and that aren't spelled so, such as Mcp_Name.
func RemoveAliases(h http.Header) {}

// FoldedSiblings reports whether an object in arguments, at any depth, has two
// members whose names fold to the same.
func FoldedSiblings(arguments json.RawMessage) bool { return true }
