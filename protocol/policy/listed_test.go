package policy_test

import (
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
)

func TestListed(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		rules  string
		caller *policy.Caller
		tool   string
		want   bool
	}{
		{"nobody", manual, user(), "debug_x", false},
		{"a bare line", manual, user(), "get_x", true},
		{"a scope is missing", manual, user(), "delete_x", true},
		{"a group is missing", "tools x need claim groups owners", user(), "x", false},
		{"a scope is missing, and a group", "tools x need claim groups owners and scope a", user(), "x", false},
		{"a scope is missing, or a group", "tools x need claim groups owners or scope a", user(), "x", true},
		{"unnamed", "tools x", user(), "y", false},
		{"no lines", "prompts x", user(), "y", true},
		{"folded", "tools delete_* nobody\ntools *", user(), "Delete_x", false},

		// What depends on arguments is listed if some would do.
		{"arguments", "tools x when `arguments.a <= 1`", user(), "x", true},
		{"arguments and a scope", manual, user(), "transfer", true},
		{"arguments, and a claim that is there", "tools x when `arguments.a <= 1 && claims.tenant == 'acme'`", user(), "x", true},
		{"arguments, and a claim that is other", "tools x when `arguments.a <= 1 && claims.tenant == 'umbrella'`", user(), "x", false},
		{"arguments, and an absent claim", "tools x when `arguments.a <= 1 && claims.nope == 'x'`", user(), "x", false},
		{"an absent claim, and arguments", "tools x when `claims.nope == 'x' && arguments.a <= 1`", user(), "x", false},
		{"arguments, or an absent claim", "tools x when `arguments.a <= 1 || claims.nope == 'x'`", user(), "x", true},
		{"not an absent claim", "tools x when `!(claims.nope == 'x') && arguments.a <= 1`", user(), "x", false},
		{"not arguments", "tools x when `!(arguments.a <= 1)`", user(), "x", true},
		{"the caller's own", "tools x when `arguments.tenant == claims.tenant`", user(), "x", true},
		{"the caller's own, and none", "tools x when `arguments.tenant == claims.tenant && claims.tenant != ''`", bare(), "x", false},
		{"neither", "tools x when `false && arguments.a == 1`", user(), "x", false},
		{"both ways true", "tools x when `arguments.a == 1 ? true : claims.on`", user(), "x", true},
		{"one way true", "tools x when `arguments.a == 1 ? claims.nope : claims.on`", user(), "x", true},
		{"the other way true", "tools x when `arguments.a == 1 ? claims.on : claims.nope`", user(), "x", true},
		{"no way true", "tools x when `arguments.a == 1 ? claims.nope : !claims.on`", user(), "x", false},
		{"a way that isn't taken", "tools x when `claims.on ? claims.nope : true`", user(), "x", false},
		{"both, and both", "tools x when `(arguments.a == 1 || claims.nope) && !(claims.nope && arguments.b == 2)`", user(), "x", true},
		{"not a boolean", "tools x when `claims.tenant`", user(), "x", false},
		{"a loop over arguments", "tools x when `arguments.list.all(i, i < claims.level)`", user(), "x", true},
		{"the name", "tools x y when `name == 'y' && arguments.a == 1`", user(), "x", false},
		{"the name fits", "tools x y when `name == 'y' && arguments.a == 1`", user(), "y", true},
		{"no arguments are read", "tools x when `claims.tenant == 'umbrella'`", user(), "x", false},
		{"claims that can't be read", "tools x when `size(claims) > 0`", &policy.Caller{Claims: claims("[")}, "x", false},
		{"scopes after step-up", "tools x need scope a when `'a' in scopes && arguments.b == 1`", user(), "x", true},
		{"scopes that don't come", "tools x need scope a when `'b' in scopes`", user(), "x", false},

		// API keys see what they may now.
		{"a key lacks a scope", "tools x need scope a", key(), "x", false},
		{"a key has a scope", "tools x need scope a", key("a"), "x", true},
		{"a key is excluded", "tools x need not key ci", key(), "x", false},
		{"a key, or a scope", "tools x need scope a or key ci", key(), "x", true},

		// Strangers see what is anonymous, or what signing in and scopes would open.
		{"a stranger: anonymous", manual, nobody(), "docs_x", true},
		{"a stranger: any token", manual, nobody(), "get_x", true},
		{"a stranger: a scope", manual, nobody(), "delete_x", true},
		{"a stranger: a scope, and no key", manual, nobody(), "other", true},
		{"a stranger: a group", "tools x need claim groups admins", nobody(), "x", false},
		{"a stranger: a user", "tools x need user alice", nobody(), "x", false},
		{"a stranger: not a user", "tools x need not user alice", nobody(), "x", false},
		{"a stranger: a client", "tools x need client *", nobody(), "x", false},
		{"a stranger: a key", "tools x need key ci", nobody(), "x", false},
		{"a stranger: arguments", manual, nobody(), "transfer", true},
		{"a stranger: a claim", "tools x when `claims.a == 'x' || true`", nobody(), "x", false},
		{"a stranger: scopes in an expression", "tools x when `'a' in scopes`", nobody(), "x", true},
		{"a stranger: never", "tools x when `name != 'x'`", nobody(), "x", false},
		{"a stranger: nobody", manual, nobody(), "debug_x", false},
		{"a stranger: no lines", "prompts x", nobody(), "y", true},

		// A line of methods for calls counts, too.
		{"calls are for nobody", "methods tools/call nobody", user(), "x", false},
		{"calls need a group", "methods tools/* need claim groups owners\ntools *", user(), "x", false},
		{"calls need a scope", "methods tools/* need scope a\ntools *", user(), "x", true},
		{"calls in another case", "methods Tools/* nobody", user(), "x", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := compile(t, tc.rules)
			for range 2 { // a list asks the same caller again
				if got := p.Listed(tc.caller, mcp.Tool, tc.tool, false); got != tc.want {
					t.Errorf("got %t, want %t", got, tc.want)
				}
			}
		})
	}
}

