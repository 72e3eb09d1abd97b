package upstream_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/upstream"
)

func TestRulesCheck(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		rule upstream.Rule
		good bool
	}{
		{"no kind", upstream.Rule{Values: []string{"a"}}, false},
		{"kind that isn't one", upstream.Rule{Kind: "emails", Values: []string{"a@example.com"}}, false},
		{"kind in upper case", upstream.Rule{Kind: "Email", Values: []string{"a@example.com"}}, false},
		{"email without values", upstream.Rule{Kind: "email"}, false},
		{"org without values", upstream.Rule{Kind: "org"}, false},
		{"claim without values", upstream.Rule{Kind: "claim", Claim: "role"}, false},
		{"claim without a name", upstream.Rule{Kind: "claim", Values: []string{"a"}}, false},
		{"email with a claim's name", upstream.Rule{Kind: "email", Claim: "email", Values: []string{"a@example.com"}}, false},
		{"anybody with a value", upstream.Rule{Kind: "anybody", Values: []string{"a"}}, false},
		{"anybody with a claim's name", upstream.Rule{Kind: "anybody", Claim: "role"}, false},
		{"empty value", upstream.Rule{Kind: "user", Values: []string{"a", ""}}, false},
		{"empty claim value", upstream.Rule{Kind: "claim", Claim: "role", Values: []string{""}}, false},
		{"email without @", upstream.Rule{Kind: "email", Values: []string{"example.com"}}, false},
		{"email with two", upstream.Rule{Kind: "email", Values: []string{"a@b@example.com"}}, false},
		{"email without a domain", upstream.Rule{Kind: "email", Values: []string{"a@"}}, false},
		{"email without a local part", upstream.Rule{Kind: "email", Values: []string{"@example.com"}}, false},
		{"any email", upstream.Rule{Kind: "email", Values: []string{"*"}}, false},
		{"any domain", upstream.Rule{Kind: "email", Values: []string{"*@*"}}, false},
		{"no domain", upstream.Rule{Kind: "email", Values: []string{"*@"}}, false},
		{"any subdomain", upstream.Rule{Kind: "email", Values: []string{"*@*.example.com"}}, false},
		{"wildcard in the local part", upstream.Rule{Kind: "email", Values: []string{"a*@example.com"}}, false},
		{"wildcard as org", upstream.Rule{Kind: "org", Values: []string{"*"}}, false},
		{"wildcard in a group", upstream.Rule{Kind: "group", Values: []string{"a*"}}, false},
		{"wildcard as user", upstream.Rule{Kind: "user", Values: []string{"*"}}, false},
		{"bad one after a good one", upstream.Rule{Kind: "email", Values: []string{"a@example.com", "b"}}, false},
		{"email", upstream.Rule{Kind: "email", Values: []string{"a@example.com", "*@example.org"}}, true},
		{"org", upstream.Rule{Kind: "org", Values: []string{"acme"}}, true},
		{"group", upstream.Rule{Kind: "group", Values: []string{"acme"}}, true},
		{"user", upstream.Rule{Kind: "user", Values: []string{"octocat", "583231"}}, true},
		{"subject", upstream.Rule{Kind: "subject", Values: []string{"583231", "auth0|*"}}, true},
		{"claim", upstream.Rule{Kind: "claim", Claim: "role", Values: []string{"admin", "*"}}, true},
		{"anybody", upstream.Rule{Kind: "anybody"}, true},
	} {
		err := upstream.Rules{{Kind: "anybody"}, test.rule}.Check()
		if (err == nil) != test.good {
			t.Errorf("%s: got %v, want good %v", test.name, err, test.good)
		}
	}
}

