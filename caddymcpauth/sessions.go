package caddymcpauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/clientip"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/option"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/storage"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/session"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// The values of the option sessions.
const (
	sessionsBound = "bound"
	sessionsOff   = "off"
)

// provisionSessions sets up what binds sessions to users. The key is loaded when a
// session needs it, not here: the storage may be away, and most servers have no
// sessions.
func (h *Handler) provisionSessions(ctx caddy.Context) error {
	switch h.Sessions {
	case "", sessionsBound:
	case sessionsOff:
		return nil
	default:
		return fmt.Errorf("sessions is %q, but can only be %s or %s", h.Sessions, sessionsBound, sessionsOff)
	}
	state, err := h.acquireSessions(ctx.Storage())
	if err != nil {
		return fmt.Errorf("sessions: %w", err)
	}
	records := storage.New(ctx.Storage(), "mcp_auth", h.Resource)
	secret := storage.NewSecret(records, "")
	h.sessions = &session.Binder{
		Key: func(ctx context.Context) (*session.Key, error) { return state.key(ctx, secret) },
		Takeovers: &session.Takeovers{
			Store: records,
			Known: &state.known,
			Allow: func(ctx context.Context) bool { return state.takeovers.Take(clientip.Of(ctx)) == 0 },
			Now:   time.Now,
		},
		Now: time.Now,
	}
	if h.Anonymous { // otherwise every session begins with its user
		h.startSweeping(ctx)
	}
	return nil
}

// sessionsOption reads `sessions bound | off`.
func (h *Handler) sessionsOption(d *caddyfile.Dispenser) error {
	if h.Sessions != "" {
		return option.Twice(d, "sessions")
	}
	if !d.AllArgs(&h.Sessions) || h.Sessions != sessionsBound && h.Sessions != sessionsOff {
		return d.Err("sessions takes bound, so that each belongs to the user who began it, or off" + option.Unset)
	}
	return nil
}

// startSweeping removes the records of old sessions from time to time, until the
// configuration is replaced.
func (h *Handler) startSweeping(ctx caddy.Context) {
	lifetime, stop := context.WithCancel(ctx)
	h.registered.Add(stop)
	logger := ctx.Logger()
	go func() {
		// The first sweep comes later: validating a configuration provisions it too.
		for after := 10 * time.Minute; ; after = 6 * time.Hour {
			timer := time.NewTimer(after)
			select {
			case <-lifetime.Done():
				timer.Stop()
				return
			case <-timer.C:
				if err := h.sessions.Takeovers.Sweep(lifetime); err != nil && lifetime.Err() == nil {
					logger.Warn("removing the records of old sessions failed", zap.String("resource", h.Resource), zap.Error(err))
				}
			}
		}
	}()
}

// judgeSession checks that the session which r belongs to, if it does to any, is its
// sender's. It records the result in d, and returns a refusal if the session is not.
//
// This is the last step, because it may make a session that began without a user the
// sender's own.
func (h *Handler) judgeSession(r *http.Request, d *decision) *refusal {
	if h.sessions == nil {
		return nil
	}
	handles, err := session.Read(r.Header, r.URL.RawQuery)
	if err == nil {
		d.session, err = h.sessions.Bind(r.Context(), owner(d.token), handles)
	}
	if err == nil {
		return nil
	}
	ref := refuseSession(err)
	if m := d.message(); m != nil {
		ref.id, ref.bodyRead = m.ID, true
	}
	return ref
}

// owner returns the sender of a request with the token t, which may be nil.
func owner(t *token.Token) session.Owner {
	if t == nil {
		return session.Owner{}
	}
	return session.Owner{Issuer: t.Issuer, Subject: t.Subject}
}

// rpcNoSession is the code of JSON-RPC errors about a session that a caller can't use;
// see [rpcForbidden].
const rpcNoSession = 404

// refuseSession returns the answer to a request whose session can't be used because of
// err. Other users' sessions don't exist: with 404 a client starts a new one (MCP
// 2025-11-25, transports, session management).
func refuseSession(err error) *refusal {
	bad, ok := errors.AsType[*session.Error](err)
	switch {
	case !ok:
		return &refusal{
			status:     http.StatusServiceUnavailable,
			reason:     "session_unavailable",
			code:       "temporarily_unavailable",
			sentence:   "The session could not be checked right now. Keep it and try again.",
			retryAfter: defaultRetryAfter,
			cause:      err,
		}
	case bad.Reason == session.Ambiguous:
		return &refusal{
			status:   http.StatusBadRequest,
			reason:   "session",
			code:     codeInvalidRequest,
			sentence: "Name exactly one session.",
			cause:    err,
		}
	}
	return &refusal{
		status:   http.StatusNotFound,
		reason:   "session",
		rpc:      rpcNoSession,
		sentence: "There is no such session. Start a new one.",
		cause:    err,
	}
}

// bound returns next with the handles of sessions in the request without their tags, and
// those in its answer with them.
func (h *Handler) bound(d decision, next caddyhttp.Handler) caddyhttp.Handler {
	if d.session.IsZero() {
		return next
	}
	return &sessionWriter{door: h, binding: d.session, message: d.message(), next: next}
}

// explainSessions says whose the sessions of the server are.
func (e explainer) explainSessions(x *explanation) {
	step := token.Step{Rule: "sessions", Outcome: token.Passed, Detail: "bound: a session is good for the user who began it; to others it doesn't exist (404)"}
	if e.sessions == nil {
		step.Detail = "off: a session is good for every caller who knows its id"
	}
	x.add(step)
}
