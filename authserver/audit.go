package authserver

import (
	"context"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/audit"
)

// tried counts an attempt to sign in and writes it to the audit log.
func (h *Handler) tried(ctx context.Context, method, outcome, user string, cause error) {
	signIns.WithLabelValues(h.Issuer, method, outcome).Inc()
	d := &audit.Event{Kind: audit.SignIn, Outcome: outcome, Method: method, User: user}
	if cause != nil {
		d.Detail = cause.Error()
	}
	h.audited.Write(ctx, d)
}

// auditEndpoint writes what happened at an endpoint to the audit log.
func (h *Handler) auditEndpoint(ctx context.Context, e oauth.Event) {
	d := &audit.Event{Outcome: audit.OK, User: e.Subject, Client: e.Client, Method: e.Grant}
	switch e.Endpoint {
	case "token":
		d.Kind = audit.Token
	case "register":
		d.Kind = audit.Registration
	case "revoke":
		d.Kind = audit.Revocation
		if e.Subject == "" {
			return // nothing of that name was there, or it was revoked before
		}
	default:
		return
	}
	if e.Err != nil {
		d.Outcome, d.Detail = e.Err.Code, e.Err.Error()
	}
	h.audited.Write(ctx, d)
}

func (h *Handler) auditConsent(ctx context.Context, outcome string, user *oauth.User, a *oauth.Authorization) {
	h.audited.Write(ctx, &audit.Event{Kind: audit.Consent, Outcome: outcome, User: user.Subject, Client: a.ClientID, Resource: a.Resource, Scopes: a.Scopes})
}

// knownName returns the name if it is that of a user here.
func (h *Handler) knownName(name string) string {
	if h.users[name] == nil {
		return ""
	}
	return name
}
