package caddymcpauth

import (
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/message"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
)

// decisionLog names the logger of decisions.
type decisionLog struct{}

// CaddyModule returns the ID from which Caddy derives the logger's name. It isn't
// a module that can be loaded.
func (decisionLog) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.mcp_auth.decision"}
}

// record is a decision about a request, as logs have it: who asked for what, which
// line decided, if rules did, and why. It has no token.
type record struct {
	Resource string
	// Anonymous says that the caller had no token and needed none, or was judged as one
	// without.
	Anonymous bool
	// Issuer and Subject are the user, Client is the OAuth client; Key is the API key, if
	// it was one.
	Issuer, Subject, Client, Key string
	// Method and Name are what the client asked for, quoted and cut. Empty for
	// requests whose message wasn't read.
	Method, Name string
	// Outcome is allowed; or refused; or, if a rule said no, how: denied, lacks_scope or
	// needs_token. Reason says why.
	Outcome, Reason string
	// Decision is that of the rules.
	Decision policy.Decision
	// Cause is more about a refusal. May be nil.
	Cause error
	// Duration is how long deciding took.
	Duration time.Duration
}

// MarshalLogObject implements [zapcore.ObjectMarshaler].
func (r *record) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	for _, field := range [][2]string{
		{"resource", r.Resource},
		{"issuer", r.Issuer},
		{"subject", r.Subject},
		{"client_id", r.Client},
		{"key", r.Key},
		{"mcp_method", r.Method},
		{"mcp_name", r.Name},
		{"outcome", r.Outcome},
		{"reason", r.Reason},
		{"rule", ruleName(r.Decision)},
		{"line", r.Decision.Rule.Text},
		{"missing", r.Decision.Missing},
		{"scopes", strings.Join(r.Decision.Need, " ")},
	} {
		if field[1] != "" {
			enc.AddString(field[0], field[1])
		}
	}
	if r.Anonymous {
		enc.AddBool("anonymous", true)
	}
	if r.Cause != nil {
		enc.AddString("cause", r.Cause.Error())
	}
	enc.AddDuration("duration", r.Duration)
	return nil
}

// record counts what the rules decided, and logs the decision, which took some time.
func (h *Handler) record(r *http.Request, d decision, took time.Duration) {
	level := zapcore.DebugLevel
	if j := d.judged; j != nil {
		h.recordRule(r, j)
		// Callers without a token must not fill the log.
		if j.decision.Outcome != policy.Allowed && !j.caller.Anonymous {
			level = zapcore.InfoLevel
		}
	}
	if c := h.decided.Check(level, "decided"); c != nil {
		c.Write(zap.Inline(h.newRecord(d, took)))
	}
}

// recordRule counts what the rules decided, and adds it to the access log.
func (h *Handler) recordRule(r *http.Request, j *operation) {
	rule := ruleName(j.decision)
	judged.WithLabelValues(h.Resource, methodLabel(j.message), rule, j.decision.Outcome.String()).Inc()
	extra, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields)
	if !ok {
		return
	}
	for _, field := range [][2]string{
		{"mcp_auth_rule", rule},
		{"mcp_auth_missing", j.decision.Missing},
	} {
		if field[1] != "" {
			extra.Set(zap.String(field[0], field[1]))
		}
	}
}

func (h *Handler) newRecord(d decision, took time.Duration) *record {
	rec := &record{Resource: h.Resource, Anonymous: d.outcome == acceptedAnonymous, Outcome: "allowed", Duration: took}
	if d.token != nil {
		rec.Issuer, rec.Subject = d.token.Issuer, d.token.Subject
		if client := d.reader().Token().ClientID; client != "" {
			rec.Client = message.Quoted(client)
		}
	}
	if ref := d.refusal; ref != nil {
		rec.Outcome, rec.Reason, rec.Cause = "refused", ref.reason, ref.cause
	}
	if j := d.judged; j != nil {
		rec.Key, rec.Anonymous = j.caller.Key, j.caller.Anonymous
		rec.Decision = j.decision
		if m := j.message; m != nil {
			rec.Method = quotedOr(m.Method)
			rec.Name = quotedOr(m.Name)
		}
		if j.decision.Outcome != policy.Allowed || d.refusal == nil {
			rec.Outcome, rec.Reason, rec.Cause = j.decision.Outcome.String(), string(j.decision.Reason), j.decision.Cause
		}
	}
	return rec
}

func quotedOr(s string) string {
	if s == "" {
		return ""
	}
	return message.Quoted(s)
}

// ruleName names the rule that decided, as in tools:3, or says why none did.
func ruleName(d policy.Decision) string {
	if d.Rule.Kind == "" {
		return string(d.Reason)
	}
	return d.Rule.String()
}

// methodLabel is the method as a label: one of a closed set.
func methodLabel(m *mcp.Message) string {
	switch {
	case m == nil:
		return "none"
	case m.Form == mcp.Response:
		return "response"
	case mcp.Known(m.Method):
		return m.Method
	case m.Form == mcp.Notification:
		return "notification"
	default:
		return "other"
	}
}
