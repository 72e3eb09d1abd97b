package integration_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var caddyfileBlock = regexp.MustCompile("(?ms)^```caddyfile\n(.*?)^```")

// Every Caddyfile in the manual is one that Caddy takes.
func TestDocumentedCaddyfiles(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob(filepath.Join("..", "docs", "*.md"))
	recipes, errRecipes := filepath.Glob(filepath.Join("..", "docs", "recipes", "*.md"))
	if errRecipes != nil || len(recipes) < 11 {
		t.Fatalf("recipes: %q, %v", recipes, errRecipes)
	}
	pages = append(pages, recipes...)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, page := range append(pages, filepath.Join("..", "README.md"), filepath.Join("..", "xcaddy.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range caddyfileBlock.FindAllStringSubmatch(string(text), -1) {
			n++
			file := filepath.Join(t.TempDir(), "Caddyfile")
			if err := os.WriteFile(file, []byte(match[1]), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(caddyBinary, "validate", "--config", file, "--adapter", "caddyfile")
			dir := t.TempDir()
			cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir, "API_TOKEN=x")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s\n%s", page, err, match[1], lastLine(string(out)))
			}
		}
	}
	if n < 5 {
		t.Errorf("only %d Caddyfiles in the manual: is the pattern right?", n)
	}
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}
