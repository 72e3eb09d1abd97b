package registration

import (
	"strings"
	"testing"
)

func TestCheckListed(t *testing.T) {
	t.Parallel()
	for _, entry := range []string{
		"https://claude.ai/api/mcp/auth_callback", "http://127.0.0.1/callback", "cursor://anysphere.cursor-mcp/oauth/callback", "https://a.example/cb?x=1",
		"https://chatgpt.com/connector/oauth/*", "https://oauth-redirect.googleusercontent.com/r/*", "https://global.consent.azure-apim.net/redirect/*", "https://a.example:8443/x/*",
	} {
		if err := CheckListed(entry); err != nil {
			t.Errorf("%s: %v", entry, err)
		}
	}
	for entry, want := range map[string]string{
		"https://chatgpt.com/*":                   "every page",
		"https://chatgpt.com//*":                  "every page",
		"https://*/x/*":                           "has a wildcard that does not stand",
		"https://*.chatgpt.com/x/*":               "has a wildcard that does not stand",
		"https://chatgpt.com/*/callback":          "has a wildcard that does not stand",
		"https://chatgpt.com/connector/*/*":       "has a wildcard that does not stand",
		"https://chatgpt.com/connector*":          "has a wildcard that does not stand",
		"https://chatgpt.com/connector/**":        "has a wildcard that does not stand",
		"https://chatgpt.com/connector/oauth/*?x": "has a wildcard that does not stand",
		"https://chatgpt.com/connector?x=/*":      "query",
		"https://chatgpt.com/connector?/*":        "query",
		"https://chatgpt.com/connector#/*":        "fragment",
		"https://user@chatgpt.com/connector/*":    "credentials",
		"https://ChatGPT.com/connector/*":         "simplest form",
		"https://chatgpt.com:443/connector/*":     "simplest form",
		"https://chatgpt.com/connector/../*":      "simplest form",
		"https://chatgpt.com/./connector/*":       "simplest form",
		"https://chatgpt.com/connector//*":        "simplest form",
		"https://chatgpt.com/connector/%6fauth/*": "simplest form",
		"https://chatgpt.com/connector%2foauth/*": "simplest form",
		"https://chatgpt.com/connector;x/*":       "simplest form",
		"https://chatgpt.com/connector\\oauth/*":  "characters",
		"http://127.0.0.1/callback/*":             "loopback",
		"https://localhost/callback/*":            "loopback",
		"https://127.1/callback/*":                "loopback",
		"http://chatgpt.com/connector/*":          "https",
		"cursor://anysphere.cursor-mcp/oauth/*":   "private_schemes",
		"javascript:x/*":                          "javascript",
		"/connector/*":                            "absolute",
		"*":                                       "has a wildcard that does not stand",
		"/*":                                      "empty",

		"https://chatgpt.com/" + strings.Repeat("x", MaxRedirectURI) + "/*": "longer",
	} {
		if err := CheckListed(entry); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", entry, err, want)
		}
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	const entry = "https://chatgpt.com/connector/oauth/*"
	for _, uri := range []string{
		"https://chatgpt.com/connector/oauth/abc", "https://chatgpt.com/connector/oauth/A-b_c.d~1", "https://chatgpt.com/connector/oauth/abc/callback",
		"https://chatgpt.com/connector/oauth/0b1c2d3e-0000-4000-8000-123456789abc", "https://chatgpt.com/connector/oauth/.well-known",
	} {
		if !Lists(entry, uri) {
			t.Errorf("%s is refused", uri)
		}
	}
	for _, uri := range []string{
		entry, "https://chatgpt.com/connector/oauth", "https://chatgpt.com/connector/oauth/", "https://chatgpt.com/connector/oauthx", "https://chatgpt.com/connector/oauth/abc/",
		"https://chatgpt.com/connector/oauth//abc", "https://chatgpt.com/connector/oauth/abc//x", "https://chatgpt.com/connector/OAuth/abc",
		"https://chatgpt.com/connector/oauth/.", "https://chatgpt.com/connector/oauth/..", "https://chatgpt.com/connector/oauth/../evil", "https://chatgpt.com/connector/oauth/a/../../evil",
		"https://chatgpt.com/connector/oauth/...", "https://chatgpt.com/connector/oauth/a/./b", "https://chatgpt.com/connector/oauth/..;/evil", "https://chatgpt.com/connector/oauth/a;x=1",
		"https://chatgpt.com/connector/oauth/%2e%2e/evil", "https://chatgpt.com/connector/oauth/a%2fb", "https://chatgpt.com/connector/oauth/a%5cb", "https://chatgpt.com/connector/oauth/a\\b",
		"https://chatgpt.com/connector/oauth/a%00", "https://chatgpt.com/connector/oauth/a b", "https://chatgpt.com/connector/oauth/ä",
		"https://chatgpt.com/connector/oauth/a?x=1", "https://chatgpt.com/connector/oauth/?x=1", "https://chatgpt.com/connector/oauth/a#x", "https://chatgpt.com/connector/oauth/a?",
		"https://chatgpt.com:443/connector/oauth/abc", "https://chatgpt.com:8443/connector/oauth/abc", "https://chatgpt.com@evil.example/connector/oauth/abc",
		"https://user@chatgpt.com/connector/oauth/abc", "https://evil.chatgpt.com/connector/oauth/abc", "https://chatgpt.com.evil.example/connector/oauth/abc",
		"https://chatgpt.com./connector/oauth/abc", "https://CHATGPT.com/connector/oauth/abc", "HTTPS://chatgpt.com/connector/oauth/abc", "http://chatgpt.com/connector/oauth/abc",
		"https://evil.example/https://chatgpt.com/connector/oauth/abc", "https://chatgpt.com/x/connector/oauth/abc", "//chatgpt.com/connector/oauth/abc",
		"https://chatgpt.com/connector/oauth/" + strings.Repeat("x", MaxRedirectURI),
	} {
		if Lists(entry, uri) {
			t.Errorf("%s is taken", uri)
		}
	}
	if !Lists("http://127.0.0.1/cb", "http://127.0.0.1:4711/cb") || Lists("https://a.example/cb", "https://a.example/cb/x") {
		t.Error("an entry without a wildcard is not one exact redirect URI")
	}
}

