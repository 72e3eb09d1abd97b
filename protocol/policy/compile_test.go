package policy_test

import (
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
)

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, rules, want string }{
		{"the same name in two lines", "tools a\ntools a nobody", "tools line 2 (a nobody): a never gets here, for line 1 (a) comes first and names it: put the narrower line first"},
		{"a glob covers a name", "tools get_*\ntools get_secret nobody", "line 1 (get_*) comes first"},
		{"a glob covers a glob", "tools *_x\ntools a_*_x nobody", "line 1 (*_x) comes first"},
		{"stars beside each other", "tools a**b\ntools a*b nobody", "comes first"},
		{"all", "prompts *\nprompts x", "prompts line 2 (x): x never gets here"},
		{"one of several names", "tools a\ntools b a c nobody", "a never gets here"},
		{"across lines", "tools a*\ntools b*\ntools c bb nobody", "line 2 (b*) comes first"},
		{"in another case", "tools Get_*\ntools get_*", "tools line 2 (get_*): get_* never allows anything, for it differs from Get_* of line 1 (tools Get_*) only in letter case, width or blanks, and servers may ignore that: put both into one line"},
		{"narrower, in another case", "tools Get_*\ntools get_user_*", "get_user_* never allows anything"},
		{"wider, in another case", "tools get_user_*\ntools Get_*", "because of Get_*, get_user_* of line 1 (tools get_user_*) never allows anything"},
		{"in another width", "tools ｇet_*\ntools get_*", "get_* never allows anything"},
		{"one of several, in another case", "tools a GET_* b\ntools c get_*", "differs from GET_* of line 1"},
		{"closed, in another case", "tools Debug_* nobody\ntools debug_*", "debug_* never allows anything"},
		{"closed below, in another case", "tools Debug_*\ntools debug_* nobody", "because of debug_*, Debug_* of line 1"},
		{"in another case, two lines above", "tools Get_*\ntools x\ntools get_*", "of line 1"},
		{"a URI in another case", "resources file:///A/*\nresources file:///a/*", "never allows anything"},
		{"a name twice", "tools a b a", "a is given twice"},
		{"a brace", "tools x_{path}", `"x_{path}" has a brace, which Caddy would replace: write * for that part`},
		{"a template", "resources file:///{path}", "write * for what varies in a template"},
		{"a comma", "tools a,b", `"a,b" has a comma: separate names by blanks`},
		{"a comma at the end", "tools a, b", "has a comma"},
		{"not UTF-8", "tools a\xff", "is not UTF-8"},
		{"CEL: an unknown variable", "tools a when `argument.x > 1`", "when: line 1, column 1: undeclared reference to 'argument'"},
		{"CEL: a syntax error", "tools a when `name == `", "when: line 1, column"},
		{"CEL: a type error", "tools a when `name > 1`", "when: line 1, column 6: found no matching overload"},
		{"CEL: a text", "tools a when `name`", "it is of type string: it must be true or false"},
		{"CEL: a bad regular expression", "tools a when `name.matches('(')`", "error parsing regexp"},
		{"CEL: uri in a line of tools", "tools a when `uri == 'x'`", "undeclared reference to 'uri'"},
		{"CEL: name in a line of resources", "resources x://* when `name == 'x'`", "undeclared reference to 'name'"},
		{"CEL: arguments in a line of resources", "resources x://* when `arguments.a == 1`", "undeclared reference to 'arguments'"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			rules, err := parse(tc.rules)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err = policy.Compile(rules); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s:\n got %v\nwant %s", tc.rules, err, tc.want)
			}
		})
	}
}

// What differs in spelling is legal where a line still allows something.
func TestCompileSpellings(t *testing.T) {
	t.Parallel()
	for _, rules := range []string{
		"tools Get_* get_*",
		"tools Get_x\ntools get_x",
		"tools Get_x\ntools get_*",
		"tools get_*\ntools Get_x nobody",
		"tools Get_*\ntools *",
		"tools Get_*\ntools *_x",
		"tools a*\ntools A_x",
		"tools Get_* nobody\ntools get_* nobody",
		"tools Get_*\ntools get_x nobody",
		"tools Get_*\nprompts get_*",
	} {
		compile(t, rules)
	}
}

