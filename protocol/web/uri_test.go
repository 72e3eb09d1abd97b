package web_test

import (
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

func TestUnreserved(t *testing.T) {
	t.Parallel()
	const all = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~" // RFC 3986, section 2.3
	for c := range 256 {
		if got, want := web.Unreserved(byte(c)), c < 128 && strings.Contains(all, string(rune(c))); got != want {
			t.Errorf("%q: got %t, want %t", byte(c), got, want)
		}
	}
}

func TestRemoveDotSegments(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/a/b/c/./../../g": "/a/g", // the example of RFC 3986, section 5.2.4
		"":                 "/",
		"/":                "/",
		"/.":               "/",
		"/..":              "/",
		"/../../a":         "/a",
		"/a/..":            "/",
		"/a/.":             "/a/",
		"/a//../b":         "/a/b",
		"/a/...":           "/a/...",
		"/a/%2e%2e/b":      "/a/%2e%2e/b",
	} {
		if got := web.RemoveDotSegments(path); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}
