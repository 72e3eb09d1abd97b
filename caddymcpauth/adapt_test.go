package caddymcpauth_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// What the directive makes of a Caddyfile, and that Caddy takes it. The
// fixtures have the form of Caddy's own.
func TestAdapt(t *testing.T) {
	t.Setenv("ISSUER", "https://as.example.org")
	t.Setenv("JWKS_URI", "https://other.example.com/jwks")
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
			got, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, warning := range warnings {
				if !strings.Contains(warning.String(), "basicauth") { // one fixture has the old name on purpose
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
			validate(t, got)
		})
	}
}

// validate fails the test if Caddy does not take the configuration.
func validate(t *testing.T, raw []byte) {
	t.Helper()
	var config caddy.Config
	if err := caddy.StrictUnmarshalJSON(raw, &config); err != nil {
		t.Fatal(err)
	}
	storage, err := json.Marshal(map[string]string{"module": "file_system", "root": t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	config.StorageRaw = storage
	config.Admin = &caddy.AdminConfig{Disabled: true}
	config.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{Level: "FATAL"}}}}
	provisioning.Lock()
	defer provisioning.Unlock()
	if err := caddy.Validate(&config); err != nil {
		t.Errorf("validating: %v", err)
	}
}
