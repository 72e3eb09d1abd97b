package pages_test

import (
	"net/http"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pages"
)

// shownName is a client's name as the consent page shows it.
func shownName(t testing.TB, name string) string {
	t.Helper()
	found := get(t, pages.Consent{Client: pages.Client{Name: name}}, http.StatusOK).with("class", "name")
	if len(found) != 1 || found[0].FirstChild == nil || found[0].FirstChild != found[0].LastChild || found[0].FirstChild.Type != html.TextNode {
		t.Fatalf("the name %q is not shown as one piece of text", name)
	}
	return found[0].FirstChild.Data
}

func TestNames(t *testing.T) {
	t.Parallel()
	const unnamed = "An unnamed application"
	tests := []struct{ name, given, want string }{
		{"plain", "Claude Desktop", "Claude Desktop"},
		{"other writing", "Ünïcode – 日本語 עברית हिन्दी", "Ünïcode – 日本語 עברית हिन्दी"},
		{"markup", `<b onclick="x">'&amp;`, `<b onclick="x">'&amp;`},
		{"empty", "", unnamed},
		{"only space", " \t\r\n\u2028\u2029\u00a0\u3000", unnamed},
		{"only what is not seen", "\u200b\u2060\ufeff\u00ad\u3164\u115f\u2800\ufe0f\U000e0041", unnamed},
		{"only accents", "\u0301\u0302", unnamed},
		{"space", "  a \t\n b\u2028c\u0085d ", "a b c d"},
		{"controls", "a\x00b\x1b[31m\x7f\u009bc", "ab[31mc"},
		{"turned around", "evil\u202etxt.exe\u2066\u2069\u200f", "eviltxt.exe"},
		{"a logo of a private font", "Apple \uf8ff", "Apple"},
		{"a tower", "Z" + strings.Repeat("\u0301", 50) + "algo", "Z\u0301\u0301\u0301algo"},
		{"accents before the name", "\u0336\u0301 \u0301Claude", "Claude"},
		{"not UTF-8", "a\xff\xc0b", "a\ufffd\ufffdb"},
		{"80", strings.Repeat("ä", 80), strings.Repeat("ä", 80)},
		{"81", strings.Repeat("ä", 81), strings.Repeat("ä", 79) + "…"},
		{"cut at a space", strings.Repeat("a", 78) + " bcd", strings.Repeat("a", 78) + "…"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := shownName(t, tt.given); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func FuzzNames(f *testing.F) {
	for _, seed := range []string{"", "Claude", " a  b ", "\u202ea\u0301\x00", strings.Repeat("long ", 40), `</bdi><script>`, "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		got := shownName(t, given)
		if n := utf8.RuneCountInString(got); n == 0 || n > 80 || !utf8.ValidString(got) {
			t.Errorf("got %q, %d runes", got, n)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return unicode.In(r, unicode.C, unicode.Zl, unicode.Zp) }) {
			t.Errorf("got %q with a control or format character", got)
		}
		if strings.TrimSpace(got) != got || strings.Contains(got, "  ") {
			t.Errorf("got %q with spare space", got)
		}
		if again := shownName(t, got); again != got {
			t.Errorf("got %q, cleaned again %q", got, again)
		}
	})
}

func TestHostsKeepTheirEnd(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, given, want string }{
		{"plain", "claude.ai:8443", "claude.ai:8443"},
		{"turned around", "evil\u202e.example\n", "evil.example"},
		{"as long as can be", strings.Repeat("a.", 128) + "evil.example"[6:], strings.Repeat("a.", 128) + "xample"},
		{"longer", "login.bank.example." + strings.Repeat("a", 300) + ".evil.example", "…" + strings.Repeat("a", 248) + ".evil.example"},
		{"other letters are given", "bücher.example", "bücher.example"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for page, p := range map[string]writer{
				"consent": pages.Consent{Client: pages.Client{RedirectHost: tt.given}},
				"sign in": pages.SignIn{Client: &pages.Client{RedirectHost: tt.given}},
				"account": pages.Account{Access: []pages.Access{{Client: pages.Client{RedirectHost: tt.given}}}},
			} {
				found := get(t, p, http.StatusOK).with("class", "host")
				if len(found) != 1 || found[0].Data != "bdi" {
					t.Fatalf("%s: got %d hosts, want 1 in a bdi", page, len(found))
				}
				if got := text(found[0]); got != tt.want {
					t.Errorf("%s: got %q, want %q", page, got, tt.want)
				}
			}
		})
	}
}