// What JSON can have and a Caddyfile can't.
func TestCompileRefusesJSON(t *testing.T) {
	t.Parallel()
	one := func(l policy.Line) policy.Rules { return policy.Rules{Tools: []policy.Line{l}} }
	cond := func(c policy.Condition) policy.Rules {
		return one(policy.Line{Names: []string{"a"}, Need: policy.Need{{c}}})
	}
	for _, tc := range []struct {
		name, want string
		rules      policy.Rules
	}{
		{"no names", "no names", one(policy.Line{Nobody: true})},
		{"an empty name", "an empty name", one(policy.Line{Names: []string{""}})},
		{"nobody and anonymous", "stand alone", one(policy.Line{Names: []string{"a"}, Nobody: true, Anonymous: true})},
		{"nobody with when", "stand alone", one(policy.Line{Names: []string{"a"}, Nobody: true, When: "true"})},
		{"anonymous with need", "stand alone", one(policy.Line{Names: []string{"a"}, Anonymous: true, Need: policy.Need{{{Key: []string{"k"}}}}})},
		{"an empty alternative", "everyone would meet", one(policy.Line{Names: []string{"a"}, Need: policy.Need{{}}})},
		{"an empty condition", "without content", cond(policy.Condition{})},
		{"only not", "without content", cond(policy.Condition{Not: true})},
		{"two in one", "two conditions in one", cond(policy.Condition{Scope: []string{"a"}, Key: []string{"b"}})},
		{"not scope", "drop the scope", cond(policy.Condition{Not: true, Scope: []string{"a"}})},
		{"a claim without values", "belong together", cond(policy.Condition{Claim: "a"})},
		{"values without a claim", "belong together", cond(policy.Condition{Values: []string{"a"}, Key: []string{"b"}})},
		{"at without user", "at belongs to user", cond(policy.Condition{At: "a", Key: []string{"b"}})},
		{"an empty value", "an empty value", cond(policy.Condition{Key: []string{""}})},
		{"require without conditions", "require line 1: no conditions", policy.Rules{Require: []policy.Need{{}}}},
		{"require with an empty alternative", "everyone would meet", policy.Rules{Require: []policy.Need{{{}}}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if _, _, err := policy.Compile(tc.rules); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

func TestCompileWarns(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rules string
		want  int
	}{
		{"tools delete_* nobody\ntools *", 1},
		{"tools delete_* nobody\ntools * anonymous", 1},
		{"resources a:* nobody\nresources *\nprompts x nobody\nprompts *", 2},
		{"tools *", 0},
		{"tools delete_* nobody\ntools * need scope a", 0},
		{"tools delete_* nobody\ntools * when `name != 'a'`", 0},
		{"tools x\ntools * nobody", 0},
		{"tools delete_* nobody\ntools get_*", 0},
	} {
		rules, err := parse(tc.rules)
		if err != nil {
			t.Fatal(err)
		}
		_, warnings, err := policy.Compile(rules)
		if err != nil || len(warnings) != tc.want {
			t.Errorf("%q: got %q, %v; want %d warnings", tc.rules, warnings, err, tc.want)
		}
	}
}

// Names that overlap and don't cover each other stay.
func TestCompileAccepts(t *testing.T) {
	t.Parallel()
	compile(t, "tools a*b\ntools a*\ntools *b\ntools *")
	compile(t, "tools get_x\ntools get_* need scope a\nprompts get_x")
	compile(t, "tools a*c\ntools a*bc* nobody")
	compile(t, "")
}

func TestConditions(t *testing.T) {
	t.Parallel()
	rules, err := parse("require claim groups acme\ntools x need scope a and key k\nmethods m need user u or scope b")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, placed := range rules.Conditions() {
		got = append(got, placed.Rule.Text+": "+placed.Condition.String())
	}
	want := "require claim groups acme: claim groups acme\n" +
		"tools x need scope a and key k: scope a\n" +
		"tools x need scope a and key k: key k\n" +
		"methods m need user u or scope b: user u\n" +
		"methods m need user u or scope b: scope b"
	if s := strings.Join(got, "\n"); s != want {
		t.Errorf("got\n%s\nwant\n%s", s, want)
	}
}
