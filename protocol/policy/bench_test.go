package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// hundred are 100 lines, of which the last decides about most names.
func hundred() string {
	var rules strings.Builder
	for i := range 99 {
		fmt.Fprintf(&rules, "tools tool_%02d_* other_%02d need scope s%d\n", i, i, i)
	}
	return rules.String() + "tools * need scope mcp:write"
}

func BenchmarkDecide(b *testing.B) {
	for _, bc := range []struct {
		name, rules string
		msg         *mcp.Message
	}{
		{"100 lines", hundred(), call("something_else")},
		{"100 lines, another case", hundred(), call("somethingElse")},
		{"100 lines, the first", hundred(), call("other_00")},
		{"a claim", "tools x need claim groups admins", call("x")},
		{"when on arguments", "tools x when `arguments.amount > 0 && arguments.amount <= 1000`", callWith("x", `{"amount":500,"to":"bob"}`)},
		{"when on claims", "resources tenant://* when `claims.tenant != '' && uri.startsWith('tenant://' + claims.tenant + '/')`", read("tenant://acme/x")},
		{"when of a list", "tools x when `name in ['a', 'b', 'x']`", call("x")},
	} {
		b.Run(bc.name, func(b *testing.B) {
			p := compile(b, bc.rules)
			b.ReportAllocs()
			for b.Loop() {
				c := benchUser("mcp:write", "s0")
				if d := p.Decide(c, bc.msg); d.Outcome != policy.Allowed {
					b.Fatal(result(d))
				}
			}
		})
	}
}

// benchUser is user with claims as a token has them.
func benchUser(scopes ...string) *policy.Caller {
	return &policy.Caller{Subject: "alice", Issuer: "https://auth.example.com", Scopes: scopes, Claims: token.NewReader(benchToken)}
}

var benchToken = token.New(token.Token{Subject: "alice", Issuer: "https://auth.example.com"}, []byte(
	`{"iss":"https://auth.example.com","sub":"alice","aud":"https://mcp.example.com/mcp","exp":1796011250,"iat":1796010950,"jti":"x","client_id":"c","scope":"mcp:write s0","tenant":"acme","groups":["staff","admins"],"email":"alice@example.com","name":"Alice"}`))

// BenchmarkListed is what a list of 300 tools costs under 100 lines.
func BenchmarkListed(b *testing.B) {
	var names strings.Builder
	for i := range 98 {
		fmt.Fprintf(&names, "tools other_%02d_* need scope s%d\n", i, i)
	}
	for _, bc := range []struct{ name, rules string }{
		{"many needs", hundred()},
		{"the last lines", names.String() + "tools tool_*7 nobody\ntools tool_*"},
	} {
		b.Run(bc.name, func(b *testing.B) {
			p := compile(b, bc.rules)
			names := make([]string, 300)
			for i := range names {
				names[i] = fmt.Sprintf("tool_%02d_%d", i%120, i)
			}
			b.ReportAllocs()
			for b.Loop() {
				c, kept := user(), 0
				for _, name := range names {
					if p.Listed(c, mcp.Tool, name, false) {
						kept++
					}
				}
				if kept < 200 {
					b.Fatal(kept)
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	rules, err := parse(hundred() + "\nprompts x when `arguments.amount > 0`")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, _, err := policy.Compile(rules); err != nil {
			b.Fatal(err)
		}
	}
}
