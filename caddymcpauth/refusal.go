package caddymcpauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/unread"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// refusal is why a request isn't let in. The client gets an OAuth error code and a
// fixed sentence; the cause is for the log.
type refusal struct {
	status int
	// reason is one of a closed set: a metric's label, a log field.
	reason string
	// code is the OAuth error code (RFC 6750, section 3.1); empty where there
	// is none to give.
	code string
	// sentence tells the client what to do.
	sentence string
	// challenge says whether the answer has a WWW-Authenticate header.
	challenge bool
	// byProof says that the request used the DPoP scheme.
	byProof bool
	// scopes are all the scopes that the refused request needs. The challenge
	// names them.
	scopes     []string
	retryAfter time.Duration
	// rpc is the code of the JSON-RPC error that the answer has in its body; 0 if
	// the body is that of an OAuth error. id is the message's id as it came, nil if
	// it has none or it couldn't be read.
	rpc int
	id  json.RawMessage
	// result is the body of an answer that is no error.
	result json.RawMessage
	// claims is the claims challenge of the authorization server, a JSON object.
	claims string
	// bodyRead says that the request's body was read to its end.
	bodyRead bool
	// cause goes to the log only.
	cause error
}

// about returns the refusal with the scopes that the request needs.
func (ref *refusal) about(scopes []string) *refusal {
	ref.scopes = scopes
	return ref
}

// The error codes of RFC 6750, section 3.1.
const (
	codeInvalidRequest    = "invalid_request"
	codeInvalidToken      = "invalid_token"
	codeInsufficientScope = "insufficient_scope"

	// codeUnavailable is that of RFC 6749, section 4.1.2.1.
	codeUnavailable = "temporarily_unavailable"
)

// reasonNoCredentials is the reason of a refusal because there is no token.
const reasonNoCredentials = "no_credentials"

func refuseNoCredentials() *refusal {
	return &refusal{
		status:    http.StatusUnauthorized,
		reason:    reasonNoCredentials,
		sentence:  "Sign in first: send an access token from one of the authorization servers in the resource metadata.",
		challenge: true,
	}
}

func refuseRequest(cause string) *refusal {
	return &refusal{
		status:    http.StatusBadRequest,
		reason:    codeInvalidRequest,
		code:      codeInvalidRequest,
		sentence:  "Send exactly one access token, in the Authorization header.",
		challenge: true,
		cause:     errors.New(cause),
	}
}

const scopeSentence = "The access token lacks a scope that this request needs."

func refuseScope() *refusal {
	return &refusal{
		status:    http.StatusForbidden,
		reason:    codeInsufficientScope,
		code:      codeInsufficientScope,
		sentence:  scopeSentence,
		challenge: true,
	}
}

func refuseOrigin() *refusal {
	return &refusal{
		status:   http.StatusForbidden,
		reason:   "origin",
		code:     "origin_not_allowed",
		sentence: "Web pages from this origin may not use this MCP server.",
	}
}

// defaultRetryAfter is told to clients when no better time is known.
const defaultRetryAfter = 5 * time.Second

// refuseToken turns a verifier's error into a refusal. If it isn't certain that
// the token is bad, it counts as an outage: a 401 would make clients throw away
// good tokens and send their users to an authorization server that is not there.
func refuseToken(err error) *refusal {
	if inv, ok := errors.AsType[*token.InvalidError](err); ok {
		reason := inv.Reason
		if !reason.Known() {
			reason = "other" // from a third-party verifier: labels are a closed set
		}
		return &refusal{
			status:    http.StatusUnauthorized,
			reason:    string(reason),
			code:      codeInvalidToken,
			sentence:  invalidSentence(inv.Reason),
			challenge: true,
			cause:     err,
		}
	}
	ref := &refusal{
		status:     http.StatusServiceUnavailable,
		reason:     "unavailable",
		code:       codeUnavailable,
		sentence:   "The access token could not be checked right now. Keep it and try again.",
		retryAfter: defaultRetryAfter,
		cause:      err,
	}
	if unavailable, ok := errors.AsType[*token.UnavailableError](err); ok && unavailable.RetryAfter > 0 {
		ref.retryAfter = unavailable.RetryAfter
	}
	return ref
}

func invalidSentence(reason token.Reason) string {
	switch reason {
	case token.Expired:
		return "The access token has expired."
	case token.WrongAudience:
		return "The access token was issued for another resource."
	case token.UnknownIssuer:
		return "The access token is not from an authorization server that this resource accepts."
	case token.WrongType:
		return "This is not an access token."
	default:
		return "The access token is not valid."
	}
}

// refuse answers a request that isn't let in. It does not read the request's
// body: refusing a large upload costs nothing.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, ref *refusal) error {
	if !ref.bodyRead {
		unread.Answer(w, r)
	}
	decisions.WithLabelValues(h.Resource, ref.reason).Inc()
	if extra, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Add(zap.String("mcp_auth_refusal", ref.reason))
		if ref.cause != nil {
			extra.Add(zap.NamedError("mcp_auth_cause", ref.cause))
		}
	}
	header := w.Header()
	if ref.challenge {
		header.Set("WWW-Authenticate", h.challenge(ref))
	}
	if ref.retryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(ref.retryAfter.Seconds()))))
	}
	if ref.status == http.StatusMethodNotAllowed {
		header.Set("Allow", "POST, GET, HEAD, DELETE")
	}
	if h.land(w, r, ref) {
		return nil
	}
	body, err := ref.body()
	if err != nil {
		return err
	}
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(ref.status)
	// The client may be gone; there is nothing left to do.
	_, _ = w.Write(body) //nolint:gosec // it is JSON, and the header says so
	return nil
}

// challenge returns the challenge of a refusal.
func (h *Handler) challenge(ref *refusal) string {
	c := resource.Challenge{
		MetadataURL: h.resource.MetadataURL(),
		Scopes:      ref.scopes,
		Error:       ref.code,
		Claims:      ref.claims,
		DPoP:        h.dpopChallenge(ref),
	}
	switch {
	case ref.code == codeInvalidProof || ref.code == codeUseNonce:
		c.Error = "" // says nothing about bearer tokens
	case ref.code != "" && !ref.byProof:
		// With the DPoP scheme it is in that challenge. The code is in both, because
		// clients of MCP look for insufficient_scope here.
		c.Description = ref.description()
	}
	return c.String()
}

// description is the sentence of a challenge. That of a JSON-RPC error may have the
// name of a tool in it, which the client has chosen.
func (ref *refusal) description() string {
	if ref.rpc != 0 && ref.code == codeInsufficientScope {
		return scopeSentence
	}
	return ref.sentence
}

// body returns the body of the answer: an OAuth error, or an answer in JSON-RPC.
func (ref *refusal) body() ([]byte, error) {
	if ref.rpc == 0 && ref.result == nil {
		code := ref.code
		if code == "" {
			code = "unauthorized"
		}
		return json.Marshal(struct {
			Error       string `json:"error"`
			Description string `json:"error_description"`
		}{code, ref.sentence})
	}
	type rpcError struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	answer := struct {
		JSONRPC string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id,omitempty"` // byte for byte: a number may be larger than a float64 can hold
		Result  json.RawMessage `json:"result,omitempty"`
		Error   *rpcError       `json:"error,omitempty"`
	}{JSONRPC: "2.0", ID: ref.id, Result: ref.result}
	if ref.result == nil {
		answer.Error = &rpcError{ref.rpc, ref.sentence}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // it would change the id
	err := enc.Encode(answer)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
