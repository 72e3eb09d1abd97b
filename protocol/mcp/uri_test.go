package mcp_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

func TestNormalURI(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{
		"file:///public/a.txt", "file:///public/", "file:///a%20b", "file:///caf%C3%A9", "file:///100%25", "file:///a;v=1/b", "file://nas/share/a",
		"https://example.com/", "https://example.com:8443/a?b=c&d=%2F", "https://[2001:db8::1]/a", "http://127.0.0.1:80801/a",
		"urn:isbn:0451450523", "ui://widget/index.html", "tenant://acme", "tenant://acme/", "tenant://acme/x/y", "memo:a", "a+b-c.1:x", "demo://x/.well-known/y", "demo://x/...", "demo:/a/b", "demo://x?a=/../b",
	} {
		if !mcp.NormalURI(uri) {
			t.Errorf("%s: got refused", uri)
		}
	}
	// One resource in many spellings.
	for _, uri := range []string{
		"", ":", "://", "/a", "a", "1a:b", "File:///secret/a", "FILE:///secret/a", "file:secret/a", "file:/secret/a", "file:////secret/a", "file://localhost/secret/a",
		"file:///secret/./a", "file:///secret/../secret/a", "file:///x/../secret/a", "file:///..", "file:///.", "file:///secret/a/..", "file:///secret//a", "file:///secret/a//",
		"file:///%73ecret/a", "file:///secret/%61", "file:///secret/a%2e", "file:///x/%2E%2E/secret/a", "file:///x/%2e%2e/secret/a", "file:///secret%2Fa", "file:///secret%2fa", "file:///secret%5Ca",
		`file:///secret\a`, "file:///secret/a%00", "file:///secret/a%0A", "file:///secret/a\n", "file:///secret/a ", " file:///secret/a", "file:///secret/ä", "file:///%252e%252e/secret/a", "file:///secret%252Fa", "file:///secret%252fa",
		"file:///secret/a#", "file:///secret/a#x", "file:///secret/a?", "file:///secret/a?x", "file:///secret/a%", "file:///secret/a%4", "file:///secret/a%zz", "file:///secret/a%c3%a9", "file:///x/..;/secret/a", "file:///x/.;a=b/a",
		"file:///secret/%C0%AFa", "file:///secret/%FF", "file:///secret/[a]", "file:///secret/{a}", "file:///secret/*\"", "file:///secret/a|b", "file:///secret/^", "file:///secret/`", "file:///secret/<a>",
		"https://EXAMPLE.com/a", "https://example.com", "https://example.com?a", "https:///example.com/a", "https:/example.com/a", "https:example.com/a", "https://example.com:443/a", "http://example.com:80/a", "https://example.com:/a", "https://example.com:08443/a", "https://example.com:x/a", "https://user@example.com/a", "https://u:p@example.com/a", "https://ex%61mple.com/a", "https://ex%C3%A4mple.com/a", "https://[::0001]/a", "https://[2001:DB8::1]/a", "https://[::1/a", "https://[::ffff:1.2.3.4%25x]/a", "https://[1.2.3.4]/a", "https://:80801/a",
		"https://example.com/a?b#c", "https://example.com/a?%61", "https://example.com/a?b c", "tenant://Acme/x", "tenant://acme//x", "demo://:8080", "wss://example.com:443/", "demo:a//b",
	} {
		if mcp.NormalURI(uri) {
			t.Errorf("%q: got accepted", uri)
		}
	}
}

// What is normal is what net/url makes of it, decoded and cleaned or not.
func FuzzNormalURI(f *testing.F) {
	for _, seed := range []string{"file:///a/b", "https://example.com/%41", "https://[::1]:80/", "a:b//c", "file:///a/%2E", "https://a.b:1/c?d=e%2F", "urn:a:b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		if !mcp.NormalURI(uri) {
			return
		}
		u, err := url.Parse(uri)
		if err != nil {
			// net/url is stricter about ports and some hosts.
			return
		}
		if got := u.String(); got != uri && !strings.HasSuffix(uri, ":") {
			t.Errorf("%q: net/url writes %q", uri, got)
		}
		if u.Fragment != "" || u.User != nil || u.Scheme != strings.ToLower(u.Scheme) || u.Host != strings.ToLower(u.Host) {
			t.Errorf("%q: accepted", uri)
		}
		if joined := u.JoinPath(); u.Path != "" && u.Path[0] == '/' && joined.Path != u.Path {
			t.Errorf("%q: cleaned, its path is %q", uri, joined.Path)
		}
	})
}
