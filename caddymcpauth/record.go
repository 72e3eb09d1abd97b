package caddymcpauth

import (
	"net/http"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/message"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
)

// record is a decision of the rules, as logs have it: who asked for what, which line
// decided, and why.
type record struct {
	Resource string
	// Anonymous says that there was no token.
	Anonymous bool
	// Issuer and Subject are the user; Key is the API key, if it was one.
	Issuer, Subject, Key string
	// Method and Name are what the client asked for, quoted and cut. Empty for
	// requests without a message.
	Method, Name string
	policy.Decision
}

// MarshalLogObject implements [zapcore.ObjectMarshaler].
func (r *record) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	for _, field := range [][2]string{
		{"resource", r.Resource},
		{"issuer", r.Issuer},
		{"subject", r.Subject},
		{"key", r.Key},
		{"mcp_method", r.Method},
		{"mcp_name", r.Name},
		{"outcome", r.Outcome.String()},
		{"reason", string(r.Reason)},
		{"rule", ruleName(r.Decision)},
		{"line", r.Rule.Text},
		{"missing", r.Missing},
		{"scopes", strings.Join(r.Need, " ")},
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
	return nil
}

// record counts and logs what the rules decided.
func (h *Handler) record(r *http.Request, d decision) {
	if d.judged == nil {
		return
	}
	j := d.judged
	rule := ruleName(j.decision)
	judged.WithLabelValues(h.Resource, methodLabel(j.message), rule, j.decision.Outcome.String()).Inc()
	if extra, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		for _, field := range [][2]string{
			{"mcp_auth_rule", rule},
			{"mcp_auth_missing", j.decision.Missing},
		} {
			if field[1] != "" {
				extra.Set(zap.String(field[0], field[1]))
			}
		}
	}
	level := zapcore.DebugLevel
	// Callers without a token must not fill the log.
	if j.decision.Outcome != policy.Allowed && !j.caller.Anonymous {
		level = zapcore.InfoLevel
	}
	if c := h.decision.Check(level, "decided"); c != nil {
		c.Write(zap.Inline(h.newRecord(j)))
	}
}

func (h *Handler) newRecord(j *operation) *record {
	rec := &record{
		Resource:  h.Resource,
		Anonymous: j.caller.Anonymous,
		Issuer:    j.caller.Issuer,
		Subject:   j.caller.Subject,
		Key:       j.caller.Key,
		Decision:  j.decision,
	}
	if m := j.message; m != nil {
		rec.Method = quotedOr(m.Method)
		rec.Name = quotedOr(m.Name)
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
