package integration_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

var caddyfileBlock = regexp.MustCompile("(?ms)^```caddyfile\n(.*?)^```")

// manual returns the files that the manual is made of.
func manual(t *testing.T) []string {
	t.Helper()
	files := []string{filepath.Join("..", "bench", "README.md")}
	for pattern, least := range map[string]int{
		filepath.Join("..", "*.md"):                    4,
		filepath.Join("..", "docs", "*.md"):            14,
		filepath.Join("..", "docs", "guides", "*.md"):  6,
		filepath.Join("..", "docs", "recipes", "*.md"): 11,
	} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) < least {
			t.Fatalf("%s: %q, %v", pattern, found, err)
		}
		files = append(files, found...)
	}
	return files
}

// Every Caddyfile in the manual is one that Caddy takes.
func TestDocumentedCaddyfiles(t *testing.T) {
	t.Parallel()
	n := 0
	for _, page := range manual(t) {
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
			if err := validate(t, file); err != nil {
				t.Errorf("%s: %v\n%s", page, err, match[1])
			}
		}
	}
	if n < 5 {
		t.Errorf("only %d Caddyfiles in the manual: is the pattern right?", n)
	}
}

// validate returns an error unless Caddy takes the Caddyfile and `caddy fmt` would
// leave it as it is.
func validate(t *testing.T, file string) error {
	t.Helper()
	dir := t.TempDir()
	caddy := func(args ...string) error {
		cmd := exec.Command(caddyBinary, args...)
		cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir, "API_TOKEN=x")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("caddy %s: %w: %s", args[0], err, lastLine(string(out)))
		}
		return nil
	}
	if err := caddy("validate", "--config", file, "--adapter", "caddyfile"); err != nil {
		return err
	}
	return caddy("fmt", "--diff", file)
}

// Every example is one that Caddy takes, and says first what it shows.
func TestExamples(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("..", "examples", "*.caddyfile"))
	if err != nil || len(files) < 10 {
		t.Fatalf("got %q, %v", files, err)
	}
	for _, file := range append(files, filepath.Join("..", "Caddyfile.example"), filepath.Join("..", "compose.Caddyfile")) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(text), "# ") {
				t.Error("it doesn't say what it shows")
			}
			if err := validate(t, file); err != nil {
				t.Error(err)
			}
		})
	}
}

// The README is a front page, not the manual.
func TestREADMESize(t *testing.T) {
	t.Parallel()
	const most = 10_000
	text, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > most {
		t.Errorf("README.md has %d bytes, at most %d are wanted: move something to docs/", len(text), most)
	}
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

var (
	fencedBlock  = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	markdownLink = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	heading      = regexp.MustCompile(`(?m)^#+ +(.+)$`)
)

// anchors returns what a link into a page can name: its headings, as GitHub
// spells them.
func anchors(text string) map[string]bool {
	names := make(map[string]bool)
	for _, match := range heading.FindAllStringSubmatch(fencedBlock.ReplaceAllString(text, ""), -1) {
		title := markdownLink.ReplaceAllString(strings.ToLower(match[1]), "]")
		names[strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return r
			}
			return -1
		}, title)] = true
	}
	return names
}

// Every link within the manual leads somewhere.
func TestDocumentedLinks(t *testing.T) {
	t.Parallel()
	read := func(file string) string {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	n := 0
	for _, page := range manual(t) {
		for _, match := range markdownLink.FindAllStringSubmatch(fencedBlock.ReplaceAllString(read(page), ""), -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			n++
			file, anchor, _ := strings.Cut(match[1], "#")
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), filepath.FromSlash(file))
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %s leads nowhere", page, match[1])
			} else if anchor != "" && !anchors(read(target))[anchor] {
				t.Errorf("%s: there is no #%s in %s", page, anchor, target)
			}
		}
	}
	if n < 50 {
		t.Errorf("only %d links in the manual: is the pattern right?", n)
	}
}
