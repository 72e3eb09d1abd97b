package integration_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The table of clients is of the versions that `make test-clients` runs: with
// another version, it has to be made again.
func TestClientVersions(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("clients", "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	var installed struct{ Dependencies, OptionalDependencies map[string]string }
	if err := json.Unmarshal(text, &installed); err != nil || len(installed.Dependencies) < 7 {
		t.Fatalf("got %v, %v", installed, err)
	}
	for name, version := range installed.OptionalDependencies {
		if !strings.HasPrefix(name, "node-") { // Node.js itself
			installed.Dependencies[name] = version
		}
	}
	page, err := os.ReadFile(filepath.Join("..", "docs", "clients.md"))
	if err != nil {
		t.Fatal(err)
	}
	for name, version := range installed.Dependencies {
		row := regexp.MustCompile(`(?m)^\| [^|]+ ` + regexp.QuoteMeta(version) + ` \|`)
		if !row.Match(page) {
			t.Errorf("docs/clients.md has no row for %s %s: use `make test-clients UPDATE=1`", name, version)
		}
	}
}
