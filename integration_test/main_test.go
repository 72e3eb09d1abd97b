// Package integration_test runs real MCP clients and a real authorization server
// against a real Caddy. Everything is on loopback, on free ports.
//
// The tests of clients need the Node side (see node/README.md): `make test`
// installs it. What isn't installed is skipped, unless CI is set.
package integration_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// caddyBinary is the Caddy under test, built once per run with buildFlags.
var (
	caddyBinary string
	buildFlags  []string
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "mcp-auth-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	caddyBinary = filepath.Join(dir, "caddy")
	if runtime.GOOS == "windows" {
		caddyBinary += ".exe"
	}
	if os.Getenv("GOCOVERDIR") != "" {
		// `make cover`: the Caddys that the tests run say what they have covered.
		buildFlags = append(buildFlags, "-cover", "-coverpkg=github.com/caddy-mcp-auth/caddy-mcp-auth/...")
	}
	build := exec.Command("go", append(append([]string{"build"}, buildFlags...), "-o", caddyBinary, "../cmd/caddy")...)
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building Caddy:", err)
		return 1
	}
	redisDir = filepath.Join(dir, "redis")
	pebbleDir = filepath.Join(dir, "pebble")
	return m.Run()
}

// skip skips the test because something isn't installed. In CI nothing skips.
func skip(t *testing.T, missing string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("in CI nothing may be missing: %s", missing)
	}
	t.Skip(missing)
}
