// Package adapttest tests directives with fixtures in Caddy's own format: a
// Caddyfile, a line of dashes, and the JSON that it adapts to.
package adapttest

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// Fixtures runs the fixtures in testdata/adapt. ignore is part of the expected
// warnings; empty if none are expected.
func Fixtures(t *testing.T, ignore string) {
	t.Helper()
	files, err := filepath.Glob("testdata/adapt/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
			fixture, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, ok := strings.Cut(strings.ReplaceAll(string(fixture), "\r\n", "\n"), "----------\n")
			if !ok {
				t.Fatal("no separator")
			}
			got, warnings, err := Adapt(input)
			if err != nil {
				t.Fatal(err)
			}
			for _, warning := range warnings {
				if ignore == "" || !strings.Contains(warning.String(), ignore) {
					t.Errorf("warning: %v", warning)
				}
			}
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, got, "", "\t"); err != nil {
				t.Fatal(err)
			}
			if strings.TrimSpace(pretty.String()) != strings.TrimSpace(want) {
				t.Errorf("got:\n%s\nwant:\n%s", pretty.String(), want)
			}
			if err := Validate(t, got); err != nil {
				t.Errorf("validating: %v", err)
			}
		})
	}
}

// Adapt adapts a Caddyfile to JSON.
func Adapt(caddyfile string) ([]byte, []caddyconfig.Warning, error) {
	return caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), nil)
}

// Validate returns an error if Caddy doesn't accept the configuration.
func Validate(t *testing.T, raw []byte) error {
	t.Helper()
	var config caddy.Config
	if err := caddy.StrictUnmarshalJSON(raw, &config); err != nil {
		return err
	}
	storage, err := json.Marshal(map[string]string{"module": "file_system", "root": t.TempDir()})
	if err != nil {
		return err
	}
	config.StorageRaw = storage
	config.Admin = &caddy.AdminConfig{Disabled: true}
	config.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{Level: "FATAL"}}}}
	testkit.Provisioning.Lock()
	defer testkit.Provisioning.Unlock()
	return caddy.Validate(&config)
}

// Refused adapts a site's directives and, if that succeeds, validates them. It
// fails the test unless there is an error that contains want.
func Refused(t *testing.T, site, want string) {
	t.Helper()
	raw, _, err := Adapt("https://mcp.example.com {\n" + site + "\n}\n")
	if err == nil {
		err = Validate(t, raw)
	}
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s\ngot %v, want %q", site, err, want)
	}
}