func TestListedResources(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, rules, uri string
		template, want   bool
	}{
		{"a URI", "resources file:///a/*", "file:///a/b", false, true},
		{"another", "resources file:///a/*", "file:///b", false, false},
		{"not in normal form", "resources file:///a/*", "file:///a/../b", false, false},
		{"one's tenant", manual, "tenant://acme/x", false, true},
		{"another's", manual, "tenant://umbrella/x", false, false},
		{"a template is a URI if it isn't said to be one", "resources file:///a/*", "file:///a/{x}", false, false},

		{"a template", "resources file:///a/*", "file:///a/{x}", true, true},
		{"a larger one", "resources file:///a/*", "file:///{x}", true, true},
		{"a smaller one", "resources file:///*", "file:///a/{x}/b", true, true},
		{"another place", "resources file:///a/*", "file:///b/{x}", true, false},
		{"another ending", "resources *.txt", "file:///{x}.md", true, false},
		{"an ending that may be", "resources *.txt", "file:///{x}", true, true},
		{"nobody may all of it", "resources file:///a/* nobody\nresources file:///*", "file:///a/{x}", true, false},
		{"nobody may some of it", "resources file:///a/b/* nobody\nresources file:///*", "file:///a/{x}", true, true},
		{"one that is named as it stands", "resources file:///a\nresources file:///b* nobody", "file:///{x}", true, true},
		{"a group is missing", "resources file:///* need claim groups owners", "file:///{x}", true, false},
		{"a scope is missing", "resources file:///* need scope a", "file:///{x}", true, true},
		{"one's tenant, perhaps", manual, "tenant://{tenant}/x", true, true},
		{"another line would fit in another case", "resources file:///secret/* nobody\nresources file:///*", "file:///Secret/{x}", true, false},
		{"a template without an end", "resources file:///a/*", "file:///a/{x", true, true},
		{"without an expression", "resources file:///a", "file:///a", true, true},
		{"several expressions", "resources a://*/b/*", "a://{x}/b/{y}{?z}", true, true},
		{"all URIs", "resources x://a", "{+uri}", true, true},
		{"no lines", "tools a", "file:///{x}", true, true},
		{"no line names it", "resources a://*", "b://{x}", true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := compile(t, tc.rules).Listed(user(), mcp.Resource, tc.uri, tc.template); got != tc.want {
				t.Errorf("got %t, want %t", got, tc.want)
			}
		})
	}
}

func TestListedOtherKinds(t *testing.T) {
	t.Parallel()
	p := compile(t, manual+"prompts a nobody")
	for _, tc := range []struct {
		kind mcp.Kind
		name string
		want bool
	}{{mcp.Prompt, "a", false}, {mcp.Prompt, "b", false}, {mcp.Task, "a", true}, {mcp.NoKind, "a", true}} {
		if got := p.Listed(user(), tc.kind, tc.name, false); got != tc.want {
			t.Errorf("%s %s: got %t, want %t", tc.kind, tc.name, got, tc.want)
		}
	}
}
