// Package audit has the log of what people and clients did at an authorization server
// or a façade: sign-ins, consents, registrations, tokens, revocations.
package audit

import (
	"context"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/clientip"
)

// The kinds of events.
const (
	SignIn       = "sign_in"
	SignOut      = "sign_out"
	Consent      = "consent"
	Registration = "registration"
	Token        = "token"
	Revocation   = "revocation"
)

// OK is the outcome of what succeeded.
const OK = "ok"

// Operator is the method of what an operator has ended through the admin API.
const Operator = "operator"

// Event is what a person or a client did. It has no secret, and of people whom nobody
// knows no name: a password is easily typed into the wrong field.
type Event struct {
	// Kind is one of the constants above. Outcome is [OK], or why it failed; for a consent
	// approved, remembered or denied.
	Kind, Outcome string
	// Method is how a user signed in: password, or the name of an upstream. For a token,
	// it is the grant type; for what an operator ended, [Operator].
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
func (e *Event) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	for _, field := range [][2]string{
		{"event", e.Kind},
		{"outcome", e.Outcome},
		{"method", e.Method},
		{"user", Cut(e.User)},
		{"client_id", Cut(e.Client)},
		{"resource", e.Resource},
		{"scopes", strings.Join(e.Scopes, " ")},
		{"detail", e.Detail},
	} {
		if field[1] != "" {
			enc.AddString(field[0], field[1])
		}
	}
	return nil
}

// MaxIdentifier bounds an identifier in a log, in bytes. Those of clients that
// registered themselves are longer.
const MaxIdentifier = 128

// Cut returns an identifier, cut if it is longer than [MaxIdentifier].
func Cut(s string) string {
	if len(s) > MaxIdentifier {
		return s[:MaxIdentifier] + "..."
	}
	return s
}

// module names the logger.
type module struct{}

// CaddyModule returns the ID from which Caddy derives the logger's name. It isn't
// a module that can be loaded.
func (module) CaddyModule() caddy.ModuleInfo { return caddy.ModuleInfo{ID: "http.mcp_auth.audit"} }

// Log is the audit log of an authorization server.
type Log struct {
	logger *zap.Logger
	issuer string
}

// New returns the audit log of issuer in a configuration.
func New(ctx caddy.Context, issuer string) Log { return To(ctx.Logger(module{}), issuer) }

// To returns an audit log that writes to logger.
func To(logger *zap.Logger, issuer string) Log { return Log{logger, issuer} }

// Write writes e, which a request with the context ctx caused. What only a known user
// can cause is at INFO. The rest is at DEBUG, because strangers must not fill the log:
// failures, registrations, and tokens, which clients get all the time.
func (l Log) Write(ctx context.Context, e *Event) {
	level := zapcore.DebugLevel
	switch e.Kind {
	case SignOut, Revocation, Consent:
		if e.User != "" {
			level = zapcore.InfoLevel
		}
	case SignIn:
		if e.Outcome == OK {
			level = zapcore.InfoLevel
		}
	}
	if c := l.logger.Check(level, e.Kind); c != nil {
		c.Write(zap.String("issuer", l.issuer), zap.Inline(e), zap.String("client_ip", clientip.Of(ctx)))
	}
}

// Interface guard
var _ zapcore.ObjectMarshaler = (*Event)(nil)