func FuzzLists(f *testing.F) {
	const entry = "https://chatgpt.com/connector/oauth/*"
	f.Add("https://chatgpt.com/connector/oauth/abc")
	f.Add("https://chatgpt.com/connector/oauth/%2e%2e/x")
	f.Fuzz(func(t *testing.T, uri string) {
		if Lists(entry, uri) && (CheckRedirectURI(uri, nil) != nil || strings.ContainsAny(uri, "%?#;@\\") || strings.Contains(uri, "/../")) {
			t.Errorf("%q is taken", uri)
		}
	})
}

// Clients can't register prefixes, whatever the operator lists.
func TestPrefixesAreTheOperators(t *testing.T) {
	t.Parallel()
	const entry = "https://chatgpt.com/connector/oauth/*"
	listed := &Policy{RedirectURIs: []string{entry}}
	if err := listed.Check(); err != nil {
		t.Fatal(err)
	}
	for uri, want := range map[string]bool{
		entry:                                    false,
		"https://chatgpt.com/connector/oauth/a":  true,
		"https://chatgpt.com/connector/oauth/a/": false,
		"https://chatgpt.com/connector/oauth/":   false,
		"https://chatgpt.com/other":              false,
	} {
		if err := listed.Allows(uri); (err == nil) != want {
			t.Errorf("%s: %v, want it allowed: %t", uri, err, want)
		}
	}
	if err := (&Policy{}).Allows(entry); err == nil {
		t.Error("an open server takes a prefix")
	}
	if err := (&Policy{RedirectURIs: []string{"https://chatgpt.com/*"}}).Check(); err == nil {
		t.Error("a whole host is allowed")
	}
}
