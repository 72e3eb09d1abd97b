package policy_test

import (
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
)

// manual is the example of the manual.
const manual = "require   claim groups staff\n" +
	"tools     debug_* internal_*    nobody\n" +
	"tools     get_* list_*\n" +
	"tools     delete_* drop_*       need scope mcp:delete or claim groups owners\n" +
	"tools     transfer              need scope mcp:pay when `arguments.amount > 0 && arguments.amount <= 1000`\n" +
	"tools     docs_*                anonymous\n" +
	"tools     *                     need scope mcp:write and not key ci\n" +
	"resources file:///public/*\n" +
	"resources tenant://*            when `claims.tenant != \"\" && uri.startsWith(\"tenant://\" + claims.tenant + \"/\")`\n" +
	"methods   acme/export           need claim groups admins\n"

func TestDecide(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		rules  string
		caller *policy.Caller
		msg    *mcp.Message
		want   string
	}{
		// Which line decides.
		{"nobody", manual, user(), call("debug_x"), "denied nobody"},
		{"a bare line", manual, user(), call("get_x"), "allowed line"},
		{"a scope is missing", manual, user("mcp:read"), call("delete_x"), "lacks_scope scope [mcp:delete]"},
		{"the scope is there", manual, user("mcp:delete"), call("delete_x"), "allowed line"},
		{"the last line", manual, user(), call("anything"), "lacks_scope scope [mcp:write]"},
		{"a scope and an expression", manual, user("mcp:pay"), callWith("transfer", `{"amount":1000}`), "allowed line"},
		{"the expression is false", manual, user("mcp:pay"), callWith("transfer", `{"amount":1001}`), "denied when"},
		{"the expression is false, and a scope missing", manual, user(), callWith("transfer", `{"amount":1001}`), "denied when"},
		{"the expression is true, and a scope missing", manual, user(), callWith("transfer", `{"amount":1}`), "lacks_scope scope [mcp:pay]"},
		{"an argument is missing", manual, user("mcp:pay"), callWith("transfer", `{}`), "denied when"},
		{"no arguments", manual, user("mcp:pay"), call("transfer"), "denied when"},
		{"the argument is no number", manual, user("mcp:pay"), callWith("transfer", `{"amount":"1"}`), "denied when"},
		{"a line above decides", "tools a need scope s\ntools * nobody", user(), call("a"), "lacks_scope scope [s]"},
		{"case counts", "tools get_*", user(), call("xGET_x"), "denied unnamed"},
		{"the whole name", "tools get", user(), call("get_x"), "denied unnamed"},
		{"a star is empty, too", "tools get_*", user(), call("get_"), "allowed line"},
		{"a star is a slash, too", "tools a*z", user(), call("a/b/z"), "allowed line"},
		{"several stars", "tools a*b*c", user(), call("a-b-b-c"), "allowed line"},
		{"several stars, out of order", "tools a*b*d*c", user(), call("adbc"), "denied unnamed"},
		{"begin and end don't overlap", "tools aba*aba", user(), call("ababa"), "denied unnamed"},
		{"nothing else is special", "tools a?[b]", user(), call("ab"), "denied unnamed"},

		// Kinds.
		{"a kind without lines is open", "tools a nobody", user(), prompt("a"), "allowed open"},
		{"a kind with lines isn't", "tools a", user(), call("b"), "denied unnamed"},
		{"prompts", "prompts a need scope s\ntools a", user(), prompt("a"), "lacks_scope scope [s]"},
		{"resources", manual, user(), read("file:///public/a/b"), "allowed line"},
		{"resources, unnamed", manual, user(), read("file:///private/a"), "denied unnamed"},
		{"one's tenant", manual, user(), read("tenant://acme/a"), "allowed line"},
		{"another tenant", manual, user(), read("tenant://acmeevil/a"), "denied when"},
		{"no tenant", "resources tenant://* when `claims.tenant != \"\" && uri.startsWith(\"tenant://\" + claims.tenant + \"/\")`", bare(), read("tenant://acme/a"), "denied when"},
		{"not in normal form", manual, user(), read("file:///public/../private/a"), "denied uri"},
		{"not in normal form, and no lines", "tools a", user(), read("file:///public/../private/a"), "allowed open"},

		// require.
		{"require holds", "require claim groups staff", user(), call("a"), "allowed open"},
		{"require doesn't", manual, bare("mcp:write"), call("get_x"), "denied require"},
		{"require before nobody", manual, bare(), call("debug_x"), "denied require"},
		{"all of several", "require claim groups staff\nrequire claim groups owners", user(), call("a"), "denied require"},
		{"require lacks a scope", "require scope a", user(), call("x"), "lacks_scope scope [a]"},
		{"require and a line lack one each", "require scope a\ntools x need scope b", user(), call("x"), "lacks_scope scope [a b]"},
		{"require lacks a scope, the line denies", "require scope a\ntools x nobody", user(), call("x"), "denied nobody"},
		{"require is for the base protocol, too", "require claim groups owners", user(), method("initialize"), "denied require"},
		{"require is for responses, too", "require claim groups owners", user(), &mcp.Message{Form: mcp.Response}, "denied require"},
		{"require is not for strangers", "require claim groups owners\ntools x anonymous", nobody(), call("x"), "allowed line"},

		// Alternatives.
		{"either", "tools x need scope a or scope b", user("b"), call("x"), "allowed line"},
		{"the smallest", "tools x need scope a b or scope c", user(), call("x"), "lacks_scope scope [c]"},
		{"the smallest is what is missing", "tools x need scope a b c or scope d e", user("a", "b"), call("x"), "lacks_scope scope [a b c]"},
		{"the first of two as small", "tools x need scope a or scope b", user(), call("x"), "lacks_scope scope [a]"},
		{"only those whose other conditions hold", "tools x need scope a and claim groups owners or scope b c", user(), call("x"), "lacks_scope scope [b c]"},
		{"none whose other conditions hold", "tools x need scope a and claim groups owners or scope b and user eve", user(), call("x"), "denied need"},
		{"the scopes of one alternative come together", "tools x need scope a and scope b", user("a"), call("x"), "lacks_scope scope [a b]"},
		{"and binds closer", "tools x need claim groups staff or claim groups owners and scope a", user(), call("x"), "allowed line"},
		{"a later alternative is met", "tools x need scope a or claim groups admins", user(), call("x"), "allowed line"},

		// Conditions, one polarity each.
		{"claim", "tools x need claim groups nope admins", user(), call("x"), "allowed line"},
		{"claim: one string", "tools x need claim tenant acme", user(), call("x"), "allowed line"},
		{"claim: other", "tools x need claim tenant umbrella", user(), call("x"), "denied need"},
		{"claim: absent", "tools x need claim groups admins", bare(), call("x"), "denied need"},
		{"not claim: other", "tools x need not claim groups contractors", user(), call("x"), "allowed line"},
		{"not claim: it is", "tools x need not claim groups contractors staff", user(), call("x"), "denied need"},
		{"not claim: absent", "tools x need not claim groups contractors", bare(), call("x"), "denied need"},
		{"not claim: null", "tools x need not claim nothing a", user(), call("x"), "denied need"},
		{"not claim: an empty list", "tools x need not claim empty a", user(), call("x"), "allowed line"},
		{"not claim: an object", "tools x need not claim object a", user(), call("x"), "denied need"},
		{"not claim: an object in a list", "tools x need not claim odd a", user(), call("x"), "denied need"},
		{"claim: beside an object in a list", "tools x need claim odd x", user(), call("x"), "allowed line"},
		{"claim: no claims at all", "tools x need not claim a b", &policy.Caller{Subject: "x"}, call("x"), "denied need"},
		{"claim: a number by its text", "tools x need claim level 9007199254740993", user(), call("x"), "allowed line"},
		{"claim: another number", "tools x need claim level 9007199254740992", user(), call("x"), "denied need"},
		{"claim: 5.0 is not 5", "tools x need claim big 5", user(), call("x"), "denied need"},
		{"claim: a boolean", "tools x need claim on true", user(), call("x"), "allowed line"},
		{"client", "tools x need client https://claude.ai/*", user(), call("x"), "allowed line"},
		{"client: other", "tools x need client https://chatgpt.com/*", user(), call("x"), "denied need"},
		{"client: unknown", "tools x need client *", bare(), call("x"), "denied need"},
		{"not client", "tools x need not client https://chatgpt.com/*", user(), call("x"), "allowed line"},
		{"not client: it is", "tools x need not client https://claude.ai/*", user(), call("x"), "denied need"},
		{"not client: unknown", "tools x need not client https://chatgpt.com/*", bare(), call("x"), "denied need"},
		{"user", "tools x need user bob alice", user(), call("x"), "allowed line"},
		{"user at", "tools x need user alice at https://auth.example.com", user(), call("x"), "allowed line"},
		{"user at another issuer", "tools x need user alice at https://evil.example.com", user(), call("x"), "denied need"},
		{"not user", "tools x need not user alice", user(), call("x"), "denied need"},
		{"not user at another issuer", "tools x need not user alice at https://evil.example.com", user(), call("x"), "allowed line"},
		{"user is exact", "tools x need user Alice", user(), call("x"), "denied need"},
		{"a scope hierarchy", "tools x need scope narrow", &policy.Caller{Subject: "a", Scopes: []string{"broad"}, Satisfies: func(granted, needed []string) bool {
			return granted[0] == "broad" && needed[0] == "narrow"
		}}, call("x"), "allowed line"},

		// API keys.
		{"key", "tools x need key ci", key(), call("x"), "allowed line"},
		{"key: other", "tools x need key cd", key(), call("x"), "denied need"},
		{"key: a user of that name", "tools x need key alice", user(), call("x"), "denied need"},
		{"not key", "tools x need not key ci", key(), call("x"), "denied need"},
		{"not key: a user", "tools x need not key ci", user(), call("x"), "allowed line"},
		{"a key is no user", "tools x need user ci", key(), call("x"), "denied need"},
		{"a key is no client", "tools x need client ci", key(), call("x"), "denied need"},
		{"a key is not a user", "tools x need not user alice", key(), call("x"), "allowed line"},
		{"a key has claims", "tools x need claim team build", key(), call("x"), "allowed line"},
		{"a key can't step up", "tools x need scope a", key("b"), call("x"), "denied scope"},
		{"a key has its scopes", "tools x need scope a", key("a"), call("x"), "allowed line"},
		{"a key and require", "require scope a", key(), call("x"), "denied require"},
		{"a key has no user in expressions", "tools x when `user != 'eve'`", key(), call("x"), "denied when"},
		{"a key has no client in expressions", "tools x when `client_id != 'eve'`", key(), call("x"), "denied when"},

		// Strangers.
		{"an anonymous line", manual, nobody(), call("docs_x"), "allowed line"},
		{"an anonymous line with a token", manual, user(), call("docs_x"), "allowed line"},
		{"a stranger signs in", manual, nobody(), call("get_x"), "needs_token sign_in"},
		{"a stranger is told the scopes", manual, nobody(), call("whatever"), "needs_token sign_in [mcp:write]"},
		{"a stranger and nobody", manual, nobody(), call("debug_x"), "denied nobody"},
		{"a stranger and the base protocol", manual, nobody(), method("initialize"), "allowed open"},
		{"a stranger and a kind without lines", "tools x anonymous", nobody(), prompt("x"), "needs_token sign_in"},
		{"a stranger and a method", manual, nobody(), method("acme/export"), "needs_token sign_in"},
		{"a stranger is no key", "tools x need not key ci", nobody(), call("x"), "needs_token sign_in"},
		{"a stranger and what a key may, too", "tools x need key ci or scope a", nobody(), call("x"), "needs_token sign_in [a]"},
		{"a stranger and what only a key may", "tools x need key ci and scope a", nobody(), call("x"), "needs_token sign_in"},
		{"a stranger and what not every key may", "tools x need not key ci and scope a or scope b c", nobody(), call("x"), "needs_token sign_in [a]"},
		{"a stranger's answer", manual, nobody(), &mcp.Message{Form: mcp.Response}, "allowed open"},
		{"a stranger's notification", manual, nobody(), method("notifications/initialized"), "allowed open"},
		{"a stranger and a list", manual, nobody(), method("tools/list"), "allowed open"},
		{"a stranger and a list that a line names", "methods tools/list", nobody(), method("tools/list"), "needs_token sign_in"},
		{"a stranger and discovery", "", nobody(), method("server/discover"), "allowed open"},
		{"a stranger and tasks", manual, nobody(), method("tasks/get"), "needs_token sign_in"},
		{"a stranger and tasks that are anonymous", "methods tasks/get anonymous", nobody(), method("tasks/get"), "allowed line"},
		{"a stranger and roots", manual, nobody(), method("roots/list"), "needs_token sign_in"},
		{"a stranger and an unknown method", manual, nobody(), method("acme/import"), "denied unknown"},
		{"a stranger, an unknown method and no rules", "", nobody(), method("acme/import"), "needs_token sign_in"},
		{"a user, an unknown method and no rules", "", user(), method("acme/import"), "allowed open"},
		{"a stranger and no rules", "", nobody(), call("x"), "needs_token sign_in"},
		{"a stranger listens", manual, nobody(), method("subscriptions/listen"), "allowed open"},
		{"a stranger listens to what is of users", manual, nobody(), &mcp.Message{Method: "subscriptions/listen", URIs: []string{"file:///public/x"}}, "needs_token sign_in"},
		{"a stranger listens to what is anonymous", "resources a:* anonymous", nobody(), &mcp.Message{Method: "subscriptions/listen", URIs: []string{"a:x"}}, "allowed line"},
		{"a stranger listens to resources without rules", "", nobody(), &mcp.Message{Method: "subscriptions/listen", URIs: []string{"a:x"}}, "needs_token sign_in"},

		// Methods.
		{"the base protocol", manual, user(), method("initialize"), "allowed open"},
		{"a notification", manual, user(), method("notifications/initialized"), "allowed open"},
		{"an unknown notification", manual, user(), method("notifications/acme"), "allowed open"},
		{"a request that is called so", manual, user(), &mcp.Message{Method: "notifications/initialized"}, "denied unknown"},
		{"a response", manual, user(), &mcp.Message{Form: mcp.Response}, "allowed open"},
		{"a task", manual, user(), method("tasks/get"), "allowed open"},
		{"the lists", manual, user(), method("resources/templates/list"), "allowed open"},
		{"an unknown method", manual, user(), method("acme/import"), "denied unknown"},
		{"an unknown method of tools", manual, user(), method("tools/delete"), "denied unknown"},
		{"an unknown method in other case", manual, user(), method("Tools/list"), "denied unknown"},
		{"an unknown method, and no rules", "", user(), method("acme/import"), "allowed open"},
		{"an unknown method, and only require", "require claim groups staff", user(), method("acme/import"), "allowed open"},
		{"a method that is named", manual, user(), method("acme/export"), "allowed line"},
		{"a method that is named, for others", "methods acme/export need claim groups admins", bare(), method("acme/export"), "denied need"},
		{"a subscription to nothing", "resources *", user(), method("resources/subscribe"), "denied unknown"},
		{"a subscription to nothing is named", "resources *\nmethods *", user(), method("resources/subscribe"), "allowed line"},
		{"the base protocol is named", "methods ping nobody", user(), method("ping"), "denied nobody"},
		{"the rest of it stays open", "methods ping nobody", user(), method("initialize"), "allowed open"},
		{"tasks are named", "methods tasks/cancel need scope s", user(), method("tasks/cancel"), "lacks_scope scope [s]"},
		{"all unknown methods", "tools x\nmethods acme/*", user(), method("acme/y"), "allowed line"},
		{"a method of a tool is named: both must let", "tools x\nmethods tools/call need scope s", user(), call("x"), "lacks_scope scope [s]"},
		{"a method of a tool is named: the tool isn't", "tools x\nmethods tools/call", user(), call("y"), "denied unnamed"},
		{"a method of a tool is named, no lines of tools", "methods tools/call nobody", user(), call("y"), "denied nobody"},
		{"every method is named", "methods * need claim groups owners", user(), call("y"), "denied need"},
		{"both lack scopes", "tools x need scope a\nmethods tools/* need scope b", user(), call("x"), "lacks_scope scope [b a]"},

		// Completions and subscriptions.
		{"completing a prompt", "prompts a", user(), complete(mcp.Prompt, "a"), "allowed line"},
		{"completing a prompt that is refused", "prompts a nobody", user(), complete(mcp.Prompt, "a"), "denied nobody"},
		{"completing what depends on arguments", "prompts a when `arguments.x == 1`", user(), complete(mcp.Prompt, "a"), "denied when"},
		{"completing what doesn't", "prompts a when `arguments.x == 1 || claims.tenant == 'acme'`", user(), complete(mcp.Prompt, "a"), "allowed line"},
		{"completing something else", "prompts a", user(), complete(mcp.NoKind, ""), "denied unknown"},
		{"completing a template", "resources file:///a/*", user(), complete(mcp.Resource, "file:///a/{x}"), "allowed line"},
		{"completing a larger template", "resources file:///a/*", user(), complete(mcp.Resource, "file:///{x}"), "denied unnamed"},
		{"completing a template, part of it refused", "resources file:///a/secret/* nobody\nresources file:///a/*", user(), complete(mcp.Resource, "file:///a/{x}"), "denied nobody"},
		{"completing a template of two lines", "resources file:///a/b*\nresources file:///a/* need scope s", user(), complete(mcp.Resource, "file:///a/{x}"), "lacks_scope scope [s]"},
		{"completing a template of one's tenant", manual, user(), complete(mcp.Resource, "tenant://{x}/a"), "denied when"},
		{"completing a template in other case", "resources file:///secret/* nobody\nresources file:///*", user(), complete(mcp.Resource, "file:///Secret/{x}"), "denied folded"},
		{"completing a URI", "resources file:///a/*", user(), complete(mcp.Resource, "file:///a/b"), "allowed line"},
		{"completing, and no lines", "tools x", user(), complete(mcp.Resource, "file:///a/{x}"), "allowed open"},
		{"completing in a policy without rules", "", user(), complete(mcp.NoKind, ""), "allowed open"},
		{"listening", "resources file:///a/*", user(), listen("file:///a/1", "file:///a/2"), "allowed line"},
		{"listening to one that is refused", "resources file:///a/*", user(), listen("file:///a/1", "file:///b", "file:///a/2"), "denied unnamed"},
		{"listening to one that needs a scope", "resources file:///a/* need scope a\nresources * need scope b", user(), listen("file:///a/1", "file:///b", "file:///a/2"), "lacks_scope scope [a b]"},
		{"listening to a spelling", "resources file:///a/*", user(), listen("file:///a/../b"), "denied uri"},
		{"listening to nothing", "resources file:///a/*", user(), listen(), "allowed open"},
		{"listening, and no lines", "tools x", user(), listen("file:///a/../b"), "allowed open"},
		{"listening is named", "methods subscriptions/listen nobody\nresources *", user(), listen("file:///a"), "denied nobody"},
		{"listening to too many", "resources *", user(), listen(strings.Split(strings.Repeat("file:///a ", 1001), " ")[:1001]...), "denied too_many"},

		// Names that another reader could take for others.
		{"another case", "tools delete_* nobody\ntools *", user(), call("Delete_x"), "denied folded"},
		{"another case of the line", "tools Delete_* nobody\ntools *", user(), call("delete_x"), "denied folded"},
		{"another width", "tools delete_* nobody\ntools *", user(), call("\uff44elete_x"), "denied folded"},
		{"zero width", "tools delete_* nobody\ntools *", user(), call("del\u200bete_x"), "denied folded"},
		{"a blank", "tools delete_x nobody\ntools *", user(), call("delete_x "), "denied folded"},
		{"a line below", "tools Get_*\ntools get_secret nobody", user(), call("Get_secret"), "denied folded"},
		{"both are named as they stand", "tools getUser\ntools getuser nobody", user(), call("getUser"), "allowed line"},
		{"capitals that fit no other line", "tools get*\ntools * nobody", user(), call("getUser"), "allowed line"},
		{"capitals that fit the same line", "tools get* Get*\ntools x nobody", user(), call("GetUser"), "allowed line"},
		{"a method", "methods acme/admin nobody\nmethods acme/*", user(), method("acme/Admin"), "denied folded"},
		{"a URI", "resources file:///secret/* nobody\nresources file:///*", user(), read("file:///Secret/x"), "denied folded"},

		// Arguments that another reader could take for others.
		{"siblings", "tools pay when `arguments.amount <= 1`", user(), callWith("pay", `{"amount":1,"Amount":1000000}`), "denied arguments"},
		{"siblings, deep", "tools pay when `arguments.a.amount <= 1`", user(), callWith("pay", `{"a":{"amount":1,"amoun\u0054":1000000}}`), "denied arguments"},
		{"siblings in another style", "tools pay when `arguments.max_amount <= 1`", user(), callWith("pay", `{"max_amount":1,"maxAmount":1000000}`), "denied arguments"},
		{"absent but for case", "tools drop when `!has(arguments.force)`", user(), callWith("drop", `{"Force":true}`), "denied arguments"},
		{"absent but for case, by index", "tools drop when `!(\"force\" in arguments) || arguments[\"force\"] == false`", user(), callWith("drop", `{"FORCE":true}`), "denied arguments"},
		{"absent but for style, deep", "tools drop when `!has(arguments.o.dryRun)`", user(), callWith("drop", `{"o":{"dry_run":true}}`), "denied arguments"},
		{"absent but for style, in a loop", "tools drop when `arguments.list.all(x, !has(x.dryRun))`", user(), callWith("drop", `{"list":[{"dry_run":true}]}`), "denied arguments"},
		{"absent but for a prototype", "tools drop when `!has(arguments.force)`", user(), callWith("drop", `{"__proto__":{"force":true}}`), "denied arguments"},
		{"a name of claims in another case", "tools drop when `claims.tenant == 'acme' && !has(arguments.force)`", user(), callWith("drop", `{"Tenant":1,"a":{"Tenant":1}}`), "allowed line"},
		{"siblings that no rule reads", "tools pay when `claims.tenant == 'acme'`", user(), callWith("pay", `{"amount":1,"Amount":1000000}`), "allowed line"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := result(compile(t, tc.rules).Decide(tc.caller, tc.msg)); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// What goes to logs says which rule decided, and what was missing.
func TestDecisionSaysWhy(t *testing.T) {
	t.Parallel()
	p := compile(t, manual)
	for _, tc := range []struct {
		name, rule, missing string
		caller              *policy.Caller
		msg                 *mcp.Message
	}{
		{"nobody", "tools 1: tools debug_* internal_* nobody", "", user(), call("debug_x")},
		{"a scope", "tools 3: tools delete_* drop_* need scope mcp:delete or claim groups owners", "scope mcp:delete", user(), call("drop_x")},
		{"a condition", "tools 6: tools * need scope mcp:write and not key ci", "not key ci", &policy.Caller{Key: "ci", Claims: claims(`{"groups":"staff"}`)}, call("x")},
		{"require", "require 1: require claim groups staff", "claim groups staff", bare(), call("x")},
		{"unnamed", " 0: ", "", user(), read("a://b")},
		{"allowed", "tools 2: tools get_* list_*", "", user(), call("get_x")},
	} {
		d := p.Decide(tc.caller, tc.msg)
		if got := d.Rule.Kind + " " + string(rune('0'+d.Rule.Number)) + ": " + d.Rule.Text; got != tc.rule || d.Missing != tc.missing {
			t.Errorf("%s: got %q, missing %q; want %q, %q", tc.name, got, d.Missing, tc.rule, tc.missing)
		}
	}
	if d := p.Decide(user("mcp:pay"), call("transfer")); d.Cause == nil {
		t.Error("an expression failed, and the decision has no cause")
	}
	both := compile(t, "require scope a\ntools x need scope b").Decide(user(), call("x"))
	if want := "scope a, scope b"; both.Missing != want {
		t.Errorf("got %q missing, want %q", both.Missing, want)
	}
	none := compile(t, "tools x need user u or user v and scope s or user u and key k").Decide(user(), call("x"))
	if want := "user u or user v"; none.Missing != want {
		t.Errorf("got %q missing, want %q", none.Missing, want)
	}
}

func TestAdmit(t *testing.T) {
	t.Parallel()
	p := compile(t, manual)
	for _, tc := range []struct {
		name   string
		caller *policy.Caller
		want   string
	}{
		{"meets it", user(), "allowed open"},
		{"doesn't", bare(), "denied require"},
		{"a stranger", nobody(), "allowed open"},
	} {
		if got := result(p.Admit(tc.caller)); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, got, tc.want)
		}
	}
}

func TestReads(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rules string
		want  bool
	}{{"", false}, {"require claim a b", false}, {"tools x", true}, {"prompts x", true}, {"resources x:*", true}, {"methods x", true}} {
		if got := compile(t, tc.rules).ReadsMessages(); got != tc.want {
			t.Errorf("%q: got %t, want %t", tc.rules, got, tc.want)
		}
	}
	p := compile(t, "tools a when `arguments.x == 1`\ntools b when `claims.x == 1`\ntools *\nmethods prompts/get when `size(arguments) == 0`")
	for _, tc := range []struct {
		msg  *mcp.Message
		want bool
	}{{call("a"), true}, {call("b"), false}, {call("c"), false}, {prompt("a"), true}, {read("a:b"), false}, {method("ping"), false}} {
		if _, got := p.ReadsArguments(tc.msg); got != tc.want {
			t.Errorf("%s %s: got %t, want %t", tc.msg.Method, tc.msg.Name, got, tc.want)
		}
	}
}