func TestRulesAllow(t *testing.T) {
	t.Parallel()
	type claims = map[string]any
	email := func(values ...string) upstream.Rules { return upstream.Rules{{Kind: "email", Values: values}} }
	org := func(kind string, values ...string) upstream.Rules {
		return upstream.Rules{{Kind: kind, Values: values}}
	}
	claim := func(name string, values ...string) upstream.Rules {
		return upstream.Rules{{Kind: "claim", Claim: name, Values: values}}
	}
	verified := func(address string) upstream.Identity {
		return upstream.Identity{Subject: "1", Email: address, EmailVerified: true}
	}
	acme := upstream.Identity{Subject: "1", Groups: []string{"ACME"}}
	octocat := upstream.Identity{Subject: "583231", Username: "Octocat", Name: "root", Email: "a@example.com"}
	with := func(value any) upstream.Identity {
		return upstream.Identity{Subject: "1", Claims: claims{"role": value}}
	}
	for _, test := range []struct {
		name  string
		rules upstream.Rules
		id    upstream.Identity
		want  bool
	}{
		{"no rules", nil, octocat, false},
		{"empty rules", upstream.Rules{}, octocat, false},
		{"rule without values", org("org"), acme, false},
		{"rule without a kind", upstream.Rules{{Values: []string{"Octocat"}}}, octocat, false},
		{"kind that isn't one", org("users", "Octocat"), octocat, false},
		{"anybody", org("anybody"), octocat, true},
		{"second rule", append(email("b@example.com"), org("user", "octocat")...), octocat, true},

		{"email not verified", email("a@example.com"), octocat, false},
		{"domain of an email not verified", email("*@example.com"), octocat, false},
		{"another address", email("a@example.com"), verified("b@example.com"), false},
		{"another domain", email("a@example.com"), verified("a@example.org"), false},
		{"subdomain", email("*@example.com"), verified("a@sub.example.com"), false},
		{"longer domain", email("*@example.com"), verified("a@example.com.evil"), false},
		{"domain that ends like it", email("*@example.com"), verified("a@evilexample.com"), false},
		{"domain with a dot", email("*@example.com"), verified("a@example.com."), false},
		{"domain with a space", email("*@example.com"), verified("a@example.com "), false},
		{"two @", email("*@example.com"), verified("a@evil.example@example.com"), false},
		{"quoted @", email("*@example.com"), verified(`"a@evil.example"@example.com`), false},
		{"no local part", email("*@example.com"), verified("@example.com"), false},
		{"only the domain", email("*@example.com"), verified("example.com"), false},
		{"no address", email("*@example.com"), verified(""), false},
		{"wildcard as the address", email("a@example.com"), verified("*@example.com"), false},
		{"Kelvin sign for k", email("k@example.com"), verified("\u212a@example.com"), false},
		{"long s for s", email("*@search.example"), verified("a@\u017fearch.example"), false},
		{"dotless i for i", email("i@example.com"), verified("\u0131@example.com"), false},
		{"email", email("a@example.com"), verified("a@example.com"), true},
		{"email in upper case", email("a@example.com"), verified("A@EXAMPLE.com"), true},
		{"rule in upper case", email("A@Example.com"), verified("a@example.com"), true},
		{"second value", email("b@example.com", "a@example.com"), verified("a@example.com"), true},
		{"domain", email("*@example.com"), verified("a@example.com"), true},
		{"domain in upper case", email("*@example.com"), verified("a@EXAMPLE.com"), true},

		{"another org", org("org", "acme2"), acme, false},
		{"beginning of an org", org("org", "acm"), acme, false},
		{"no orgs", org("org", "acme"), octocat, false},
		{"username as org", org("org", "octocat"), octocat, false},
		{"org with a Kelvin sign", org("org", "kiwi"), upstream.Identity{Subject: "1", Groups: []string{"\u212aiwi"}}, false},
		{"org", org("org", "acme"), acme, true},
		{"group", org("group", "Acme"), acme, true},

		{"another user", org("user", "octocat2"), octocat, false},
		{"display name", org("user", "root"), octocat, false},
		{"e-mail as user", org("user", "a@example.com"), octocat, false},
		{"nobody's name", org("user", ""), upstream.Identity{Subject: "1"}, false},
		{"subject in another case", org("subject", "abc"), upstream.Identity{Subject: "ABC"}, false},
		{"username with a long s", org("user", "sam"), upstream.Identity{Subject: "1", Username: "\u017fam"}, false},
		{"user by name", org("user", "Octocat"), octocat, true},
		{"user by name, another case", org("user", "octocat"), octocat, true},
		{"user by subject", org("user", "583231"), octocat, false},
		{"subject", org("subject", "583231"), octocat, true},
		{"another one's subject as a name", org("subject", "583231"), upstream.Identity{Subject: "1", Username: "583231"}, false},
		{"name as subject", org("subject", "octocat"), octocat, false},

		{"claim missing", claim("role", "admin"), octocat, false},
		{"another claim", claim("roles", "admin"), with("admin"), false},
		{"claim text differs", claim("role", "admin"), with("user"), false},
		{"claim text in another case", claim("role", "admin"), with("Admin"), false},
		{"part of a claim text", claim("role", "admin"), with("admin user"), false},
		{"claim list without it", claim("role", "admin"), with([]any{"user", 1, nil}), false},
		{"claim list in a list", claim("role", "admin"), with([]any{[]any{"admin"}}), false},
		{"claim object", claim("role", "admin"), with(claims{"admin": "admin"}), false},
		{"claim number", claim("role", "1"), with(1.0), false},
		{"claim null", claim("role", "<nil>"), with(nil), false},
		{"claim false", claim("role", "true"), with(false), false},
		{"wildcard is a text", claim("role", "*"), with("admin"), false},
		{"claim text", claim("role", "user", "admin"), with("admin"), true},
		{"claim list", claim("role", "admin"), with([]any{"user", "admin"}), true},
		{"claim true", claim("role", "true"), with(true), true},
		{"claim says false", claim("role", "false"), with(false), true},
	} {
		if got := test.rules.Allow(test.id); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

// FuzzRulesEmail: anyone whom a rule lets in has a verified address that is, but for
// ASCII case, the rule's or one at its domain.
func FuzzRulesEmail(f *testing.F) {
	for _, seed := range [][2]string{
		{"a@example.com", "A@example.com"},
		{"*@example.com", "a@example.com.evil"},
		{"*@example.com", `"a@b"@example.com`},
		{"k@example.com", "\u212a@example.com"},
		{"*@example.com", "a@sub.example.com"},
		{"*@", "a@"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, address string) {
		rules := upstream.Rules{{Kind: "email", Values: []string{pattern}}}
		if rules.Check() != nil {
			return
		}
		id := upstream.Identity{Subject: "1", Username: address, Email: address, Groups: []string{address}}
		if rules.Allow(id) {
			t.Fatalf("got %q let in by %q, want no unverified address let in", address, pattern)
		}
		id.EmailVerified = true
		if !rules.Allow(id) {
			return
		}
		if strings.Count(address, "@") != 1 || strings.HasPrefix(address, "@") {
			t.Fatalf("got %q let in by %q, want an address", address, pattern)
		}
		got, want := address, pattern
		if domain, ok := strings.CutPrefix(pattern, "*"); ok {
			got, want = address[strings.IndexByte(address, '@'):], domain
		}
		if ascii(got) != ascii(want) {
			t.Fatalf("got %q let in by %q, want the same but for case", address, pattern)
		}
	})
}

// ascii makes the upper case of ASCII lower, and leaves the rest alone.
func ascii(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b)
}

// What is kept of a user is judged as the whole is, and is no more than needed.
func TestRulesNeed(t *testing.T) {
	t.Parallel()
	many := make([]any, 1000)
	groups := []string{"Staff"}
	for i := range many {
		many[i] = fmt.Sprintf("role-%d", i)
		groups = append(groups, fmt.Sprintf("group-%d", i))
	}
	id := upstream.Identity{
		Subject: "1", Groups: groups,
		Claims: map[string]any{"roles": append(many, "admin", "ops"), "paid": true, "other": strings.Repeat("x", 10_000), "tier": "gold"},
	}
	rule := func(kind, claim string, values ...string) upstream.Rule {
		return upstream.Rule{Kind: kind, Claim: claim, Values: values}
	}
	for name, test := range map[string]struct {
		rules  upstream.Rules
		groups []string
		claims map[string]any
	}{
		"nothing":     {upstream.Rules{rule("email", "", "*@example.com"), rule("anybody", "")}, nil, nil},
		"group":       {upstream.Rules{rule("group", "", "staff", "absent")}, []string{"Staff"}, nil},
		"org, twice":  {upstream.Rules{rule("org", "", "group-1"), rule("group", "", "GROUP-1", "staff")}, []string{"group-1", "Staff"}, nil},
		"list":        {upstream.Rules{rule("claim", "roles", "ops", "none"), rule("claim", "roles", "admin", "ops")}, nil, map[string]any{"roles": []any{"ops", "admin"}}},
		"bool":        {upstream.Rules{rule("claim", "paid", "true")}, nil, map[string]any{"paid": []any{"true"}}},
		"text":        {upstream.Rules{rule("claim", "tier", "gold", "silver")}, nil, map[string]any{"tier": []any{"gold"}}},
		"not matched": {upstream.Rules{rule("claim", "other", "y"), rule("claim", "absent", "y")}, nil, nil},
	} {
		groups, claims := test.rules.Needed(id)
		if !slices.Equal(groups, test.groups) || !reflect.DeepEqual(claims, test.claims) {
			t.Errorf("%s: got %q and %v, want %q and %v", name, groups, claims, test.groups, test.claims)
		}
		kept := upstream.Identity{Subject: "1", Groups: groups, Claims: claims}
		if got, want := test.rules.Allow(kept), test.rules.Allow(id); got != want {
			t.Errorf("%s: judged again: got %t, want %t", name, got, want)
		}
	}
}
