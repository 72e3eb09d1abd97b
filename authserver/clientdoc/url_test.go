package clientdoc_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/authserver/clientdoc"
)

func TestCheckURL(t *testing.T) {
	t.Parallel()
	for _, id := range []string{
		"https://client.example.com/client.json",
		"https://client.example.com/a/",
		"https://client.example.com:8443/client",
		"https://client.example.com:1024/client",
		"https://client.example.com/client?version=1&x=https%3A%2F%2Fa",
		"https://client.example.com/~me/a_b-c.d/e:f@g!$&'()*+,;=",
		"https://client.example.com/caf%C3%A9%20noir",
		"https://client.example.com/.well-known/oauth-client",
		"https://client.example.com/a..b/...",
		"https://xn--bcher-kva.example/client",
		"https://localhost/client",
		"https://127.0.0.1.example.com/client",
		"https://a.example/" + strings.Repeat("a", 2048-len("https://a.example/")),
	} {
		if err := clientdoc.CheckURL(id); err != nil {
			t.Errorf("%.60s: got %v, want none", id, err)
		}
	}
	for _, tt := range []struct{ name, id, want string }{
		{"empty", "", "https://"},
		{"http", "http://a.example/c", "https://"},
		{"other scheme", "file:///etc/passwd", "https://"},
		{"opaque", "https:a.example/c", "https://"},
		{"scheme in upper case", "HTTPS://a.example/c", "https://"},
		{"blank before", " https://a.example/c", "malformed"},
		{"no host", "https:///c", "no host"},
		{"only a port", "https://:8443/c", "no host"},
		{"no path", "https://a.example", "no path"},
		{"no path but a query", "https://a.example?c", "no path"},
		{"root", "https://a.example/", "no path"},
		{"root with query", "https://a.example/?c", "no path"},
		{"encoded root", "https://a.example%2Fc", "malformed"},
		{"fragment", "https://a.example/c#f", "fragment"},
		{"empty fragment", "https://a.example/c#", "fragment"},
		{"user", "https://me@a.example/c", "userinfo"},
		{"empty user", "https://@a.example/c", "userinfo"},
		{"user and password", "https://a.example:x@evil.example/c", "userinfo"},
		{"dot", "https://a.example/./c", "dot segments"},
		{"dot dot", "https://a.example/b/../c", "dot segments"},
		{"dot dot at the end", "https://a.example/b/..", "dot segments"},
		{"encoded dot dot", "https://a.example/%2E%2E/c", "dot segments"},
		{"half encoded dot dot", "https://a.example/.%2e/c", "dot segments"},
		{"dot dot behind an encoded slash", "https://a.example/b%2F..%2Fc", "encoded slash"},
		{"dot dot behind an encoded backslash", "https://a.example/b%5C..%5Cc", "encoded slash"},
		{"backslash", `https://a.example/b\..\c`, "escaped"},
		{"backslash before the path", `https://a.example\c/d`, "malformed"},
		{"host in upper case", "https://A.example/c", "lowercase"},
		{"host with a dot at its end", "https://a.example./c", "DNS name"},
		{"host with an empty label", "https://a..example/c", "DNS name"},
		{"host with underscore", "https://a_b.example/c", "DNS name"},
		{"host with a hyphen at its end", "https://a-.example/c", "DNS name"},
		{"host in Unicode", "https://bücher.example/c", "DNS name"},
		{"host with escapes", "https://b%C3%BCcher.example/c", "DNS name"},
		{"host with a long label", "https://" + strings.Repeat("a", 64) + ".example/c", "DNS name"},
		{"long host", "https://" + strings.Repeat("a.", 127) + "example/c", "no host"},
		{"IPv4", "https://93.184.216.34/c", "IP address"},
		{"loopback", "https://127.0.0.1:8443/c", "IP address"},
		{"IPv6", "https://[2606:2800:220:1:248:1893:25c8:1946]/c", "IP address"},
		{"IPv6 with zone", "https://[fe80::1%25eth0]/c", "IP address"},
		{"short IPv4", "https://127.1/c", "number"},
		{"decimal IPv4", "https://2130706433/c", "number"},
		{"hexadecimal IPv4", "https://0x7f000001/c", "number"},
		{"octal IPv4", "https://0177.0.0.01/c", "number"},
		{"default port", "https://a.example:443/c", "default"},
		{"empty port", "https://a.example:/c", "port is empty"},
		{"port 0", "https://a.example:0/c", "port"},
		{"port of SSH", "https://a.example:22/c", "port"},
		{"port below 1024", "https://a.example:1023/c", "port"},
		{"port too large", "https://a.example:65536/c", "port"},
		{"port with zeros", "https://a.example:08443/c", "port"},
		{"default port with zeros", "https://a.example:0443/c", "port"},
		{"port with a sign", "https://a.example:+443/c", "malformed"},
		{"needless escape", "https://a.example/%61", "not needed"},
		{"needless escape in the query", "https://a.example/c?%61", "not needed"},
		{"escape in lower case", "https://a.example/caf%c3%a9", "uppercase"},
		{"cut escape", "https://a.example/c%2", "malformed"},
		{"cut escape in the query", "https://a.example/c?%2", "uppercase"},
		{"escaped line break", "https://a.example/c%0D%0A", "control character"},
		{"escaped NUL in the query", "https://a.example/c?%00", "control character"},
		{"line break", "https://a.example/c\r\nd", "malformed"},
		{"space", "https://a.example/c d", "escaped"},
		{"space in the query", "https://a.example/c?d e", "escaped"},
		{"Unicode", "https://a.example/café", "escaped"},
		{"invalid UTF-8", "https://a.example/\xff", "escaped"},
		{"quote", `https://a.example/"c`, "escaped"},
		{"brackets", "https://a.example/[c]", "escaped"},
		{"too long", "https://a.example/" + strings.Repeat("a", 2049-len("https://a.example/")), "longer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			wantInvalid(t, nil, clientdoc.CheckURL(tt.id), tt.want)
		})
	}
}

// FuzzCheckURL: what is accepted has one spelling, and is asked for as it is
// written.
func FuzzCheckURL(f *testing.F) {
	for _, seed := range []string{
		"https://a.example/c", "https://a.example:8443/c/?d=%20#", "https://a.example/%2e%2E/", "https://[::1]/c",
		"https://A.example/%7e", "https://u:p@a.example:443//c", "https://a.example/c?", "https://a.example/c;d=,:@!$&'()*+=",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if clientdoc.CheckURL(id) != nil {
			return
		}
		u, err := url.Parse(id)
		if err != nil || u.String() != id {
			t.Fatalf("accepted %q, which is written %q (%v)", id, u, err)
		}
		if u.Scheme != "https" || u.User != nil || u.Fragment != "" || u.Hostname() == "" || len(u.Path) < 2 {
			t.Fatalf("accepted %q", id)
		}
		req, err := http.NewRequest(http.MethodGet, id, nil)
		if err != nil {
			t.Fatalf("accepted %q, which can't be asked for: %v", id, err)
		}
		if got := "https://" + req.URL.Host + req.URL.RequestURI(); got != id {
			t.Fatalf("accepted %q, which is asked for as %q", id, got)
		}
		if got := u.ResolveReference(&url.URL{}).String(); got != id && !strings.HasSuffix(id, "?") {
			t.Fatalf("accepted %q, which resolves to %q", id, got)
		}
	})
}
