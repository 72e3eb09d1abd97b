package caddymcpauth_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// Mistakes in rules that the Caddyfile shows.
func TestPolicyAdaptErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, lines, want string }{
		{"no names", "tools", "tools: no names: write what the line is about"},
		{"a keyword as a name", "tools need scope x", "no name before need: names come first; put a name that is a keyword in quotes"},
		{"an unknown condition", "tools x need email a@example.com", `tools: need: unknown condition "email": known are scope, claim, client, user and key`},
		{"not scope", "prompts x need not scope y", "prompts: need: not scope: a client could drop the scope"},
		{"when without quotes", "resources x:* when uri == 1", "resources: \"==\" after the expression: when comes last and takes one word, so put the whole expression in backquotes"},
		{"nobody with more", "methods x nobody need scope y", "methods: \"need\" after nobody"},
		{"require without conditions", "require", "require: no conditions"},
		{"require with when", "require claim a b when `true`", "require: require takes conditions only, not when"},
		{"an unset variable", "tools {$NOT_SET}", "no names"},
		{"an unset variable in a condition", `tools x need claim groups "{$NOT_SET}"`, "is an environment variable not set?"},
		{"refuse without value", "tools x\nrefuse", "refuse takes challenge, error or result"},
		{"refuse something else", "tools x\nrefuse always", "refuse takes challenge, error or result"},
		{"refuse with more", "tools x\nrefuse error openai-mcp*", "as in: refuse result for openai-mcp*"},
		{"refuse for no client", "tools x\nrefuse error for", "as in: refuse result for openai-mcp*"},
		{"refuse for an unset variable", "tools x\nrefuse error for \"{$NOT_SET}\"", "is an environment variable not set?"},
		{"refuse twice", "tools x\nrefuse error\nrefuse challenge", "refuse challenge never gets there, for refuse error before it is for every client: write the one without `for` last"},
		{"refuse after one for all", "tools x\nrefuse error\nrefuse result for a*", "refuse result never gets there"},
		{"refuse twice for a client", "tools x\nrefuse error for a*\nrefuse result for a*", "refuse for a* is given twice"},
		{"anonymous with more", "anonymous tools", "anonymous"},
		{"anonymous twice", "anonymous\nanonymous", "anonymous is given twice"},
		{"security_schemes with more", "tools x\nsecurity_schemes tools", "security_schemes"},
		{"offer without scopes", "offer", "offer"},
		{"offer twice", "offer a\noffer b", "offer is given twice"},
		{"max_body without value", "tools x\nmax_body", "max_body takes a size such as 4MiB"},
		{"max_body of nothing", "tools x\nmax_body 0", `max_body: "0" is not a size such as 4MiB`},
		{"max_body of words", "tools x\nmax_body lots", `max_body: "lots" is not a size`},
		{"max_body twice", "tools x\nmax_body 1MiB\nmax_body 2MiB", "max_body is given twice"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := adapt(frontDoor("https://as.example.com", tc.lines))
			checkError(t, err, tc.want)
		})
	}
}

