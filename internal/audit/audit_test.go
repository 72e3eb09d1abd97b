package audit_test

import (
	"maps"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/audit"
)

// Only what a known user can cause is at INFO.
func TestLevels(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		event audit.Event
		want  zapcore.Level
	}{
		{audit.Event{Kind: audit.SignIn, Outcome: audit.OK, User: "ada"}, zapcore.InfoLevel},
		{audit.Event{Kind: audit.SignIn, Outcome: "wrong", User: "ada"}, zapcore.DebugLevel},
		{audit.Event{Kind: audit.SignIn, Outcome: "throttled"}, zapcore.DebugLevel},
		{audit.Event{Kind: audit.Consent, Outcome: "approved", User: "ada"}, zapcore.InfoLevel},
		{audit.Event{Kind: audit.Consent, Outcome: "approved"}, zapcore.DebugLevel},
		{audit.Event{Kind: audit.SignOut, Outcome: audit.OK, User: "ada"}, zapcore.InfoLevel},
		{audit.Event{Kind: audit.SignOut, Outcome: audit.OK}, zapcore.DebugLevel},
		{audit.Event{Kind: audit.Revocation, Outcome: audit.OK, User: "ada", Client: "c"}, zapcore.InfoLevel},
		{audit.Event{Kind: audit.Registration, Outcome: audit.OK, Client: "c"}, zapcore.DebugLevel},
		{audit.Event{Kind: audit.Token, Outcome: audit.OK, User: "ada"}, zapcore.DebugLevel},
	} {
		core, logs := observer.New(zapcore.DebugLevel)
		audit.To(zap.New(core), "https://as.example").Write(t.Context(), &test.event)
		if all := logs.All(); len(all) != 1 || all[0].Level != test.want || all[0].ContextMap()["issuer"] != "https://as.example" {
			t.Errorf("%+v: got %v, want one at %s, with the issuer", test.event, all, test.want)
		}
	}
}

// Fields without a value are left out, and identifiers that clients made are cut.
func TestFields(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1000)
	enc := zapcore.NewMapObjectEncoder()
	e := audit.Event{Kind: audit.Consent, Outcome: "denied", Client: long, Scopes: []string{"a", "b"}}
	if err := e.MarshalLogObject(enc); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"event": "consent", "outcome": "denied", "client_id": long[:128] + "...", "scopes": "a b"}
	if !maps.Equal(enc.Fields, want) {
		t.Errorf("got %v, want %v", enc.Fields, want)
	}
}
