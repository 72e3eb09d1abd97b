package caddymcpauth_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
)

// Methods and rules are labels; what a client made up is not.
func TestPolicyMetrics(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	resource := ownResource(issuer)
	s := serve(t, strings.Replace(frontDoor(issuer.Issuer(), "tools a\ntools b need scope s\nmethods acme/*"), testResource, resource, 1), nil)
	raw := issuer.Mint(map[string]any{"aud": resource})
	for _, body := range []string{
		toolCall("a", "{}"), toolCall("a", "{}"), toolCall("b", "{}"), toolCall("made_up", "{}"),
		rpc("acme/made_up", "{}"), rpc("made/up", "{}"), rpc("tools/list", "{}"),
		`{"jsonrpc":"2.0","method":"notifications/made_up"}`, `{"jsonrpc":"2.0","id":1,"result":{}}`,
	} {
		s.post(t, raw, body)
	}
	s.do(t, "GET", "/mcp", bearer(raw)...)
	want := map[string]float64{
		"method=tools/call outcome=allowed resource=IT rule=tools:1":     2,
		"method=tools/call outcome=lacks_scope resource=IT rule=tools:2": 1,
		"method=tools/call outcome=denied resource=IT rule=unnamed":      1,
		"method=other outcome=allowed resource=IT rule=methods:1":        1,
		"method=other outcome=denied resource=IT rule=unknown":           1,
		"method=tools/list outcome=allowed resource=IT rule=open":        1,
		"method=notification outcome=allowed resource=IT rule=open":      1,
		"method=response outcome=allowed resource=IT rule=open":          1,
		"method=none outcome=allowed resource=IT rule=open":              1,
	}
	if got := counts(t, s.config, "caddy_mcp_auth_policy_decisions_total", resource); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	refused := counts(t, s.config, "caddy_mcp_auth_decisions_total", resource)
	if got := refused["decision=policy resource=IT"]; got != 2 {
		t.Errorf("got %v refusals by policy, want 2: %v", got, refused)
	}
}

// A log line says who asked for what, which line decided and why, and has nothing of
// the client's that isn't quoted and cut.
func TestDecisionRecord(t *testing.T) {
	t.Parallel()
	d := policy.Decision{
		Outcome: policy.LacksScope, Reason: policy.ReasonScope, Need: []string{"a", "b"}, Missing: "scope b",
		Rule: policy.Rule{Kind: "tools", Number: 3, Text: "tools x* need scope a b"}, Cause: errors.New("why"),
	}
	long := "x\n" + strings.Repeat("é", 200)
	enc := zapcore.NewMapObjectEncoder()
	rec := caddymcpauth.NewRecord(&policy.Caller{Subject: "alice", Issuer: "https://as.example.com"}, &mcp.Message{Method: "tools/call", Kind: mcp.Tool, Name: long}, d)
	if err := rec.MarshalLogObject(enc); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"resource": testResource, "issuer": "https://as.example.com", "subject": "alice",
		"mcp_method": `"tools/call"`, "mcp_name": `"x\n` + strings.Repeat("é", 63) + `…"`,
		"outcome": "lacks_scope", "reason": "scope", "rule": "tools:3", "line": "tools x* need scope a b",
		"missing": "scope b", "scopes": "a b", "cause": "why",
	}
	if !maps.Equal(enc.Fields, want) {
		t.Errorf("got\n%v\nwant\n%v", enc.Fields, want)
	}
}
