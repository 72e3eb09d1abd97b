package integration_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/caddy-mcp-auth/caddy-mcp-auth"

// A checkout builds the way xcaddy builds it: from a main.go and a go.mod of
// their own, with the module replaced by the checkout. One folder alone links
// only that module.
func TestBuildAsXcaddyDoes(t *testing.T) {
	t.Parallel()
	checkout, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, path string
		want       []string
	}{
		{"the whole module", module, []string{
			"admin.api.mcp_auth",
			"admin.api.mcp_auth_facade",
			"admin.api.mcp_auth_server",
			"http.handlers.mcp_auth",
			"http.handlers.mcp_auth_facade",
			"http.handlers.mcp_auth_guard",
			"http.handlers.mcp_auth_server",
			"http.handlers.mcp_whoami",
			"http.matchers.mcp_method",
			"http.matchers.mcp_prompt",
			"http.matchers.mcp_resource",
			"http.matchers.mcp_tool",
			"http.mcp_auth.registrars.forward",
			"http.mcp_auth.registrars.logto",
			"http.mcp_auth.registrars.static",
			"http.mcp_auth.verifiers.github",
			"http.mcp_auth.verifiers.introspection",
			"http.mcp_auth.verifiers.jwt",
			"http.mcp_auth.verifiers.static",
			"http.mcp_auth.verifiers.userinfo",
		}},
		{"whoami alone", module + "/whoami", []string{"http.handlers.mcp_whoami"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			main := fmt.Sprintf("package main\n\nimport (\n\tcaddycmd \"github.com/caddyserver/caddy/v2/cmd\"\n\t_ \"github.com/caddyserver/caddy/v2/modules/standard\"\n\n\t_ %q\n)\n\nfunc main() { caddycmd.Main() }\n", test.path)
			if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(main), 0o600); err != nil {
				t.Fatal(err)
			}
			binary := filepath.Join(dir, "caddy")
			for _, args := range [][]string{
				{"mod", "init", "caddy"},
				{"mod", "edit", "-replace", module + "=" + checkout, "-require", module + "@v0.0.0"},
				{"mod", "tidy"},
				{"build", "-o", binary, "."},
			} {
				cmd := exec.Command("go", args...)
				cmd.Dir = dir
				cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
				}
			}
			out, err := exec.Command(binary, "list-modules").Output()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for line := range strings.Lines(string(out)) {
				if line = strings.TrimSpace(line); strings.Contains(line, "mcp_") {
					got = append(got, line)
				}
			}
			if strings.Join(got, " ") != strings.Join(test.want, " ") {
				t.Errorf("modules %q, want %q", got, test.want)
			}
		})
	}
}
