package registration

import (
	"strings"
	"testing"
)

func TestCheckRedirectURI(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{
		"https://a.example/callback", "https://a.example", "https://a.example:8443/cb?x=1", "http://localhost/cb", "http://localhost:1234/cb",
		"http://127.0.0.1/cb", "http://127.0.0.1:65000/cb", "http://[::1]:3000/cb", "cursor://anysphere.cursor-mcp/oauth/callback",
		"https://a.example/a%20b", "cursor:/callback",
	} {
		if err := CheckRedirectURI(uri, []string{"cursor"}); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
	}
	for _, uri := range []string{
		"", "callback", "/callback", "//a.example/cb", "https:", "https://", "https:a.example", "https:///cb", "https://a.example/#f", "https://a.example/cb#",
		"javascript:alert(1)", "JavaScript:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "blob:https://a.example/x", "about:blank",
		"http://a.example/cb", "http://127.0.0.1.evil.example/cb", "http://localhost.evil.example/cb", "http://127.0.0.1@evil.example/cb", "http://app.localhost/cb", "http://localhost./cb",
		"https://user@a.example/cb", "https://user:pw@a.example/cb", "https://*.example/cb", "https://a.example/*", "https://a.example/cb?*",
		"https://a.example\\@evil.example/", "https://a.example/ cb", "https://a.example/\tcb", "https://a.example/\ncb", " https://a.example/",
		"https://bücher.example/", "https://a.example/ü", "HTTPS://a.example/", "Cursor://x", "vscode://x", "http://0x7f.1/cb", "http://2130706433/cb", "http://0.0.0.0/cb",
		"https://a.example:/cb", "https://a.example/<script>", "https://a.example/`", "https://[fe80::1%25eth0]/cb",
		"https://a.example/" + strings.Repeat("x", MaxRedirectURI),
	} {
		if CheckRedirectURI(uri, []string{"cursor"}) == nil {
			t.Errorf("%q passes", uri)
		}
	}
	for scheme := range strings.FieldsSeq("javascript data file vbscript https http") {
		r := Policy{PrivateSchemes: []string{scheme}}
		if r.Check() == nil {
			t.Errorf("%s passes as a private scheme", scheme)
		}
	}
}

func TestSameRedirectURI(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		registered, uri string
		want            bool
	}{
		{"http://127.0.0.1/cb", "http://127.0.0.1:1234/cb", true},
		{"http://127.0.0.1:1/cb", "http://127.0.0.1:2/cb", true},
		{"http://127.0.0.1:1/cb", "http://127.0.0.1/cb", true},
		{"http://[::1]/cb", "http://[::1]:1234/cb", true},
		{"http://localhost/cb", "http://localhost:1234/cb", true},
		{"http://localhost/cb", "http://127.0.0.1/cb", false},
		{"http://127.0.0.1/cb", "http://127.0.0.2/cb", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1:1/cb/", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1:1/CB", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1:1/cb?x", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1:1@evil.example/cb", false},
		{"https://127.0.0.1:1/cb", "https://127.0.0.1:2/cb", false},
		{"https://a.example/cb", "https://a.example:443/cb", false},
		{"https://a.example/cb", "https://A.example/cb", false},
		{"https://a.example/cb", "https://a.example/cb/", false},
		{"https://a.example/cb", "https://a.example/cb?x=1", false},
		{"cursor://a/cb", "cursor://a:1/cb", false},
	} {
		if got := SameRedirectURI(test.registered, test.uri); got != test.want {
			t.Errorf("%s and %s: %t, want %t", test.registered, test.uri, got, test.want)
		}
	}
}

func TestRedirectTarget(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"https://a.example/cb":      "a.example",
		"https://a.example:8443/cb": "a.example:8443",
		"http://127.0.0.1:1234/cb":  "127.0.0.1",
		"http://[::1]:1234/cb":      "[::1]",
		"cursor://x/cb":             "cursor:",
	} {
		if got := RedirectTarget(uri); got != want {
			t.Errorf("%s: %q, want %q", uri, got, want)
		}
	}
}
