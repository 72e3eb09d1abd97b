package web_test

import (
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

func TestIsLoopback(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"} {
		if !web.IsLoopback(host) {
			t.Errorf("IsLoopback(%q): got false, want true", host)
		}
	}
	for _, host := range []string{"", "a.localhost", "localhost.localhost", ".localhost", "a.LOCALHOST", "127.0.0.1.localhost", "::1%lo", "localhoſt", "localhost.", "localhost.example", "xlocalhost", "0.0.0.0", "::", "127.1", "0127.0.0.1", "2130706433", "128.0.0.1", "10.0.0.1", "localhost:80", "127.0.0.1.example"} {
		if web.IsLoopback(host) {
			t.Errorf("IsLoopback(%q): got true, want false", host)
		}
	}
}

func TestCheckAddress(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"https://as.example":         "",
		"https://as.example/a?b=c":   "",
		"HTTPS://as.example:8443":    "",
		"http://localhost:9000":      "",
		"http://127.0.0.1/token":     "",
		"http://[::1]:8080":          "",
		"":                           "not an absolute URL: write it with https://",
		"as.example":                 "not an absolute URL: write it with https://",
		"/token":                     "not an absolute URL: write it with https://",
		"//as.example/token":         "not an absolute URL: write it with https://",
		"https:///token":             "not an absolute URL: write it with https://",
		"https:as.example":           "not an absolute URL: write it with https://",
		"https://as.example:x":       "not an absolute URL: write it with https://",
		"file:///etc/passwd":         "not an absolute URL: write it with https://",
		"http://as.example":          "not https: a token sent there could be read on the way",
		"http://localhost.evil.com":  "not https: a token sent there could be read on the way",
		"http://app.localhost":       "not https: a token sent there could be read on the way",
		"http://localhost@evil.com":  "not https: a token sent there could be read on the way",
		"https://u:s@as.example":     "contains credentials: there are options for them",
		"https://as.example/token#x": "contains a fragment",
	} {
		got := ""
		if err := web.CheckAddress(address); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", address, got, want)
		}
	}
}
