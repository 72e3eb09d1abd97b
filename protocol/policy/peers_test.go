package policy_test

import (
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
)

// Where other gateways went wrong.
func TestPeers(t *testing.T) {
	t.Parallel()
	decides := func(rules string, c *policy.Caller, m *mcp.Message, want string) func(*testing.T) {
		return func(t *testing.T) {
			t.Parallel()
			if got := result(compile(t, rules).Decide(c, m)); got != want {
				t.Errorf("%s: got %s, want %s", rules, got, want)
			}
		}
	}
	lists := func(rules string, c *policy.Caller, tool string, want bool) func(*testing.T) {
		return func(t *testing.T) {
			t.Parallel()
			if got := compile(t, rules).Listed(c, mcp.Tool, tool, false); got != want {
				t.Errorf("%s: got %t, want %t", rules, got, want)
			}
		}
	}
	// Rules about arguments, judged where there are none, hid every tool
	// (agentgateway#3092).
	t.Run("an argument rule hides nothing", lists("tools pay when `arguments.amount < 10`", user(), "pay", true))
	// A rule that denies and can't be evaluated let through (agentgateway).
	t.Run("a denying rule that fails denies", decides("tools x need not claim groups contractors", bare(), call("x"), "denied need"))
	t.Run("a denying expression that fails denies", decides("tools x when `!(claims.level > 3)`", bare(), call("x"), "denied when"))
	// A rule about tools locked out initialize (Pomerium).
	t.Run("rules for tools leave the base protocol open", decides("tools x need scope s", user(), method("initialize"), "allowed open"))
	t.Run("and the lists", decides("tools x nobody", user(), method("tools/list"), "allowed open"))
	// With denials only, all was denied (agentgateway#1058). Here as well, within the
	// kind, and that is said: a line `tools *` opens the rest. Other kinds stay open.
	t.Run("denials of tools leave prompts open", decides("tools x nobody", user(), prompt("p"), "allowed open"))
	t.Run("denials with a line for the rest", decides("tools x nobody\ntools *", user(), call("y"), "allowed line"))
	// Without a policy the lists were empty (agentgateway#1148).
	t.Run("no policy hides nothing", lists("", user(), "x", true))
	// Names in other letter case went past the rule (docker/mcp-gateway#414).
	t.Run("another case", decides("tools secret nobody\ntools *", user(), call("Secret"), "denied folded"))
	// A federated tool was judged by the name without its prefix (agentgateway#2713).
	t.Run("a prefix belongs to the name", decides("tools delete_x nobody\ntools server_* need scope s", user(), call("server_delete_x"), "lacks_scope scope [s]"))
}

// The list must not say one thing and the call another (Tyk): what a call is allowed,
// or lacks scopes for, is listed, and what no call could be allowed is not.
func TestListsAgreeWithCalls(t *testing.T) {
	t.Parallel()
	callers := []*policy.Caller{user(), user("mcp:write"), user("mcp:delete", "mcp:pay"), bare(), key(), key("mcp:write")}
	p := compile(t, manual)
	for _, c := range callers {
		for _, name := range []string{"debug_a", "get_x", "delete_x", "transfer", "docs_x", "other", "Delete_x", "transfer "} {
			open := false
			for _, arguments := range []string{"", "{}", `{"amount":5}`, `{"amount":5000}`} {
				d := p.Decide(c, callWith(name, arguments))
				open = open || d.Outcome == policy.Allowed || d.Outcome == policy.LacksScope || d.Reason == policy.ReasonRequire
			}
			listed := p.Listed(c, mcp.Tool, name, false)
			if p.Admit(c).Outcome == policy.Denied {
				continue // gets no list at all
			}
			if listed != open {
				t.Errorf("%s %v: %s is listed: %t, can be called: %t", c.Subject, c.Scopes, name, listed, open)
			}
		}
	}
}
