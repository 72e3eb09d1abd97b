package caddymcpauth

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/message"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// checkVerb refuses what MCP doesn't have: other methods, and bodies that no rule
// sees. It takes out of r what would make another request of it behind the door.
func checkVerb(r *http.Request) *refusal {
	switch r.Method {
	case http.MethodPost:
	case http.MethodGet, http.MethodHead, http.MethodDelete:
		if message.HasBody(r) { // which some servers read
			return refuseBody(http.StatusBadRequest, "Send messages with POST.", "body of "+r.Method)
		}
	default:
		return &refusal{status: http.StatusMethodNotAllowed, reason: "message", code: codeInvalidRequest, sentence: "Use POST, GET or DELETE."}
	}
	scrubMessage(r.Header)
	return nil
}

// methodOverrides are headers by which frameworks take another method than that of
// the request.
var methodOverrides = []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"}

// judgedHeaders are headers by which a message is judged, or found in the body.
var judgedHeaders = []string{"Content-Type", "Content-Encoding", "Content-Length", "Transfer-Encoding"}

// scrubMessage deletes headers that would have a message understood in another way
// than it is judged, or lead out of what is judged: an upgrade.
func scrubMessage(header http.Header) {
	mcp.RemoveAliases(header)
	for name := range header {
		same := func(other string) bool { return web.SameHeader(name, other) }
		if slices.ContainsFunc(methodOverrides, same) || !slices.Contains(judgedHeaders, name) && slices.ContainsFunc(judgedHeaders, same) {
			delete(header, name)
		}
	}
	if header.Get("Upgrade") == "" {
		return
	}
	delete(header, "Upgrade")
	var kept []string
	for _, line := range header["Connection"] {
		for option := range strings.SplitSeq(line, ",") {
			if option = strings.TrimSpace(option); option != "" && !strings.EqualFold(option, "Upgrade") {
				kept = append(kept, option)
			}
		}
	}
	delete(header, "Connection")
	if len(kept) > 0 {
		header.Set("Connection", strings.Join(kept, ", "))
	}
}

// readMessage reads the message in the body of the POST r, of so many bytes at most.
func (h *Handler) readMessage(r *http.Request, most int64) (*mcp.Message, *refusal) {
	m, err := message.Read(r, most)
	if err != nil {
		return nil, refuseMessage(err)
	}
	return m.Message, nil
}

// checkParams compares the headers that repeat arguments, where a rule reads these.
func (h *Handler) checkParams(r *http.Request, m *mcp.Message) *refusal {
	lookup, reads := h.policy.ReadsArguments(m)
	if !reads {
		return nil
	}
	if err := m.CheckParams(r.Header, lookup); err != nil {
		return refuseMessage(err)
	}
	return nil
}

// refuseBody returns the answer to a body that isn't read, or not to its end.
func refuseBody(status int, sentence, cause string) *refusal {
	return &refusal{status: status, reason: "message", rpc: mcp.CodeInvalidRequest, sentence: sentence, cause: errors.New(cause)}
}

// refuseMessage returns the answer to a message that can't be judged.
func refuseMessage(err error) *refusal {
	bad, ok := errors.AsType[*message.Error](err)
	if !ok {
		bad = message.Refused(err)
	}
	return &refusal{
		status:   bad.Status,
		reason:   "message",
		rpc:      bad.Code,
		id:       bad.ID,
		sentence: bad.Error(),
		cause:    bad.Cause,
		bodyRead: bad.BodyRead,
	}
}
