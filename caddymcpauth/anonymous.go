package caddymcpauth

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth/identity"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/message"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/throttle"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// provisionLazy checks the option anonymous and what depends on it.
func (h *Handler) provisionLazy() error {
	if !h.Anonymous {
		if rule, found := h.Rules.Anonymous(); found {
			return fmt.Errorf("%s line %d (%s): callers without a token don't get that far: add the option `anonymous`, which opens the base protocol and the lists to them, or take `anonymous` out of the line", rule.Kind, rule.Number, rule.Text)
		}
		return nil
	}
	h.anonymousReads = message.NewTurns()
	h.anonymous = decisions.WithLabelValues(h.Resource, "anonymous")
	return nil
}

// isAnonymous reports whether r may be from a caller who hasn't signed in. The
// sender of a bad or misplaced token is not such a caller.
//
// Only the resource itself is open. Other paths that the matcher covers may not
// lead to an MCP server, and what is there might act on a request even if its
// message is harmless.
func (h *Handler) isAnonymous(r *http.Request) bool {
	if !h.Anonymous || len(r.Header["Authorization"]) > 0 || hasQueryToken(r.URL.RawQuery) || !h.isResource(r) {
		return false
	}
	switch r.Method {
	case http.MethodPost, http.MethodDelete:
		return true
	case http.MethodGet:
		// A stream of older revisions, not a page.
		return strings.Contains(strings.Join(r.Header["Accept"], ","), "text/event-stream")
	}
	return false
}

// isResource reports whether r is for the resource, by its original path or by its
// path after a prefix was stripped.
func (h *Handler) isResource(r *http.Request) bool {
	same := func(path string) bool {
		want := strings.TrimPrefix(h.resource.MetadataPath(), resource.WellKnown)
		return strings.TrimSuffix(path, "/") == strings.TrimSuffix(want, "/")
	}
	if same(r.URL.EscapedPath()) {
		return true
	}
	original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	return ok && original.URL != nil && same(original.URL.EscapedPath())
}

// judgeAnonymous lets the rules decide about a request without a token. It records
// the result in d, and returns a refusal unless the rules allow the request.
func (h *Handler) judgeAnonymous(r *http.Request, d *decision) *refusal {
	j := &operation{caller: &policy.Caller{Anonymous: true}}
	if ref := checkVerb(r); ref != nil {
		return h.refuseUnread(ref)
	}
	if r.Method != http.MethodPost {
		if h.sessions == nil {
			// The events that a stream missed may be answers to a user who has signed
			// in.
			maps.DeleteFunc(r.Header, func(name string, _ []string) bool { return web.SameHeader(name, "Last-Event-Id") })
		}
		d.judged = j
		j.decision = h.policy.Admit(j.caller)
		return h.refuseOperation(r, j)
	}
	m, ref := h.readAnonymous(r)
	if ref == nil {
		ref = h.checkParams(r, m)
	}
	if ref != nil {
		return h.refuseUnread(ref)
	}
	d.judged = j
	j.message = m
	j.decision = h.policy.Decide(j.caller, m)
	return h.refuseOperation(r, j)
}

// readAnonymous reads a message when it is the turn of the client's network.
func (h *Handler) readAnonymous(r *http.Request) (*mcp.Message, *refusal) {
	if r.ContentLength > message.MaxUnknown {
		return nil, refuseMessage(message.TooLarge())
	}
	release, err := h.anonymousReads.Take(r, h.client(r))
	if err != nil {
		return nil, refuseBusy(err)
	}
	defer release()
	return h.readMessage(r, min(h.MaxBody, message.MaxUnknown))
}

// reasonBusy is the reason of a refusal because too many strangers ask.
const reasonBusy = "busy"

func refuseBusy(err error) *refusal {
	ref := &refusal{
		status:     http.StatusServiceUnavailable,
		reason:     reasonBusy,
		code:       codeUnavailable,
		sentence:   "Too many requests without an access token. Sign in, or try again.",
		retryAfter: defaultRetryAfter,
		cause:      err,
	}
	if busy, ok := errors.AsType[*throttle.BusyError](err); ok && busy.Own {
		ref.status = http.StatusTooManyRequests
	}
	return ref
}

// refuseUnread returns the answer to a request without a token whose message can't
// be judged because of ref: it needs a token. With a token, the client either gets
// through, since the limits are higher, or learns what is wrong.
func (h *Handler) refuseUnread(ref *refusal) *refusal {
	if ref.reason == reasonBusy {
		return ref
	}
	signIn := refuseNoCredentials().about(h.firstScopes(nil))
	signIn.cause, signIn.bodyRead = ref.cause, ref.bodyRead
	return signIn
}

// firstScopes returns the scopes that a client which has to sign in asks for: those of
// every request, those that this one needs, and those that are offered.
func (h *Handler) firstScopes(needed []string) []string {
	return union(h.signInScopes(needed), h.Offer)
}

// signInScopes returns the scopes that a user who signs in needs for a request: those of
// every request, and those of this one.
func (h *Handler) signInScopes(needed []string) []string {
	return h.scopesFor(h.required, needed)
}

// admitAnonymous hands the request on with no identity.
func (h *Handler) admitAnonymous(w http.ResponseWriter, r *http.Request, d decision, next caddyhttp.Handler) error {
	h.anonymous.Inc()
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	repl.DeleteByPrefix(userPlaceholders)
	repl.Map(userPlaceholder(r.Context()))
	identity.Set(r.Context(), nil)
	h.headerNames.Scrub(r)
	h.removeCredentials(r)
	return h.streams.Serve(w, r, d.message(), nil, h.bound(d, h.filtered(d, next)))
}

// hurry sets a time limit for the message of r if its sender hasn't signed in.
func (h *Handler) hurry(w http.ResponseWriter, r *http.Request) {
	if h.isAnonymous(r) && r.Body != nil {
		r.Body = &hurried{ReadCloser: r.Body, control: http.NewResponseController(w)}
	}
}

// hurried is a body that must arrive within [message.Wait] of its first read.
type hurried struct {
	io.ReadCloser
	control *http.ResponseController
	begun   bool
}

// Read implements [io.Reader].
func (b *hurried) Read(p []byte) (int, error) {
	if !b.begun {
		b.begun = true
		// If deadlines aren't supported, the server's own timeouts apply.
		_ = b.control.SetReadDeadline(time.Now().Add(message.Wait))
	}
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