// Mistakes in rules that show when they are put together.
func TestPolicyProvisionErrors(t *testing.T) {
	t.Parallel()
	door := func(lines string) string { return frontDoor("https://as.example.com", lines) }
	two := "mcp_auth " + testResource + " {\nissuer https://as.example.com\nissuer https://as.example.org\n"
	for _, tc := range []struct{ name, site, want string }{
		{"an unreachable line", door("tools get_*\ntools get_hidden nobody"), "tools line 2 (get_hidden nobody): get_hidden never gets here, for line 1 (get_*) comes first and names it"},
		{"a comma", door("tools a, b"), `"a," has a comma: separate names by blanks`},
		{"a brace", door("tools x_{id}"), `"x_{id}" has a brace, which Caddy would replace: write * for that part of the name`},
		{"a brace that Caddy expands", door("resources file:///{path}"), `has a brace, which Caddy would replace: write * for what varies in a template`},
		{"a brace in backquotes", door("tools `x_{path}`"), "has a brace, which Caddy would replace"},
		{"CEL", door("tools x when `arguments.a >`"), "tools line 1 (x when `arguments.a >`): when: line 1, column 14: "},
		{"a regular expression", door("tools x when `name.matches('[')`"), "error parsing regexp"},
		{"a scope with a quote", door("tools x need scope `a\"b`"), "tools line 1"},
		{"offline_access", door("tools x need scope offline_access"), "offline_access is not a scope of a resource"},
		{"a scope with a comma", door("tools x need scope a,b"), "list scopes one by one"},
		{"a key that isn't there", door("tools x need not key ci"), `key ci: no such API key; the keys of ` + "`static`" + ` are []`},
		{"an issuer that isn't there", door("tools x need user a at https://as.example.org"), "no such issuer; configured are"},
		{"a user of two issuers", two + "tools x need user a\n}", "the same name may be two users: write user <subjects...> at <issuer>"},
		{"refuse without rules", door("refuse error"), "have no use without rules"},
		{"security_schemes without rules", door("security_schemes"), "have no use without rules"},
		{"an anonymous line without the option", door("tools x\nprompts y\nprompts z anonymous"), "prompts line 2 (prompts z anonymous): callers without a token don't get that far: add the option `anonymous`"},
		{"an offered scope with a quote", door("offer `a\"b`"), "offer"},
		{"offline_access is offered", door("offer offline_access"), "offer: offline_access is not a scope of a resource"},
		{"max_body without rules", door("max_body 1MiB"), "have no use without rules"},
		{"keys beside users of the same identifier", "mcp_auth https://mcp.example.com/mcp {\nissuer https://as.example.com {\njwt\nstatic {\nkey ci " + hashOf("k") + "\n}\n}\nissuer https://mcp.example.com/mcp\n}", "its users could not be told from API keys"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			routes, err := adapt(tc.site)
			if err != nil {
				t.Fatal(err)
			}
			_, err = provision(t, routes)
			checkError(t, err, tc.want)
		})
	}
}

// The same, and more, in JSON.
func TestPolicyProvisionErrorsOfJSON(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, rules, want string }{
		{"no names", `"tools":[{"nobody":true}]`, "tools line 1 (nobody): no names"},
		{"nobody and need", `"tools":[{"names":["a"],"nobody":true,"need":[[{"scope":["s"]}]]}]`, "stand alone"},
		{"an unknown member", `"tools":[{"names":["a"],"needs":[]}]`, "unknown field"},
		{"a negative max_body", `"tools":[{"names":["a"]}],"max_body":-1`, "max_body is -1"},
		{"an unknown refuse", `"tools":[{"names":["a"]}],"refuse":[{"as":"x"}]`, `refuse takes challenge, error or result, not "x"`},
		{"two ways to refuse", `"tools":[{"names":["a"]}],"refuse":[{"as":"error"},{"as":"error"}]`, "refuse error never gets there"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := provision(t, json.RawMessage(`[{"handle":[{"handler":"mcp_auth","resource":"`+testResource+`","issuers":[{"issuer":"https://as.example.com"}],`+tc.rules+`}]}]`))
			checkError(t, err, tc.want)
		})
	}
}

// A tool may be called import, although Caddy has a directive of that name.
func TestPolicyToolNamedImport(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	for _, line := range []string{"tools import need scope s", `tools "import" need scope s`} {
		s := serve(t, frontDoor(issuer.Issuer(), line), nil)
		if got := s.post(t, issuer.Mint(nil), toolCall("import", "{}")); got.StatusCode != 403 {
			t.Errorf("%s: got %d, want 403", line, got.StatusCode)
		}
	}
}

// What is legal and probably not meant is a warning.
func TestPolicyWarnings(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		lines string
		want  int
	}{{"tools delete_* nobody\ntools *", 1}, {"tools delete_* nobody\ntools * need scope s", 0}, {"tools *", 0}} {
		got, err := warningsOf(t, "http://mcp.example.com {\n"+frontDoor("https://as.example.com", tc.lines)+"\nrespond hello\n}\n")
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, warning := range got {
			if strings.Contains(warning, "opens everything that the lines above it don't name") {
				n++
			}
		}
		if n != tc.want {
			t.Errorf("%q: got %q, want %d warnings", tc.lines, got, tc.want)
		}
	}
}
