package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
)

// rounded returns that many members with integers that JavaScript rounds.
func rounded(members int) string {
	var b strings.Builder
	for i := range members {
		fmt.Fprintf(&b, `,"n%d":9007199254740993`, i)
	}
	return b.String()
}

func TestWhen(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 1<<20)
	list := "[" + strings.TrimSuffix(strings.Repeat("1,", 2000), ",") + "]"
	for _, tc := range []struct {
		name, when, arguments string
		want                  bool
	}{
		// Servers in Go and Python read 2^53+1, those in JavaScript 2^53: what depends on
		// it is no, whatever it says.
		{"2^53+1 may be 2^53", "arguments.n == 9007199254740993", `{"n":9007199254740993}`, false},
		{"2^53+1 is not 2^53", "arguments.n == 9007199254740992", `{"n":9007199254740993}`, false},
		{"2^53+1 is not other than 2^53", "arguments.n != 9007199254740992", `{"n":9007199254740993}`, false},
		{"2^53+1 may not be greater", "arguments.n > 9007199254740992", `{"n":9007199254740993}`, false},
		{"-2^53-1", "arguments.n < 0", `{"n":-9007199254740993}`, false},
		{"deep in an argument", "arguments.a.b[0] != 1", `{"a":{"b":[9007199254740993]}}`, false},
		{"in a list", "!(9007199254740992 in arguments.a)", `{"a":[1,9007199254740993]}`, false},
		{"in all arguments", "arguments != {'n': 9007199254740992}", `{"n":9007199254740993}`, false},
		{"by a loop", "arguments.all(name, arguments[name] != 9007199254740992)", `{"n":9007199254740993}`, false},
		{"by its index", "arguments['n'] != 9007199254740992", `{"n":9007199254740993}`, false},
		{"by an index that isn't fixed", "arguments[arguments.k] != 9007199254740992", `{"k":"n","n":9007199254740993}`, false},
		{"converted", "string(arguments.n) != '9007199254740992'", `{"n":9007199254740993}`, false},
		{"in another argument", "arguments.m == 1", `{"m":1,"n":9007199254740993}`, true},
		{"in another argument, deep down", "arguments.m == 1", `{"n":[{"n":9007199254740993}],"m":1}`, true},
		{"true whichever it is", "arguments.m == 1 || arguments.n == 2", `{"m":1,"n":9007199254740993}`, true},
		{"in many others", "arguments.m == 1", `{"m":1` + rounded(16) + `}`, true},
		{"in too many others", "arguments.m == 1", `{"m":1` + rounded(17) + `}`, false},
		{"the largest uint64", "arguments.n == 18446744073709551615u", `{"n":18446744073709551615}`, false},
		{"the largest int64", "arguments.n == 9223372036854775807", `{"n":9223372036854775807}`, false},
		{"larger than uint64", "arguments.n > 18446744073709551615u", `{"n":18446744073709551617}`, false},
		{"a double that isn't an integer is the same to all", "arguments.n < 1.0", `{"n":0.30000000000000004}`, true},
		// Those that a float64 holds are exact.
		{"2^53", "arguments.n == 9007199254740992", `{"n":9007199254740992}`, true},
		{"2^53+2", "arguments.n == 9007199254740994", `{"n":9007199254740994}`, true},
		{"2^63+2^11, by its digits", "arguments.n == 9223372036854777856u", `{"n":9223372036854777856}`, true},
		{"2^70 is a double", "arguments.n > 18446744073709551615u", `{"n":1180591620717411303424}`, true},
		{"the smallest int64", "arguments.n == -9223372036854775808", `{"n":-9223372036854775808}`, true},
		{"-1e300 is less than 0", "arguments.n < 0", `{"n":-1e300}`, true},
		{"-1e300 is not between 0 and 1000", "arguments.n > 0 && arguments.n <= 1000", `{"n":-1e300}`, false},
		{"1e400 is no number", "arguments.n > 0", `{"n":1e400}`, false},
		{"nor is it less", "arguments.n < 0 || arguments.n <= 1000", `{"n":1e400}`, false},
		{"1e400 where no rule looks", "arguments.m == 1", `{"m":1,"n":-1e400}`, false},
		{"1e400 in an expression that is true without", "true || arguments.n > 0", `{"n":1e400}`, false},
		{"a double equals an integer", "arguments.n == 1", `{"n":1.0}`, true},
		{"with an exponent", "arguments.n == 1000", `{"n":1e3}`, true},
		{"an integer and a double", "arguments.n <= 0.5", `{"n":0}`, true},
		{"minus zero", "arguments.n == 0", `{"n":-0}`, true},
		{"a text is no number", "arguments.n <= 1000", `{"n":"1"}`, false},

		{"not a boolean", "arguments.b", `{"b":1}`, false},
		{"a boolean", "arguments.b", `{"b":true}`, true},
		{"null is not absent", "has(arguments.b) && arguments.b == null", `{"b":null}`, true},
		{"absent", "arguments.b == null", `{}`, false},
		{"absent, and turned around", "!(arguments.b == 'x')", `{}`, false},
		{"absent, and asked for", "!has(arguments.b)", `{}`, true},
		{"no arguments are none", "size(arguments) == 0", ``, true},
		{"arguments that are none", "size(arguments) == 0", `[]`, false},
		{"a member twice", "arguments.a == 1", `{"a":1,"a":2}`, false},
		{"nested", "arguments.a.b[1] == 'x'", `{"a":{"b":[0,"x"]}}`, true},
		{"an index too far", "arguments.a[5] == 'x'", `{"a":[]}`, false},
		{"true whatever fails", "arguments.a == 1 || arguments.b == 2", `{"b":2}`, true},
		{"a regular expression", "arguments.a.matches('^[a-z]+$')", `{"a":"abc"}`, true},
		{"a regular expression of the client", "'abc'.matches(arguments.a)", `{"a":"("}`, false},

		{"many values", "arguments.n == 1", `{"n":1,"a":[` + strings.Repeat("{},", 90_000) + `0]}`, true},
		{"too many values", "arguments.n == 1", `{"n":1,"a":[` + strings.Repeat("{},", 110_000) + `0]}`, false},
		{"too expensive: a long text", "arguments.a.contains(arguments.b) || true", `{"a":"` + long + `","b":"` + long[1:] + `"}`, false},
		{"too expensive: loops in loops", "arguments.a.all(x, arguments.a.all(y, arguments.a.all(z, x + y + z > 0)))", `{"a":` + list + `}`, false},

		{"name", "name == 'x'", ``, true},
		{"scopes", "'mcp:read' in scopes", ``, true},
		{"client_id", "client_id.startsWith('https://claude.ai/')", ``, true},
		{"user and issuer", "user == 'alice' && issuer == 'https://auth.example.com'", ``, true},
		{"claims", "'admins' in claims.groups && claims.on", ``, true},
		{"claims are exact", "claims.level == 9007199254740993 && claims.level != 9007199254740992", ``, true},
		{"an absent claim", "claims.nope != 'x'", ``, false},
		{"an absent claim, and turned around", "!('x' in claims.nope)", ``, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d := compile(t, "tools x when `"+tc.when+"`").Decide(user("mcp:read"), callWith("x", tc.arguments))
			if got := d.Outcome == policy.Allowed; got != tc.want {
				t.Errorf("%s of %.60s: got %s, %v; want %t", tc.when, tc.arguments, result(d), d.Cause, tc.want)
			}
		})
	}
}

