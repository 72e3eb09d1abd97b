package resource_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/resource"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

func TestParse(t *testing.T) {
	t.Parallel()
	const wellKnown = "/.well-known/oauth-protected-resource"
	tests := []struct {
		name, raw, origin, metadataPath string
	}{
		{"root (RFC 9728, section 3.1)", "https://resource.example.com", "https://resource.example.com", wellKnown},
		{"root with slash", "https://resource.example.com/", "https://resource.example.com", wellKnown},
		{"path (RFC 9728, section 3.1)", "https://resource.example.com/resource1", "https://resource.example.com", wellKnown + "/resource1"},
		{"trailing slash", "https://mcp.example.com/mcp/", "https://mcp.example.com", wellKnown + "/mcp"},
		{"deep", "https://mcp.example.com/a/b/c", "https://mcp.example.com", wellKnown + "/a/b/c"},
		{"escaped", "https://mcp.example.com/a%20b/%C3%A4", "https://mcp.example.com", wellKnown + "/a%20b/%C3%A4"},
		{"escaped lower case", "https://mcp.example.com/%c3%a4", "https://mcp.example.com", wellKnown + "/%c3%a4"},
		{"not ASCII", "https://mcp.example.com/ä", "https://mcp.example.com", wellKnown + "/%C3%A4"},
		{"dots that are none", "https://mcp.example.com/a..b/.c/...", "https://mcp.example.com", wellKnown + "/a..b/.c/..."},
		{"host in upper case", "https://MCP.Example.COM/MCP", "https://mcp.example.com", wellKnown + "/MCP"},
		{"scheme in upper case", "HTTPS://mcp.example.com/mcp", "https://mcp.example.com", wellKnown + "/mcp"},
		{"port", "https://mcp.example.com:8443/mcp", "https://mcp.example.com:8443", wellKnown + "/mcp"},
		{"the scheme's own port", "https://mcp.example.com:443/mcp", "https://mcp.example.com", wellKnown + "/mcp"},
		{"http's port on https", "https://mcp.example.com:80/mcp", "https://mcp.example.com:80", wellKnown + "/mcp"},
		{"punycode", "https://xn--bcher-kva.example/mcp", "https://xn--bcher-kva.example", wellKnown + "/mcp"},
		{"IPv4", "https://192.0.2.1/mcp", "https://192.0.2.1", wellKnown + "/mcp"},
		{"IPv6", "https://[2001:DB8::1]:8443/mcp", "https://[2001:db8::1]:8443", wellKnown + "/mcp"},
		{"loopback", "http://localhost:8080/mcp", "http://localhost:8080", wellKnown + "/mcp"},
		{"loopback, own port", "http://localhost:80/mcp", "http://localhost", wellKnown + "/mcp"},
		{"below localhost, with TLS", "https://mcp.localhost/mcp", "https://mcp.localhost", wellKnown + "/mcp"},
		{"loopback IPv4", "http://127.0.0.1:8080", "http://127.0.0.1:8080", wellKnown},
		{"loopback IPv6", "http://[::1]:8080/mcp", "http://[::1]:8080", wellKnown + "/mcp"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			id, err := resource.Parse(tc.raw)
			if err != nil {
				t.Fatalf("got %v, want no error", err)
			}
			if got := id.String(); got != tc.raw {
				t.Errorf("got identifier %q, want %q, as it was written", got, tc.raw)
			}
			if got := id.Origin(); got != tc.origin {
				t.Errorf("got origin %q, want %q", got, tc.origin)
			}
			if got := id.MetadataPath(); got != tc.metadataPath {
				t.Errorf("got metadata path %q, want %q", got, tc.metadataPath)
			}
			if got, want := id.MetadataURL(), tc.origin+tc.metadataPath; got != want {
				t.Errorf("got metadata URL %q, want %q", got, want)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, raw, want string
	}{
		{"empty", "", "not an absolute URL"},
		{"path", "/mcp", "not an absolute URL"},
		{"host and path", "mcp.example.com/mcp", "not an absolute URL"},
		{"no scheme", "//mcp.example.com/mcp", "not an absolute URL"},
		{"no host", "https:///mcp", "not an absolute URL"},
		{"port only", "https://:443/mcp", "host"},
		{"opaque", "https:mcp.example.com", "not an absolute URL"},
		{"other scheme", "ftp://mcp.example.com/mcp", "not an absolute URL"},
		{"placeholder", "https://{host}/mcp", ""},
		{"http", "http://mcp.example.com/mcp", "not https"},
		{"http, looks like loopback", "http://localhost.example.com/mcp", "not https"},
		{"http, loopback as user", "http://localhost@mcp.example.com/mcp", "not https"},
		{"http, private address", "http://192.168.0.1/mcp", "not https"},
		{"http, unspecified address", "http://0.0.0.0/mcp", "not https"},
		{"credentials", "https://user:secret@mcp.example.com/mcp", "contains credentials"},
		{"user", "https://user@mcp.example.com/mcp", "contains credentials"},
		{"fragment", "https://mcp.example.com/mcp#a", "has a fragment"},
		{"empty fragment", "https://mcp.example.com/mcp#", "has a fragment"},
		{"query", "https://mcp.example.com/mcp?a=b", "has a query"},
		{"empty query", "https://mcp.example.com/mcp?", "has a query"},
		{"doubled slash", "https://mcp.example.com//mcp", "simplest form"},
		{"doubled slash at the end", "https://mcp.example.com/mcp//", "simplest form"},
		{"nothing but slashes", "https://mcp.example.com//", "simplest form"},
		{"dot segment", "https://mcp.example.com/./mcp", "simplest form"},
		{"dot segment at the end", "https://mcp.example.com/mcp/.", "simplest form"},
		{"parent", "https://mcp.example.com/a/../mcp", "simplest form"},
		{"parent at the end", "https://mcp.example.com/mcp/..", "simplest form"},
		{"encoded parent", "https://mcp.example.com/a/%2e%2E/mcp", "simplest form"},
		{"encoded slash", "https://mcp.example.com/a%2Fb", "simplest form"},
		{"encoded slash in lower case", "https://mcp.example.com/a%2fb", "simplest form"},
		{"space in the host", "https://mcp example.com/mcp", "not a URL"},
		{"control character", "https://mcp.example.com/m\ncp", "not a URL"},
		{"bad escape", "https://mcp.example.com/%zz", "not a URL"},
		{"port no number", "https://mcp.example.com:a/mcp", "not a URL"},
		// A challenge couldn't carry these, and what is left names another host.
		{"host not in ASCII", "https://bücher.example/mcp", "in ASCII"},
		{"host with escapes", "https://b%C3%BCcher.example/mcp", "in ASCII"},
		{"host with a quote", `https://mcp".example/mcp`, "in ASCII"},
		{"IPv6 with a zone", "https://[fe80::1%25eth0]/mcp", "in ASCII"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			id, err := resource.Parse(tc.raw)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, %v, want an error with %q", id, err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v, want no credentials in it", err)
			}
		})
	}
}

