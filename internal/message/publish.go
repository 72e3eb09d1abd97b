package message

import (
	"context"
	"strconv"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

// variable is the request variable that holds the message that was read last.
const variable = "mcp_message"

// publish makes the message known to later handlers and to the access log.
func (m *Message) publish(ctx context.Context) {
	if caddyhttp.GetVar(ctx, variable) == nil {
		if repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
			repl.Map(placeholder(ctx))
		}
	}
	caddyhttp.SetVar(ctx, variable, m)
	if extra, ok := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		// Both in one, which is written out only if the request is logged. The key is for
		// Set: it replaces the field of a message that was read before.
		extra.Set(zap.Field{Key: variable, Type: zapcore.InlineMarshalerType, Interface: (*fields)(m)})
	}
}

// fields are those of a message in the access log.
type fields Message

// MarshalLogObject implements [zapcore.ObjectMarshaler].
func (f *fields) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	for _, field := range [][2]string{{"mcp_method", f.Method}, {"mcp_name", f.Name}} {
		if field[1] != "" {
			enc.AddString(field[0], Quoted(field[1]))
		}
	}
	return nil
}

// forget withdraws what was published, because the request now has another body.
func forget(ctx context.Context) {
	if caddyhttp.GetVar(ctx, variable) != nil {
		caddyhttp.SetVar(ctx, variable, &Message{Message: new(mcp.Message)})
	}
}

// placeholder returns a replacer function for {http.mcp.*} in the request with the
// context ctx. Values are looked up when asked for, and not expanded again.
func placeholder(ctx context.Context) caddy.ReplacerFunc {
	return func(key string) (any, bool) {
		name, ok := strings.CutPrefix(key, "http.mcp.")
		if !ok {
			return nil, false
		}
		m, ok := caddyhttp.GetVar(ctx, variable).(*Message)
		if !ok {
			return nil, false
		}
		switch name {
		case "method":
			return m.Method, true
		case "name":
			return m.Name, true
		case "tool", "prompt", "resource":
			if m.Kind.String() != name {
				return "", true
			}
			return m.Name, true
		}
		return nil, false
	}
}

// maxShown bounds, in bytes, how much of a name chosen by a client is repeated.
const maxShown = 128

// Quoted returns a client's text in a form that is safe in logs and sentences: its
// first 128 bytes, quoted.
func Quoted(s string) string {
	if len(s) > maxShown {
		s = strings.ToValidUTF8(s[:maxShown], "") + "…"
	}
	return strconv.QuoteToGraphic(s)
}
