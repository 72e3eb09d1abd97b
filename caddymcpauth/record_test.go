package caddymcpauth_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
)

// Methods and rules are labels; what a client made up is not.
func TestPolicyMetrics(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	resource := ownResource()
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
	rec := caddymcpauth.NewRecord(&policy.Caller{Subject: "alice", Issuer: "https://as.example.com", ClientID: func() string { return "desk\n" }}, &mcp.Message{Method: "tools/call", Kind: mcp.Tool, Name: long}, d)
	if err := rec.MarshalLogObject(enc); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"resource": testResource, "issuer": "https://as.example.com", "subject": "alice",
		"mcp_method": `"tools/call"`, "mcp_name": `"x\n` + strings.Repeat("é", 63) + `…"`,
		"outcome": "lacks_scope", "reason": "scope", "rule": "tools:3", "line": "tools x* need scope a b",
		"missing": "scope b", "scopes": "a b", "cause": "why", "client_id": `"desk\n"`, "duration": time.Millisecond,
	}
	if !maps.Equal(enc.Fields, want) {
		t.Errorf("got\n%v\nwant\n%v", enc.Fields, want)
	}
}

// Callers without a token are counted apart, and what they asked for is counted and
// logged as that of others is. None of it is at INFO: they must not fill the log.
func TestAnonymousRecord(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	resource := ownResource()
	s := serve(t, strings.Replace(frontDoor(issuer.Issuer(), "anonymous\ntools open anonymous\ntools mine need scope s\ntools nobodys nobody"), testResource, resource, 1), nil)
	path := strings.TrimPrefix(resource, "https://metrics.example.com")
	for _, body := range []string{rpc("ping", "{}"), toolCall("open", "{}"), toolCall("open", "{}"), toolCall("mine", "{}"), toolCall("nobodys", "{}")} {
		s.send(t, "POST", path, strings.NewReader(body), "Content-Type", "application/json")
	}
	s.do(t, "GET", path, "Accept", "text/event-stream")
	s.send(t, "POST", path, strings.NewReader(toolCall("mine", "{}")), append(bearer(issuer.Mint(map[string]any{"aud": resource, "scope": "s"})), "Content-Type", "application/json")...)
	if got, want := counts(t, s.config, "caddy_mcp_auth_decisions_total", resource), map[string]float64{
		"decision=anonymous resource=IT":      4,
		"decision=accepted resource=IT":       1,
		"decision=no_credentials resource=IT": 1,
		"decision=policy resource=IT":         1,
	}; !maps.Equal(got, want) {
		t.Errorf("decisions: got %v, want %v", got, want)
	}
	if got, want := counts(t, s.config, "caddy_mcp_auth_policy_decisions_total", resource), map[string]float64{
		"method=ping outcome=allowed resource=IT rule=open":              1,
		"method=none outcome=allowed resource=IT rule=open":              1,
		"method=tools/call outcome=allowed resource=IT rule=tools:1":     2,
		"method=tools/call outcome=needs_token resource=IT rule=tools:2": 1,
		"method=tools/call outcome=allowed resource=IT rule=tools:2":     1,
		"method=tools/call outcome=denied resource=IT rule=tools:3":      1,
	}; !maps.Equal(got, want) {
		t.Errorf("by rule: got %v, want %v", got, want)
	}
}

// The record of a caller without a token says so, and names no user.
func TestAnonymousDecisionRecord(t *testing.T) {
	t.Parallel()
	enc := zapcore.NewMapObjectEncoder()
	rec := caddymcpauth.NewRecord(&policy.Caller{Anonymous: true}, &mcp.Message{Method: "tools/call", Kind: mcp.Tool, Name: "open"},
		policy.Decision{Outcome: policy.Allowed, Reason: policy.ReasonLine, Rule: policy.Rule{Kind: "tools", Number: 1, Text: "tools open anonymous"}})
	if err := rec.MarshalLogObject(enc); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"resource": testResource, "anonymous": true, "mcp_method": `"tools/call"`, "mcp_name": `"open"`,
		"outcome": "allowed", "reason": "line", "rule": "tools:1", "line": "tools open anonymous", "duration": time.Millisecond,
	}
	if !maps.Equal(enc.Fields, want) {
		t.Errorf("got\n%v\nwant\n%v", enc.Fields, want)
	}
}

// Every decision has a record, with or without rules. Nobody's token is in it, and none
// is at INFO but a rule's no to a caller with a token: others could fill the log.
func TestEveryDecisionIsRecorded(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	good, expired := issuer.Mint(map[string]any{"sub": "alice", "client_id": "desk"}), issuer.Mint(map[string]any{"exp": 1})
	for _, test := range []struct {
		name, options string
		send          func(*site) answer
		want          string
	}{
		{"accepted", "", func(s *site) answer { return s.do(t, "GET", "/mcp", bearer(good)...) }, "debug allowed  alice \"desk\"  "},
		{"no token", "", func(s *site) answer { return s.do(t, "GET", "/mcp") }, "debug refused no_credentials    "},
		{"expired", "", func(s *site) answer { return s.do(t, "GET", "/mcp", bearer(expired)...) }, "debug refused expired    "},
		{"malformed", "", func(s *site) answer { return s.do(t, "GET", "/mcp", "Authorization", "Bearer a b") }, "debug refused invalid_request    "},
		{"origin", "", func(s *site) answer {
			return s.do(t, "GET", "/mcp", append(bearer(good), "Origin", "https://evil.example")...)
		}, "debug refused origin    "},
		{"scopes", "scopes admin", func(s *site) answer { return s.do(t, "GET", "/mcp", bearer(good)...) }, "debug refused insufficient_scope alice \"desk\"  "},
		{"a session of another", "", func(s *site) answer {
			return s.do(t, "GET", "/mcp", append(bearer(good), "Mcp-Session-Id", "x")...)
		}, "debug refused session alice \"desk\"  "},
		{"allowed by a rule", "tools a", func(s *site) answer { return s.post(t, good, toolCall("a", "{}")) }, "debug allowed line alice \"desk\" \"tools/call\" tools:1"},
		{"denied by a rule", "tools a nobody", func(s *site) answer { return s.post(t, good, toolCall("a", "{}")) }, "info denied nobody alice \"desk\" \"tools/call\" tools:1"},
		{"a session of another, with rules", "tools a", func(s *site) answer {
			return s.send(t, "POST", "/mcp", strings.NewReader(toolCall("a", "{}")), append(bearer(good), "Content-Type", "application/json", "Mcp-Session-Id", "x")...)
		}, "debug refused session alice \"desk\" \"tools/call\" tools:1"},
		{"metadata", "", func(s *site) answer { return s.do(t, "GET", "/.well-known/oauth-protected-resource/mcp") }, ""},
	} {
		core, logs := observer.New(zapcore.DebugLevel)
		s := serve(t, frontDoor(issuer.Issuer(), test.options), nil)
		caddymcpauth.ObserveDecisions(s.routes.Routes, zap.New(core))
		test.send(s)
		var got string
		for _, entry := range logs.All() {
			f := entry.ContextMap()
			text := func(name string) string { v, _ := f[name].(string); return v }
			got += strings.Join([]string{entry.Level.String(), text("outcome"), text("reason"), text("subject"), text("client_id"), text("mcp_method"), text("rule")}, " ")
			if f["resource"] != testResource || f["duration"] == nil {
				t.Errorf("%s: got %v, want the resource and the duration", test.name, f)
			}
			if all := fmt.Sprint(f); strings.Contains(all, good) || strings.Contains(all, expired) {
				t.Errorf("%s: the token is in %s", test.name, all)
			}
		}
		if got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}
