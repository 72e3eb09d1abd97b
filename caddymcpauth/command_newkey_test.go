package caddymcpauth_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

// run runs `caddy mcp-auth` with args.
func run(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := &cobra.Command{Use: "mcp-auth"}
	caddycmd.Commands()["mcp-auth"].CobraFunc(cmd)
	var out, errs bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

// What the command prints works as it is.
func TestNewKey(t *testing.T) {
	t.Parallel()
	stdout, stderr, err := run(t, "new-key", "--name", "nightly", "--scope", "read", "--scope", "write admin")
	if err != nil || stderr != "" {
		t.Fatalf("got the error %v, on stderr %q", err, stderr)
	}
	lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "mcpk_") || !strings.HasPrefix(lines[1], "key nightly ") {
		t.Fatalf("got %q, want a key and its line", stdout)
	}
	if strings.Contains(lines[1], lines[0]) {
		t.Errorf("the line %q has the key in it", lines[1])
	}
	s := serve(t, guestDoorOf("https://as.example.com", "static {\n"+lines[1]+"\n}"), tellIdentity)
	if got := s.do(t, "POST", "/mcp", bearer(lines[0])...); got.StatusCode != 200 || !strings.Contains(got.body, `"nightly","nightly",["read","write","admin"]`) {
		t.Errorf("with the key: got %d %s", got.StatusCode, got.body)
	}
	if got := s.do(t, "POST", "/mcp", bearer(lines[0]+"x")...); got.StatusCode != 401 {
		t.Errorf("with another key: got %d, want 401", got.StatusCode)
	}
}

func TestNewKeyDefaults(t *testing.T) {
	t.Parallel()
	first, _, err := run(t, "new-key")
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := run(t, "new-key")
	if err != nil {
		t.Fatal(err)
	}
	if first == second {
		t.Errorf("got the same key twice: %q", first)
	}
	if words := strings.Fields(first); len(words) != 4 || words[1] != "key" || words[2] != "ci" || len(words[3]) != 64 {
		t.Errorf("got %q, want a key and `key ci <hash>`", first)
	}
}

func TestNewKeyErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"empty name", []string{"--name", ""}, "key 0 has no name"},
		{"name with a space", []string{"--name", "nightly job"}, `"nightly job" is not a plain word in a Caddyfile`},
		{"name with a brace", []string{"--name", "{$HOME}"}, "is not a plain word"},
		{"name with a comment", []string{"--name", "#ci"}, "is not a plain word"},
		{"name with a heredoc", []string{"--name", "<<ci"}, "is not a plain word"},
		{"name with a tab", []string{"--name", "a\tb"}, "contains a control character"},
		{"scope with a quote", []string{"--scope", `a"b`}, "separate scopes by spaces"},
		{"scope with a comma", []string{"--scope", "read,"}, "ends in a comma"},
		{"scope with a brace", []string{"--scope", "{"}, "is not a plain word"},
		{"argument", []string{"ci"}, `unknown command "ci"`},
		{"unknown flag", []string{"--key", "x"}, "unknown flag: --key"},
	} {
		stdout, _, err := run(t, append([]string{"new-key"}, test.args...)...)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got the error %v, want %q", test.name, err, test.want)
		}
		if strings.Contains(stdout, "mcpk_") {
			t.Errorf("%s: got %q", test.name, stdout)
		}
	}
}
