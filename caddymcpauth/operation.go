package caddymcpauth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/message"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// operation is a request as the rules see it.
type operation struct {
	caller *policy.Caller
	reader *token.Reader
	// message is nil for requests that have none, and where no rule is about
	// messages.
	message  *mcp.Message
	decision policy.Decision
}

// judgeOperation lets the rules decide about r. It records the result in d, and returns a
// refusal unless the rules allow the request.
func (h *Handler) judgeOperation(r *http.Request, d *decision) *refusal {
	reads := h.readsMessages()
	if !reads && len(h.Require) == 0 {
		return nil
	}
	reader := token.NewReader(d.token)
	j := &operation{caller: h.caller(reader), reader: reader}
	if reads {
		if ref := checkVerb(r); ref != nil {
			return ref
		}
	}
	if r.Method != http.MethodPost {
		d.judged = j
		j.decision = h.policy.Admit(j.caller)
		return h.refuseOperation(r, j)
	}
	if !reads && h.policy.Admit(j.caller).Outcome == policy.Allowed {
		return nil
	}
	m, ref := h.readMessage(r, h.MaxBody)
	if ref != nil {
		return ref
	}
	if ref := h.checkParams(r, m); ref != nil {
		return ref
	}
	d.judged = j
	j.message = m
	j.decision = h.policy.Decide(j.caller, m)
	return h.refuseOperation(r, j)
}

// readsMessages reports whether messages are read even if the caller's token is good.
func (h *Handler) readsMessages() bool { return h.policy.ReadsMessages() || h.SecuritySchemes }

// caller returns the sender of the token.
func (h *Handler) caller(reader *token.Reader) *policy.Caller {
	t := reader.Judged()
	c := &policy.Caller{
		Subject:   t.Subject,
		Issuer:    t.Issuer,
		ClientID:  func() string { return reader.Token().ClientID },
		Scopes:    t.Scopes,
		Satisfies: h.hierarchy.Satisfied,
		Includes:  h.hierarchy.With,
		Claims:    reader,
	}
	if h.isAPIKey(t) {
		c.Key = t.Subject
	}
	return c
}

// rpcForbidden is the code of JSON-RPC errors about what a caller may not do. It lies
// outside the ranges that JSON-RPC and MCP reserve, and no client gives it a special
// meaning: with -32003, the Go SDK tells its user that the connection was closed.
const rpcForbidden = 403

// rpcSignIn is the code of JSON-RPC errors about what needs a token.
const rpcSignIn = 401

// refuseOperation returns the answer to r, which the rules don't allow; nil if they
// do.
func (h *Handler) refuseOperation(r *http.Request, j *operation) *refusal {
	d, m := j.decision, j.message
	if d.Outcome == policy.Allowed {
		return nil
	}
	ref := &refusal{cause: d.Cause, reason: "policy", code: "access_denied", status: http.StatusForbidden, sentence: deniedSentence(d, m)}
	switch d.Outcome {
	case policy.LacksScope:
		ref = refuseScope()
		ref.sentence = lackingSentence(d, m)
		ref.scopes = h.scopesFor(j.caller.Scopes, d.Need)
	case policy.NeedsToken:
		ref = refuseNoCredentials()
		ref.sentence = fmt.Sprintf("To use %s, sign in first.", named(m))
		ref.scopes = h.firstScopes(d.Need)
	}
	if m == nil {
		return ref
	}
	ref.bodyRead, ref.rpc, ref.id = true, rpcForbidden, m.ID
	if d.Outcome == policy.NeedsToken {
		ref.rpc = rpcSignIn
	}
	if m.Form != mcp.Request {
		return ref // only requests have an answer in JSON-RPC, so the status says it
	}
	switch {
	case d.Outcome == policy.LacksScope, d.Outcome == policy.NeedsToken:
		h.say(ref, r, j)
	case d.Outcome == policy.Denied && m.Completes:
		// Propose nothing: an error would be shown while the user types.
		ref.status, ref.rpc, ref.result = http.StatusOK, 0, emptyCompletion(m)
	default:
		// Clients show a 403 as raw text, and a JSON-RPC error as an error
		// message.
		ref.status, ref.challenge = http.StatusOK, false
	}
	return ref
}

// scopesFor returns the scopes of a challenge: those of every request, those that are
// granted, and those that this one needs. Clients ask for what the challenge names
// and lose what it doesn't.
func (h *Handler) scopesFor(granted, needed []string) []string {
	more := slices.DeleteFunc(slices.Concat(granted, needed), func(scope string) bool { return token.CheckScope(scope) != nil })
	return union(h.Scopes, more)
}

// union returns the scopes of both lists, each once.
func union(first, second []string) []string {
	scopes := slices.Clone(first)
	for _, scope := range second {
		if !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

// emptyCompletion is an answer to completion/complete without proposals.
func emptyCompletion(m *mcp.Message) json.RawMessage {
	if m.Version == "" {
		return json.RawMessage(`{"completion":{"values":[],"total":0,"hasMore":false}}`)
	}
	return json.RawMessage(`{"resultType":"complete","completion":{"values":[],"total":0,"hasMore":false}}`)
}

// named describes what a message is about, such as: the tool "delete_x".
func named(m *mcp.Message) string {
	switch {
	case m == nil || m.Form == mcp.Response:
		return "this server"
	case len(m.URIs) > 0:
		return "one of these resources"
	case m.Kind == mcp.NoKind || m.Kind == mcp.Task:
		return "the method " + message.Quoted(m.Method)
	}
	return "the " + m.Kind.String() + " " + message.Quoted(m.Name)
}

func lackingSentence(d policy.Decision, m *mcp.Message) string {
	word := "scopes"
	if len(d.Need) == 1 {
		word = "scope"
	}
	return fmt.Sprintf("To use %s, the access token needs the %s %s.", named(m), word, strings.Join(d.Need, " "))
}

// deniedSentence tells the client what it may know. The conditions that weren't met
// may name groups and users, so they appear only in the log.
func deniedSentence(d policy.Decision, m *mcp.Message) string {
	switch d.Reason {
	case policy.ReasonRequire:
		return "You may not use this server."
	case policy.ReasonFolded:
		return fmt.Sprintf("You may not use %s: write the name exactly as the server does.", named(m))
	case policy.ReasonURI:
		return fmt.Sprintf("You may not use %s: write the URI in normal form (RFC 3986, section 6.2).", named(m))
	case policy.ReasonArguments:
		return fmt.Sprintf("You may not use %s like this: the name of an argument can be taken for another.", named(m))
	case policy.ReasonWhen:
		return fmt.Sprintf("You may not use %s, or not like this.", named(m))
	case policy.ReasonTooMany:
		return "Too many resources in one subscription."
	default:
		return fmt.Sprintf("You may not use %s.", named(m))
	}
}