// What a caller doesn't have isn't empty, but absent: what reads it fails.
func TestWhenOfCallers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, when string
		caller     *policy.Caller
		want       string
	}{
		{"no client", "client_id != 'x'", bare(), "denied when"},
		{"no claims", "claims.a != 'x'", &policy.Caller{Subject: "x"}, "denied when"},
		{"claims, all of them", "size(claims) == 1 && claims.all(name, name == 'sub')", bare(), "allowed line"},
		{"claims, by index", "claims['sub'] == 'bob' && has(claims.sub) && !has(claims.nope)", bare(), "allowed line"},
		{"claims, by a name with a dot", "claims['a.b'] == 'x'", &policy.Caller{Claims: claims(`{"a.b":"x"}`)}, "allowed line"},
		{"claims, by a name that isn't fixed", "claims[name + 'y'] == 'z'", &policy.Caller{Claims: claims(`{"xy":"z"}`)}, "allowed line"},
		{"a claim that can't be read beside another", "claims.a == 'x'", &policy.Caller{Claims: claims(`{"a":"x","n":1e999}`)}, "allowed line"},
		{"a claim that can't be read", "claims.n > 1.0 || true", &policy.Caller{Claims: claims(`{"n":1e999}`)}, "denied when"},
		{"no subject", "user != 'x'", &policy.Caller{}, "denied when"},
		{"no issuer", "issuer != 'x'", &policy.Caller{}, "denied when"},
		{"claims that can't be read", "size(claims) >= 0", &policy.Caller{Claims: claims(`{"n":1e999}`)}, "denied when"},
		{"the claims of a key", "claims.team == 'build'", key(), "allowed line"},
		{"the issuer of a key", "issuer == 'https://mcp.example.com/mcp'", key(), "allowed line"},
	} {
		if got := result(compile(t, "tools x when `"+tc.when+"`").Decide(tc.caller, call("x"))); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, got, tc.want)
		}
	}
}

// A scope that includes others does so in expressions, too, also one that would be
// granted.
func TestWhenScopesInclude(t *testing.T) {
	t.Parallel()
	includes := func(scopes []string) []string {
		if slices.Contains(scopes, "admin") {
			return append(slices.Clone(scopes), "write")
		}
		return scopes
	}
	for _, tc := range []struct{ rules, granted, want string }{
		{"tools x when `'write' in scopes`", "admin", "allowed line"},
		{"tools x when `'admin' in scopes`", "admin", "allowed line"},
		{"tools x when `'write' in scopes`", "other", "denied when"},
		{"tools x when `'admin' in scopes`", "write", "denied when"},
		{"tools x when `!('write' in scopes)`", "admin", "denied when"},
		{"tools x need scope admin when `'write' in scopes`", "other", "lacks_scope scope [admin]"},
	} {
		caller := user(tc.granted)
		caller.Includes = includes
		if got := result(compile(t, tc.rules).Decide(caller, call("x"))); got != tc.want {
			t.Errorf("%s, granted %s: got %s, want %s", tc.rules, tc.granted, got, tc.want)
		}
	}
}

// An expression that reads scopes is judged with those that would be granted.
func TestWhenAfterStepUp(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ rules, want string }{
		{"tools x need scope a when `'a' in scopes`", "lacks_scope scope [a]"},
		{"tools x need scope a when `'b' in scopes`", "denied when"},
		{"tools x need scope a or scope b c when `'b' in scopes`", "lacks_scope scope [b c]"},
		{"tools x need claim groups staff or scope b when `'b' in scopes`", "lacks_scope scope [b]"},
		{"tools x need claim groups staff or scope b when `scopes == ['b']`", "lacks_scope scope [b]"},
	} {
		if got := result(compile(t, tc.rules).Decide(user(), call("x"))); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.rules, got, tc.want)
		}
	}
}
