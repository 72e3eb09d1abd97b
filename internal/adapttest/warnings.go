package adapttest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// Logged validates a configuration, and returns what Caddy logs at WARN and above.
func Logged(t *testing.T, raw []byte) (log string, err error) {
	t.Helper()
	var config caddy.Config
	if err := caddy.StrictUnmarshalJSON(raw, &config); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "adapttest") // Caddy may still write there after an error
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	object := func(v map[string]string) json.RawMessage {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	file := filepath.Join(dir, "log")
	config.StorageRaw = object(map[string]string{"module": "file_system", "root": dir})
	config.Admin = &caddy.AdminConfig{Disabled: true}
	config.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {
		BaseLog: caddy.BaseLog{Level: "WARN", WriterRaw: object(map[string]string{"output": "file", "filename": file})},
	}}}
	testkit.Provisioning.Lock()
	defer testkit.Provisioning.Unlock()
	if err := caddy.Validate(&config); err != nil {
		return "", err
	}
	b, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(b), nil
}

// Warnings returns what mcp_auth warns of in a log, each with its cure: message ->
// cure. Other tests log at the same time.
func Warnings(t *testing.T, log string) (list []string) {
	t.Helper()
	for line := range strings.Lines(log) {
		var entry struct{ Logger, Msg, Cure string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		if entry.Logger == "http.handlers.mcp_auth" && entry.Cure != "" {
			list = append(list, entry.Msg+" -> "+entry.Cure)
		}
	}
	return list
}