func TestSame(t *testing.T) {
	t.Parallel()
	const r = "https://mcp.example.com/mcp"
	tests := []struct {
		name, a, b string
		want       bool
	}{
		{"equal", r, r, true},
		{"host case", r, "https://MCP.Example.com/mcp", true},
		{"scheme case", r, "HTTPS://mcp.example.com/mcp", true},
		{"trailing slash", r, r + "/", true},
		{"root and slash", "https://mcp.example.com", "https://mcp.example.com/", true},
		{"default port", r, "https://mcp.example.com:443/mcp", true}, // the same origin
		{"equal, but no URLs", "urn:example:api", "urn:example:api", true},
		{"equal texts", "my-api", "my-api", true},
		{"empty", "", "", true},

		{"two slashes", r, r + "//", false},
		{"slash and two slashes", r + "/", r + "//", false},
		{"path case", r, "https://mcp.example.com/MCP", false},
		{"path below", r, r + "/x", false},
		{"prefix", r, r + "2", false},
		{"origin only", r, "https://mcp.example.com", false},
		{"other port", r, "https://mcp.example.com:8443/mcp", false},
		{"http", r, "http://mcp.example.com/mcp", false},
		{"http on 443", r, "http://mcp.example.com:443/mcp", false},
		{"host", r, "https://example.com/mcp", false},
		{"host with a dot", r, "https://mcp.example.com./mcp", false},
		{"query", r, r + "?a", false},
		{"empty query", r, r + "?", false},
		{"slash in a query", r + "?a=", r + "?a=/", false},
		{"fragment", r, r + "#a", false},
		{"empty fragment", r, r + "#", false},
		{"slash in a fragment", r + "#a", r + "#a/", false},
		{"userinfo", r, "https://user@mcp.example.com/mcp", false},
		{"empty userinfo", r, "https://@mcp.example.com/mcp", false},
		{"host as userinfo", r, "https://mcp.example.com@evil.example/mcp", false},
		{"escaped", r, "https://mcp.example.com/%6dcp", false},
		{"escaped host", r, "https://%6dcp.example.com/mcp", false},
		{"dot segment", r, "https://mcp.example.com/./mcp", false},
		{"parent", r, "https://mcp.example.com/a/../mcp", false},
		{"backslash", r, `https://mcp.example.com\mcp`, false},
		{"white space", r, " " + r, false},
		{"no scheme", r, "//mcp.example.com/mcp", false},
		{"no host", r, "https:/mcp", false},
		{"texts", "my-api", "my-api/", false},
		{"text case", "my-api", "My-API", false},
		{"URN case", "urn:example:api", "URN:example:api", false},
		{"empty and something", "", r, false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := resource.Same(tc.a, tc.b); got != tc.want {
				t.Errorf("Same(%q, %q): got %t, want %t", tc.a, tc.b, got, tc.want)
			}
			if got := resource.Same(tc.b, tc.a); got != tc.want {
				t.Errorf("Same(%q, %q): got %t, want %t", tc.b, tc.a, got, tc.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"https://mcp.example.com/mcp", "http://localhost:8080", "https://[::1]:443/a%20b/", "https://h/ä", "https://h:/", "https://h/%2f",
		"https://user@h/", "https://h/a?b#c", "https://H.EXAMPLE:0443//", "https://[fe80::1%25a]/", "https://h/;a='b'\"c\"",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		id, err := resource.Parse(raw)
		if err != nil {
			return
		}
		for name, address := range map[string]string{"identifier": id.String(), "metadata URL": id.MetadataURL()} {
			u, err := url.Parse(address)
			if err != nil {
				t.Fatalf("%s %q of %q: %v", name, address, raw, err)
			}
			if got := web.Origin(u); got != id.Origin() || u.User != nil {
				t.Errorf("%s %q of %q: got origin %q, want %q", name, address, raw, got, id.Origin())
			}
		}
		u, _ := url.Parse(id.MetadataURL())
		if !strings.HasPrefix(u.Path, resource.WellKnown) || u.EscapedPath() != id.MetadataPath() || u.RawQuery != "" || u.Fragment != "" {
			t.Errorf("metadata URL %q of %q: got path %q, want %q", u, raw, u.EscapedPath(), id.MetadataPath())
		}
		if challenge := (resource.Challenge{MetadataURL: id.MetadataURL()}).String(); !strings.Contains(challenge, `"`+id.MetadataURL()+`"`) {
			t.Errorf("got challenge %s, want %q unharmed in it", challenge, id.MetadataURL())
		}
	})
}

func FuzzSame(f *testing.F) {
	for _, seed := range [][2]string{
		{"https://mcp.example.com/mcp", "HTTPS://MCP.example.com:443/mcp/"},
		{"https://h", "https://h/"},
		{"", "/"},
		{"a", "a/"},
		{"https://h/?a", "https://h?a"},
		{"https://u@h/", "https://h/"},
		{"https://[::1]", "https://[::1]:443"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if !resource.Same(a, a) {
			t.Errorf("Same(%q, itself): got false, want true", a)
		}
		got := resource.Same(a, b)
		if back := resource.Same(b, a); got != back {
			t.Errorf("Same(%q, %q): got %t, but %t the other way round", a, b, got, back)
		}
		if !got || a == b {
			return
		}
		ua, errA := url.Parse(a)
		ub, errB := url.Parse(b)
		if errA != nil || errB != nil || web.Origin(ua) != web.Origin(ub) ||
			strings.TrimSuffix(ua.EscapedPath(), "/") != strings.TrimSuffix(ub.EscapedPath(), "/") || ua.RawQuery != ub.RawQuery || ua.Fragment != ub.Fragment {
			t.Errorf("Same(%q, %q): got true, want the same origin, path, query and fragment", a, b)
		}
	})
}
