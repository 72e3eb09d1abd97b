package policy_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
)

func TestParseLine(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ line, want string }{
		{"get_* list_*", `{"names":["get_*","list_*"]}`},
		{"debug_* nobody", `{"names":["debug_*"],"nobody":true}`},
		{"docs_* anonymous", `{"names":["docs_*"],"anonymous":true}`},
		{"x need scope a b", `{"names":["x"],"need":[[{"scope":["a","b"]}]]}`},
		{"x need scope mcp:delete or claim groups admins", `{"names":["x"],"need":[[{"scope":["mcp:delete"]}],[{"claim":"groups","values":["admins"]}]]}`},
		{"x need scope a and not key ci or client https://* and user u at https://i", `{"names":["x"],"need":[[{"scope":["a"]},{"not":true,"key":["ci"]}],[{"client":["https://*"]},{"user":["u"],"at":"https://i"}]]}`},
		{"x need not user a b", `{"names":["x"],"need":[[{"not":true,"user":["a","b"]}]]}`},
		{"x need not claim groups a b and not client c", `{"names":["x"],"need":[[{"not":true,"claim":"groups","values":["a","b"]},{"not":true,"client":["c"]}]]}`},
		{"x when `arguments.amount > 0`", `{"names":["x"],"when":"arguments.amount > 0"}`},
		{"x need scope pay when `true`", `{"names":["x"],"need":[[{"scope":["pay"]}]],"when":"true"}`},
		// Quoted words are never keywords.
		{"\"need\" `when` need scope \"and\"", `{"names":["need","when"],"need":[[{"scope":["and"]}]]}`},
		{"x need user `at` at `or`", `{"names":["x"],"need":[[{"user":["at"],"at":"or"}]]}`},
		{"x need claim \"not\" \"need\"", `{"names":["x"],"need":[[{"claim":"not","values":["need"]}]]}`},
		{"`&&` \"NEED\"", `{"names":["&&","NEED"]}`},
		{"import", `{"names":["import"]}`},
		{"scope claim key", `{"names":["scope","claim","key"]}`},
	} {
		got, err := policy.ParseLine(words(tc.line))
		if err != nil {
			t.Errorf("%s: %v", tc.line, err)
			continue
		}
		text, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if asked := strings.ReplaceAll(string(text), `\u003e`, ">"); asked != strings.ReplaceAll(tc.want, "&", `\u0026`) {
			t.Errorf("%s:\n got %s\nwant %s", tc.line, asked, tc.want)
		}
		again, err := policy.ParseLine(words(got.String()))
		if err != nil || again.String() != got.String() {
			t.Errorf("%s is printed as %s, which reads %s, %v", tc.line, got, again, err)
		}
	}
}

func TestParseLineRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ line, want string }{
		{"", "no names"},
		{"need scope a", "no name before need: names come first; put a name that is a keyword in quotes"},
		{"nobody", "put a name that is a keyword in quotes"},
		{"x nobody need scope a", `"need" after nobody: nothing can follow it`},
		{"x nobody anonymous", "nothing can follow it"},
		{"x anonymous when `true`", "nothing can follow it"},
		{"x and y", "put a name that is a keyword in quotes"},
		{"x not y", "put a name that is a keyword in quotes"},
		{"x need", "no conditions"},
		{"x need when `true`", "no conditions"},
		{"x when", "put it in backquotes"},
		{"x when a > 1", "put the whole expression in backquotes"},
		{"x when `true` when `true`", "when comes last and takes one word"},
		{"x when `true` need scope a", "need after when: when comes last"},
		{"x need scope", "scope takes the scopes that are needed"},
		{"x need claim groups", "claim takes a name and the values"},
		{"x need client", "client takes OAuth clients"},
		{"x need user", "user takes subjects"},
		{"x need user at https://i", "user takes subjects"},
		{"x need user a at", "at takes one issuer"},
		{"x need user a at i j", "at takes one issuer"},
		{"x need key", "key takes the names of API keys"},
		{"x need not scope a", "a client could drop the scope"},
		{"x need scope a and", "a condition is missing"},
		{"x need or scope a", "a condition is missing"},
		{"x need not", "a condition is missing"},
		{"x need not not key a", `unknown condition "not"`},
		{"x need scope a not key b", "not after scope"},
		{"x need scope a need scope b", "need after scope"},
		{"x need scope a nobody", "nobody after scope"},
		{"x need claim groups a at b", "at after claim"},
		{"x need group admins", "write claim group <names...>"},
		{"x need roles a", "write claim roles <names...>"},
		{"x need \"scope\" a", `unknown condition "scope"`},
		{"x need email a@b", `unknown condition "email": known are scope, claim, client, user and key`},
		{"x need ( scope a )", "there are none; `and` binds closer than `or`"},
		{"x need (scope a)", "there are none"},
		{"x need scope a && key b", "write and, or"},
		{"x need scope a || key b", "write and, or"},
		{"x need scope a OR key b", "OR: write or; put it in quotes if it is a name"},
		{"x Need scope a", "Need: write need"},
		{"x need scope \"\"", "is an environment variable not set?"},
		{"`` nobody", "is an environment variable not set?"},
	} {
		got, err := policy.ParseLine(words(tc.line))
		if err == nil {
			t.Errorf("%s: read as %s", tc.line, got)
		} else if !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s:\n got %v\nwant %s", tc.line, err, tc.want)
		}
	}
}

func TestParseNeed(t *testing.T) {
	t.Parallel()
	got, err := policy.ParseNeed(words("claim groups acme or key ci"))
	if want := "claim groups acme or key ci"; err != nil || got.String() != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	for _, tc := range []struct{ need, want string }{
		{"", "no conditions"},
		{"claim groups acme when `true`", "require takes conditions only, not when"},
		{"nobody", "require takes conditions only, not nobody"},
		{"\"\"", "an empty word"},
	} {
		if got, err := policy.ParseNeed(words(tc.need)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %s, %v; want %s", tc.need, got, err, tc.want)
		}
	}
}
