package option

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReplace(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("hush-hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	plain, secret, empty := "https://as.example.com", "{file."+file+"}", ""
	if err := Replace(Setting{"issuer", &plain}, Setting{"secret", &secret}, Setting{"endpoint", &empty}); err != nil {
		t.Fatal(err)
	}
	if plain != "https://as.example.com" || secret != "hush-hush" || empty != "" {
		t.Errorf("got %q, %q and %q", plain, secret, empty)
	}
	unset, unknown := "hush-hush{env.CADDY_MCP_NOT_SET}", "hush-hush{no.such.thing}"
	err := Replace(Setting{"secret", &unset}, Setting{"issuer", &plain}, Setting{"client_id", &unknown})
	if err == nil {
		t.Fatal("got no error")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "secret: ") || !strings.HasPrefix(lines[1], "client_id: ") {
		t.Errorf("got %q, want the two settings in their order", lines)
	}
	if strings.Contains(err.Error(), "hush-hush") {
		t.Errorf("a secret is in the message: %q", err)
	}
}
