package facade

import (
	"fmt"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	zaptest "go.uber.org/zap/zaptest/observer"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/audit"
)

// auditLog returns what is in the audit log since the last call.
func (s *site) auditLog() func() string {
	core, logs := zaptest.New(zapcore.DebugLevel)
	s.audited = audit.To(zap.New(core), issuer)
	return func() string {
		var b strings.Builder
		for _, entry := range logs.TakeAll() {
			f := entry.ContextMap()
			fmt.Fprintln(&b, entry.Level, f["issuer"], f["event"], f["outcome"], f["client_id"])
		}
		return b.String()
	}
}

// Registrations and consents are in the audit log, at DEBUG: here nobody has signed in
// yet, so anyone can cause them.
func TestAudit(t *testing.T) {
	t.Parallel()
	r := newRegistering(t)
	logged := r.auditLog()
	r.register(`{"redirect_uris":["http://127.0.0.1:1/cb"],"token_endpoint_auth_method":"none"}`)
	if got, want := logged(), "debug "+issuer+" registration ok c\n"; got != want {
		t.Errorf("registered: got %q, want %q", got, want)
	}
	r.register(`{"redirect_uris":["http://evil.example/cb"],"token_endpoint_auth_method":"none"}`)
	if got, want := logged(), "debug "+issuer+" registration invalid_redirect_uri <nil>\n"; got != want {
		t.Errorf("refused: got %q, want %q", got, want)
	}

	s := newSite(t, shared)
	logged = s.auditLog()
	client := good().Get("client_id")
	for decision, outcome := range map[string]string{"allow": "approved", "deny": "denied"} {
		p := s.person()
		p.answer(p.get("/o/authorize/?"+good("redirect_uri", claude).Encode()), decision)
		if got, want := logged(), "debug "+issuer+" consent "+outcome+" "+client+"\n"; got != want {
			t.Errorf("%s: got %q, want %q", decision, got, want)
		}
	}
}
