package caddymcpauth

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

// checkVerb refuses methods that MCP doesn't have.
func checkVerb(r *http.Request) *refusal {
	switch r.Method {
	case http.MethodPost, http.MethodGet, http.MethodHead, http.MethodDelete:
		return nil
	}
	return &refusal{status: http.StatusMethodNotAllowed, reason: "message", code: codeInvalidRequest, sentence: "Use POST, GET or DELETE."}
}

// readMessage reads the message in the body of r, which then has it again.
func (h *Handler) readMessage(r *http.Request) (*mcp.Message, *refusal) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return nil, &refusal{status: http.StatusUnsupportedMediaType, reason: "message", rpc: mcp.CodeInvalidRequest, sentence: "Send one message as application/json."}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, h.MaxBody+1))
	if err != nil || int64(len(body)) > h.MaxBody {
		return nil, &refusal{status: http.StatusRequestEntityTooLarge, reason: "message", rpc: mcp.CodeInvalidRequest, sentence: "The message is too large."}
	}
	m, err := mcp.Read(body)
	if err == nil {
		err = m.CheckHeaders(r.Header)
	}
	if err != nil {
		return nil, refuseMessage(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return m, nil
}

// refuseMessage returns the answer to a message that can't be judged.
func refuseMessage(err error) *refusal {
	bad, ok := errors.AsType[*mcp.Error](err)
	if !ok {
		return &refusal{status: http.StatusBadRequest, reason: "message", rpc: mcp.CodeInvalidRequest, sentence: "The message can't be read.", bodyRead: true}
	}
	return &refusal{status: bad.Status, reason: "message", rpc: bad.Code, id: bad.ID, sentence: bad.Error(), cause: errors.New(string(bad.Rule)), bodyRead: true}
}
