package whoami

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

var update = flag.Bool("update", false, "write what the Caddyfiles in testdata adapt to")

func adapt(caddyfile string) ([]byte, error) {
	got, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), nil)
	return got, err
}

// Each fixture is a Caddyfile, a line of dashes, and its JSON.
func TestAdapt(t *testing.T) {
	fixtures, err := filepath.Glob("testdata/*.caddyfiletest")
	if err != nil || len(fixtures) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	const separator = "\n----------\n"
	for _, file := range fixtures {
		t.Run(filepath.Base(file), func(t *testing.T) {
			fixture, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			caddyfile, want, _ := strings.Cut(string(fixture), separator)
			adapted, err := adapt(caddyfile)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := json.Indent(&got, adapted, "", "\t"); err != nil {
				t.Fatal(err)
			}
			got.WriteByte('\n')
			if *update {
				if err := os.WriteFile(file, []byte(caddyfile+separator+got.String()), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got.String() != want {
				t.Errorf("got %s\nwant %s", got.String(), want)
			}
		})
	}
}

func TestAdaptErrors(t *testing.T) {
	for _, tc := range []struct{ name, caddyfile, want string }{
		{"argument", "mcp_whoami on", `unexpected argument "on": mcp_whoami takes a matcher`},
		{"argument after the matcher", "mcp_whoami /mcp on", `unexpected argument "on"`},
		{"unknown option", "mcp_whoami {\n tool x\n}", `unrecognized mcp_whoami option "tool": use name or sse`},
		{"repeated name", "mcp_whoami {\n name a\n name b\n}", "name is given twice: keep one"},
		{"repeated sse", "mcp_whoami {\n sse /a\n sse /b\n}", "sse is given twice: keep one"},
		{"name without value", "mcp_whoami {\n name\n}", "name takes exactly one value, as in `name my-server`"},
		{"empty name", "mcp_whoami {\n name \"\"\n}", "name takes exactly one value"},
		{"two names", "mcp_whoami {\n name a b\n}", "name takes exactly one value"},
		{"sse without value", "mcp_whoami {\n sse\n}", "sse takes exactly one value, as in `sse /sse`"},
		{"two paths", "mcp_whoami {\n sse /a /b\n}", "sse takes exactly one value"},
		{"block", "mcp_whoami {\n sse /a {\n  x\n }\n}", "sse takes no block"},
		{"exact matcher", "mcp_whoami /mcp {\n sse /sse\n}", "use a named matcher such as `@mcp path /mcp /sse`"},
		{"prefix matcher", "mcp_whoami /mcp/* {\n sse /mcp\n}", "sse /mcp is unreachable: the matcher /mcp/*"},
		{"undefined matcher", "mcp_whoami @mcp", "@mcp"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := adapt(":8080 {\n" + tc.caddyfile + "\n}\n")
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %s, error %v, want one with %q", got, err, tc.want)
			}
		})
	}
}

func TestOutOfReach(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		matcher, sse string
		want         bool
	}{
		{"/mcp", "/sse", true},
		{"/mcp*", "/sse", true},
		{"/mcp/*", "/mcp", true},
		{"/sse", "/sse", false},
		{"/SSE", "/sse", false}, // Caddy's path matcher ignores case
		{"/*", "/sse", false},
		{"/mcp*", "/mcp/sse", false},
		{"/*/sse", "/mcp/sse", false}, // not judged
		{"/%73se", "/sse", false},     // not judged
		{"/{env.X}", "/sse", false},   // not judged
		{"/mcp", "/{env.X}", false},   // not judged
	} {
		if got := outOfReach(tc.matcher, tc.sse); got != tc.want {
			t.Errorf("matcher %s, sse %s: got %v, want %v", tc.matcher, tc.sse, got, tc.want)
		}
	}
}
