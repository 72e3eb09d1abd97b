package caddymcp

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func read(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// The compose file runs our image without privileges, with a Caddyfile that is
// there.
func TestComposeFile(t *testing.T) {
	t.Parallel()
	var compose struct {
		Services map[string]struct {
			Build    string
			ReadOnly bool     `yaml:"read_only"`
			CapDrop  []string `yaml:"cap_drop"`
			Ports    []string
			Volumes  []string
		}
		Volumes map[string]any
	}
	read(t, "compose.yaml", &compose)
	caddy, ok := compose.Services["caddy"]
	if !ok || caddy.Build != "." || !caddy.ReadOnly || len(caddy.CapDrop) != 1 || caddy.CapDrop[0] != "ALL" || len(caddy.Ports) != 3 {
		t.Errorf("got the service %+v", caddy)
	}
	for _, volume := range caddy.Volumes {
		source, _, _ := strings.Cut(volume, ":")
		if _, named := compose.Volumes[source]; named {
			continue
		}
		if _, err := os.Stat(source); err != nil {
			t.Errorf("volume %s: %v", volume, err)
		}
	}
}

// Both images end in the same stage: without privileges, from nothing but the
// program and certificates.
func TestDockerfiles(t *testing.T) {
	t.Parallel()
	last := func(file string) string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, stage, ok := strings.Cut(string(text), "\nENV ")
		if !ok || !strings.Contains(string(text), "\nFROM scratch\n") {
			t.Fatalf("%s: no last stage from scratch", file)
		}
		return stage
	}
	own, release := last("Dockerfile"), last("Dockerfile.release")
	if own != release {
		t.Errorf("Dockerfile and Dockerfile.release differ in what they run:\n%s\n%s", own, release)
	}
	if !strings.Contains(own, "\nUSER 65532:65532\n") {
		t.Error("the image runs with privileges")
	}
}

// Workflows have no more permissions than they need, and run actions of exactly
// one commit.
func TestWorkflows(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(".github", "workflows", "*.yml"))
	if err != nil || len(files) < 2 {
		t.Fatalf("got %q, %v", files, err)
	}
	pinned := regexp.MustCompile(`^[\w.-]+/[\w./-]+@[0-9a-f]{40}$`)
	for _, file := range files {
		var workflow struct {
			Permissions map[string]string
			Jobs        map[string]struct {
				Timeout int `yaml:"timeout-minutes"`
				Steps   []struct{ Uses string }
			}
		}
		read(t, file, &workflow)
		for scope, access := range workflow.Permissions {
			if access != "read" {
				t.Errorf("%s: every job may %s %s", file, access, scope)
			}
		}
		if workflow.Permissions == nil {
			t.Errorf("%s: no permissions, which means the repository's default", file)
		}
		for name, job := range workflow.Jobs {
			if job.Timeout == 0 {
				t.Errorf("%s: %s has no timeout", file, name)
			}
			for _, step := range job.Steps {
				if step.Uses != "" && !pinned.MatchString(step.Uses) {
					t.Errorf("%s: %s runs %s, which is not one commit", file, name, step.Uses)
				}
			}
		}
	}
}

// What else is configuration can be read.
func TestConfigurationFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(".github", "ISSUE_TEMPLATE", "*.yml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("got %q, %v", files, err)
	}
	for _, file := range append(files, ".golangci.yml", ".goreleaser.yaml", filepath.Join(".github", "dependabot.yml")) {
		var any map[string]any
		if read(t, file, &any); len(any) == 0 {
			t.Errorf("%s is empty", file)
		}
	}
}