// What stands out of a host is the part that says whose it is.
func TestEmphasis(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, given, want string }{
		{"a domain", "claude.ai", "[claude.ai]"},
		{"a host of it", "www.claude.ai:8443", "www.[claude.ai]:8443"},
		{"another's in front", "claude.ai.evil.example", "claude.ai.[evil.example]"},
		{"a suffix of two labels", "login.bank.co.uk", "login.[bank.co.uk]"},
		{"a suffix that people register below", "claude.github.io", "[claude.github.io]"},
		{"below such a one", "a.claude.github.io", "a.[claude.github.io]"},
		{"a suffix itself", "github.io", "[github.io]"},
		{"a suffix of no registry", "tools.office.internal", "tools.[office.internal]"},
		{"one label", "intranet:8443", "[intranet]:8443"},
		{"capital letters", "WWW.Claude.AI", "WWW.[Claude.AI]"},
		{"an address", "192.0.2.10:8443", "[192.0.2.10]:8443"},
		{"an address of 128 bits", "[2001:db8::1]:8443", "[[2001:db8::1]]:8443"},
		{"without a port", "[2001:db8::1]", "[[2001:db8::1]]"},
		{"a dot at the end", "www.claude.ai.", "[www.claude.ai.]"},
		{"Punycode", "login.xn--pple-43d.com", "login.[xn--pple-43d.com]"},
		{"other letters", "www.büro.example", "[www.büro.example]"},
		{"cut", "login.bank." + strings.Repeat("a", 300) + ".evil.example", "…" + strings.Repeat("a", 248) + ".[evil.example]"},
		{"nothing", "", "[]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			found := get(t, pages.Leave{RedirectHost: tt.given}, http.StatusOK).with("class", "host")
			var got strings.Builder
			for n := range found[0].ChildNodes() {
				if n.Data == "b" {
					got.WriteString("[" + text(n) + "]")
				} else {
					got.WriteString(n.Data)
				}
			}
			if got.String() != tt.want {
				t.Errorf("got %s, want %s", got.String(), tt.want)
			}
		})
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	message := func(link string) writer { return pages.Message{Title: "T", Text: "x", Link: link} }
	client := func(uri string, change ...func(*pages.Client)) writer {
		c := pages.Client{URI: uri, RedirectHost: "claude.ai"}
		for _, f := range change {
			f(&c)
		}
		return pages.Consent{Client: c}
	}
	back := func(host string) func(*pages.Client) { return func(c *pages.Client) { c.RedirectHost = host } }
	tests := []struct {
		name string
		page writer
		want string // empty: no link
	}{
		{"path", message("/account"), "/account"},
		{"https", message("https://example.com/"), "https://example.com/"},
		{"none", message(""), ""},
		{"script", message("javascript:alert(1)"), ""},
		{"script in disguise", message("\x01java\tscript:alert(1)"), ""},
		{"data", message("data:text/html,x"), ""},
		{"http", message("http://example.com/"), ""},
		{"no scheme", message("//evil.example/"), ""},
		{"backslash", message(`/\evil.example/`), ""},
		// Browsers drop the tab, were it not escaped.
		{"tab", message("/\t/evil.example/"), "/%09/evil.example/"},
		{"relative", message("account"), ""},

		{"home page", client("https://claude.ai/a?b=c"), "https://claude.ai/a?b=c"},
		{"home page, none", client(""), ""},
		{"home page, another host's", client("https://chatgpt.com/"), ""},
		{"home page, a host above", client("https://claude.ai/", back("login.claude.ai")), ""},
		{"home page, a host below", client("https://evil.claude.ai/"), ""},
		{"home page, another port", client("https://claude.ai:8443/"), ""},
		{"home page, the same port", client("https://claude.ai:8443/", back("claude.ai:8443")), "https://claude.ai:8443/"},
		{"home page, the usual port", client("https://Claude.ai:443/"), "https://Claude.ai:443/"},
		{"home page, on this computer", client("https://localhost/", back("localhost"), func(c *pages.Client) { c.Loopback = true }), ""},
		{"home page, of a scheme", client("https://cursor:/", back("cursor:"), func(c *pages.Client) { c.PrivateScheme = true }), ""},
		{"home page, nowhere", client("https:///", back("")), ""},
		{"home page, http", client("http://claude.ai/"), ""},
		{"home page, script", client("javascript:alert(1)//https://claude.ai"), ""},
		{"home page, without a host", client("https:///x"), ""},
		{"home page, only a port", client("https://:443/x"), ""},
		{"home page, a user name", client("https://claude.ai@evil.example/"), ""},
		{"home page, other letters", client("https://сlaude.ai/"), ""},
		{"home page, other letters escaped", client("https://%d1%81laude.ai/"), ""},
		{"home page, broken", client("https://a b/"), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got string
			for _, n := range get(t, tt.page, http.StatusOK).all("a") {
				got, _ = attr(n, "href")
				if rel, _ := attr(n, "rel"); strings.HasPrefix(tt.name, "home") && rel != "noreferrer" {
					t.Errorf("got rel %q", rel)
				}
			}
			if got != tt.want {
				t.Errorf("got link %q, want %q", got, tt.want)
			}
		})
	}
}

func TestUpstreamLinkIsNoScript(t *testing.T) {
	t.Parallel()
	got := get(t, pages.SignIn{Upstreams: []pages.Upstream{{Label: "X", URL: "javascript:alert(1)"}}}, http.StatusOK)
	if strings.Contains(got.body, "javascript:") {
		t.Error("the page links to a script")
	}
}
