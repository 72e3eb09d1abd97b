package authserver

import (
	"context"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/oauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/clientip"
)

// auditLog names the logger of what people and clients did.
type auditLog struct{}

// CaddyModule returns the ID from which Caddy derives the logger's name. It isn't
// a module that can be loaded.
func (auditLog) CaddyModule() caddy.ModuleInfo { return caddy.ModuleInfo{ID: "http.mcp_auth.audit"} }

// The events of the audit log.
const (
	auditSignIn       = "sign_in"
	auditSignOut      = "sign_out"
	auditConsent      = "consent"
	auditRegistration = "registration"
	auditToken        = "token"
	auditRevocation   = "revocation"
)

// auditOperator is the method of what an operator has ended through the admin API.
const auditOperator = "operator"

// deed is an event of the audit log: what a person or a client did here. It has no
// secret, and of people whom nobody knows no name: a password is easily typed into the
// wrong field.
type deed struct {
	// Event is one of the constants above. Outcome is ok, or why it failed; for a consent
	// approved, remembered or denied.
	Event, Outcome string
	// Method is how a user signed in: password, or the name of an upstream. For a token,
	// it is the grant type; for what an operator ended, [auditOperator].
	Method string
	// User is the subject in tokens, and Client is the client_id.
	User, Client string
	// Resource and Scopes are what a consent is for.
	Resource string
	Scopes   []string
	// Detail is more about a failure. May be empty.
	Detail string
}

// MarshalLogObject implements [zapcore.ObjectMarshaler].
func (d *deed) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	for _, field := range [][2]string{
		{"event", d.Event},
		{"outcome", d.Outcome},
		{"method", d.Method},
		{"user", cut(d.User)},
		{"client_id", cut(d.Client)},
		{"resource", d.Resource},
		{"scopes", strings.Join(d.Scopes, " ")},
		{"detail", d.Detail},
	} {
		if field[1] != "" {
			enc.AddString(field[0], field[1])
		}
	}
	return nil
}

// cut bounds an identifier that a client chose.
func cut(s string) string {
	if len(s) > maxLogged {
		return s[:maxLogged] + "..."
	}
	return s
}

// audit writes d to the audit log. What only a known user can cause is at INFO. The rest
// is at DEBUG, because strangers must not fill the log: failures, registrations, and
// tokens, which clients get all the time.
func (h *Handler) audit(ctx context.Context, d *deed) {
	level := zapcore.DebugLevel
	switch d.Event {
	case auditSignOut, auditRevocation, auditConsent:
		level = zapcore.InfoLevel
	case auditSignIn:
		if d.Outcome == "ok" {
			level = zapcore.InfoLevel
		}
	}
	if c := h.audited.Check(level, d.Event); c != nil {
		c.Write(zap.String("issuer", h.Issuer), zap.Inline(d), zap.String("client_ip", clientip.Of(ctx)))
	}
}

// tried counts an attempt to sign in and writes it to the audit log.
func (h *Handler) tried(ctx context.Context, method, outcome, user string, cause error) {
	signIns.WithLabelValues(h.Issuer, method, outcome).Inc()
	d := &deed{Event: auditSignIn, Outcome: outcome, Method: method, User: user}
	if cause != nil {
		d.Detail = cause.Error()
	}
	h.audit(ctx, d)
}

// auditEndpoint writes what happened at an endpoint to the audit log.
func (h *Handler) auditEndpoint(ctx context.Context, e oauth.Event) {
	d := &deed{Outcome: "ok", User: e.Subject, Client: e.Client, Method: e.Grant}
	switch e.Endpoint {
	case "token":
		d.Event = auditToken
	case "register":
		d.Event = auditRegistration
	case "revoke":
		d.Event = auditRevocation
		if e.Subject == "" {
			return // nothing of that name was there, or it was revoked before
		}
	default:
		return
	}
	if e.Err != nil {
		d.Outcome, d.Detail = e.Err.Code, e.Err.Error()
	}
	h.audit(ctx, d)
}

func (h *Handler) auditConsent(ctx context.Context, outcome string, user *oauth.User, a *oauth.Authorization) {
	h.audit(ctx, &deed{Event: auditConsent, Outcome: outcome, User: user.Subject, Client: a.ClientID, Resource: a.Resource, Scopes: a.Scopes})
}

// knownName returns the name if it is that of a user here.
func (h *Handler) knownName(name string) string {
	if h.users[name] == nil {
		return ""
	}
	return name
}
