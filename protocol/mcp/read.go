package mcp

import "errors"

// Read reads the body of a POST: one JSON-RPC message of a client. The error is an
// [*Error]. The message keeps parts of body.
func Read(body []byte) (*Message, error) {
	return nil, errors.ErrUnsupported
}
