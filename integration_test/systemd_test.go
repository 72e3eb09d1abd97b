package integration_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var unitBlock = regexp.MustCompile("(?ms)^```ini\n(.*?)^```")

// systemd understands every line of the unit in the guide.
func TestSystemdUnit(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		skip(t, "systemd-analyze")
	}
	text, err := os.ReadFile(filepath.Join("..", "docs", "guides", "systemd.md"))
	if err != nil {
		t.Fatal(err)
	}
	match := unitBlock.FindStringSubmatch(string(text))
	if match == nil || strings.Count(match[1], "/usr/local/bin/caddy ") != 2 {
		t.Fatal("no unit in the guide")
	}
	for _, tc := range []struct {
		name, unit string
		good       bool
	}{
		{"the guide's", match[1], true},
		{"with a line that isn't known", strings.Replace(match[1], "PrivateTmp=", "PrivateTemp=", 1), false},
	} {
		file := filepath.Join(t.TempDir(), "caddy.service")
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(tc.unit, "/usr/local/bin/caddy", caddyBinary)), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("systemd-analyze", "verify", file).CombinedOutput()
		// What is said about other units of the machine doesn't count.
		if good := err == nil && !strings.Contains(string(out), "caddy.service"); good != tc.good {
			t.Errorf("%s: %v\n%s", tc.name, err, out)
		}
	}
}
