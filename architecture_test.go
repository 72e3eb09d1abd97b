package caddymcp

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/caddy-mcp-auth/caddy-mcp-auth"

// list returns what `go list` prints, a line each.
func list(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return strings.Fields(string(out))
}

// The arrows of docs/architecture.md: modules use internal/, internal/ uses
// protocol/, and never the other way.
func TestArrows(t *testing.T) {
	t.Parallel()
	// withoutCaddy are the rooms that any Go program could use.
	withoutCaddy := []string{
		"./protocol/...", "./authserver/oauth", "./authserver/clientdoc", "./authserver/upstream",
		"./facade/reading", "./facade/repair", "./facade/logto", "./caddymcpauth/check", "./caddymcpauth/tools", "./caddymcpauth/serve",
	}
	modules := []string{"caddymcpauth", "authserver", "facade", "matchers", "whoami"}
	for _, tc := range []struct {
		name     string
		packages []string
		// forbidden says why a package must not import another.
		forbidden func(dependency string) string
	}{
		{"protocol knows no Caddy", withoutCaddy, func(dependency string) string {
			if strings.HasPrefix(dependency, "github.com/caddyserver/") {
				return "Caddy's"
			}
			return ""
		}},
		{"protocol stands by itself", list(t, "./protocol/..."), func(dependency string) string {
			if strings.HasPrefix(dependency, module+"/") && !strings.HasPrefix(dependency, module+"/protocol/") {
				return "above it"
			}
			return ""
		}},
		{"internal imports no module", list(t, "./internal/..."), func(dependency string) string {
			for _, m := range modules {
				if dependency == module+"/"+m || strings.HasPrefix(dependency, module+"/"+m+"/") {
					return "a module's"
				}
			}
			return ""
		}},
		{"guests don't know their host", []string{"./caddymcpauth/verifiers"}, func(dependency string) string {
			if slices.Contains(modules, strings.TrimPrefix(dependency, module+"/")) {
				return "a module's host"
			}
			switch dependency {
			case module + "/protocol/judge", module + "/protocol/policy", "github.com/maypok86/otter/v2":
				return "what the front door does with verdicts"
			}
			return ""
		}},
		{"discovery doesn't link the judging engine", []string{"./protocol/discovery"}, func(dependency string) string {
			switch dependency {
			case module + "/protocol/token", module + "/protocol/judge", "github.com/maypok86/otter/v2":
				return "the judging engine's"
			}
			return ""
		}},
		{"verifiers don't know who asks them", []string{"./protocol/token"}, func(dependency string) string {
			switch dependency {
			case module + "/protocol/judge", module + "/protocol/discovery", "github.com/maypok86/otter/v2":
				return "the judging engine's, or fetches metadata"
			}
			return ""
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for _, pkg := range tc.packages {
				for _, dependency := range list(t, "-deps", pkg) {
					if why := tc.forbidden(dependency); why != "" {
						t.Errorf("%s imports %s, which is %s", pkg, dependency, why)
					}
				}
			}
		})
	}
	t.Run("modules don't import each other", func(t *testing.T) {
		t.Parallel()
		for _, m := range modules {
			for _, dependency := range list(t, "-deps", "./"+m) {
				other, ours := strings.CutPrefix(dependency, module+"/")
				if ours && other != m && slices.Contains(modules, other) {
					t.Errorf("%s imports %s", m, other)
				}
			}
		}
	})
}
