package caddymcpauth_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Each policy of the guide is a fixture.
func TestGuideOfPolicies(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/adapt/guide_*.caddyfiletest")
	if err != nil {
		t.Fatal(err)
	}
	var fixtures []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		input, _, _ := strings.Cut(string(text), "----------\n")
		fixtures = append(fixtures, input)
	}
	guide, err := os.ReadFile("../docs/guides/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```caddyfile\n(.*?)^```").FindAllStringSubmatch(string(guide), -1)
	if len(blocks) < 13 {
		t.Errorf("the guide has %d policies", len(blocks))
	}
	for _, block := range blocks {
		if !slices.Contains(fixtures, block[1]) {
			t.Errorf("no fixture has\n%s", block[1])
		}
	}
}
