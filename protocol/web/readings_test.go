package web_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// coveredByMCP is what a matcher for /mcp* makes of a path.
func coveredByMCP(path string) bool {
	return path == "/mcp" || strings.HasPrefix(path, "/mcp/")
}

func TestReadingsFindGuardedPath(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		// Java's parameters
		"/;/mcp", "/;x=y/mcp", "/%3B/mcp", "/%253b/mcp", "/x/..;/mcp", "/x/..;jsessionid=1/mcp", "/x/%2e%2e;/mcp", "/x/..%3Ba/mcp",
		"/.;/mcp", "/;a/;b/;c/mcp", "/x;/..;/mcp", "/a/b/..;/..;x/mcp", "/mcp;x", "/mcp;jsessionid=AF", "/mcp%3bx", "/mcp;/..", "/mcp;/../x", "/x/..;a%2Fmcp",
		// encoded once, twice, three times
		"/%6dcp", "/%6D%63%70", "/%256dcp", "/%25256dcp", "/%2525256dcp", "/x/%252e%252e/mcp", "/x/%25252e%25252e/mcp", "/x%252f..%252fmcp",
		"/x/%2e%2e/mcp", "/x/.%2e/mcp", "/x/%2e./mcp", "/x/..%2fmcp", "/%2fmcp", "/%252fmcp", "/mcp%2F..", "/mcp%2f..%2fx", "/mcp%252f..%252fx", "/%25%36%64cp",
		// dot segments
		"/./mcp", "/x/../mcp", "/%2e/mcp", "/mcp/..", "/mcp/../x", "/mcp/./../x", "/a/b/../../mcp", "/../mcp", "/..%2fmcp", "/../../mcp", "/a%2fb/../mcp", "/a%252fb/../mcp",
		"/x/.. /mcp", "/x/..%20/mcp", "/x/..%09/mcp", "/x/%20../mcp", "/x/.%20./mcp", "/x/..%00/mcp", "/x/..%0d/mcp", "/x/..%c2%a0/mcp", "/.%20/mcp",
		// slashes
		"//mcp", "///mcp", "/%2f/mcp", "/%2F%2Fmcp", "//x/mcp", "///x/mcp", "//x:80/mcp", "//a@b/mcp", "/%5Cx/mcp", "/%5C%5Cx/mcp", "/%2fx/mcp", "//x/y/../../mcp",
		// backslashes
		"/%5Cmcp", "/%5cmcp", "/%255cmcp", "/x%5C..%5Cmcp", "/x/..%5Cmcp", "/x%5c..%5c/mcp", "/mcp%5Cx", "/mcp%5C..%5Cx", `/\mcp`, `/x\..\mcp`,
		// case, also of letters that share an upper case
		"/MCP", "/Mcp", "/mCp/x", "/%4DCP", "/%4dCP%2f", "/MCP;x", "/x/..;/MCP",
		// ends
		"/mcp%00", "/mcp%00.html", "/mcp%2500", "/mcp%3Fx", "/mcp%3fx/../y", "/mcp%23x", "/mcp%2523x", "/mcp%0a", "/mcp%0d%0ax", "/mcp#x",
		// what is trimmed or dropped
		"/mcp.", "/mcp..", "/mcp%20", "/mcp%09", "/mcp./", "/mcp%20/x", "/mcp.%20.", "/%20mcp", "/%09mcp", "/%0amcp", "/%20/../mcp", "/m%00cp", "/m%09cp", "/m%0dcp", "/m%0a%0dcp",
		"/m%E2%80%8Bcp", "/m%C2%ADcp", "/%EF%BB%BFmcp", "/mcp%E2%80%8E", "/m%EF%B8%8Fcp", "/m%FFcp", "/%80mcp", "/m%E1%A0%8Ecp", "/m%E3%85%A4cp", "/%E3%80%80mcp",
		// Unicode
		"/%EF%BD%8D%EF%BD%83%EF%BD%90", "/%EF%BC%8Fmcp", "/x/%EF%BC%8E%EF%BC%8E/mcp", "/x%EF%BC%8F..%EF%BC%8Fmcp", "/%EF%BC%BCmcp", "/%E2%88%95mcp", "/%E2%81%84mcp", "/%C2%A5mcp",
		"/%u006dcp", "/%U006Dcp", "/%25u006dcp", "/%u002fmcp", "/x/%u002e%u002e/mcp", "/%uff0fmcp", "/%25uff0fmcp", "/%E2%93%9Ccp", "/x/%E2%80%A5/mcp", "/x/%EF%BC%8E%EF%BC%8E%EF%BC%9B/mcp", "/%E2%85%BFcp",
		// overlong UTF-8
		"/%c0%afmcp", "/%c0%2fmcp", "/%e0%80%afmcp", "/%f0%80%80%afmcp", "/x/%c0%ae%c0%ae/mcp", "/x/%c0%ae%c0%ae%c0%afmcp", "/x%c1%9c..%c1%9cmcp", "/%c1%adcp", "/%25c0%25afmcp",
		// scripts, sessions, streams
		"/index.php/mcp", "/app/index.PHP/mcp", "/x.php/..;/mcp", "/index.php%2fmcp", "/(S(x))/mcp", "/(A(x)F(y))/mcp", "/(S(x))/(S(y))/mcp", "/x/(S(z))/..;/mcp", "/mcp::$DATA", "/mcp:$i30:$INDEX_ALLOCATION/x", "/x/..::$INDEX_ALLOCATION/mcp",
		// several at once
		"/x/%2e%2e%3b%5cmcp", "/x/%252e%252e%253b/%4dCP", "//x%5c..%5c;a/%6dcp%00.php", "/%2e%2e%2f%EF%BD%8Dcp", "/x;/%25%32%65%25%32%65;y/%E2%80%8Bmcp",
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			readings, ok := web.Readings(path)
			if ok && !coveredByMCP(path) && !slices.ContainsFunc(readings, coveredByMCP) {
				t.Errorf("got %q", readings)
			}
		})
	}
}

// Ordinary traffic is not mistaken for the guarded path.
func TestReadingsOfOrdinaryPaths(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"/", "/x", "/x/", "/mc", "/mcq", "/m/cp", "/m-cp", "/m.cp", "/m_cp", "/x/mcp", "/x/mcp/", "/docs/mcp", "/docs/mcp.html", "/.well-known/mcp.json", "/api/v1/mcp/x",
		"/.well-known/oauth-authorization-server", "/.well-known/oauth-protected-resource/mcp", "/.well-known/acme-challenge/abc_DEF-123",
		"/docs/a..b", "/docs/...", "/docs/.hidden", "/docs/file.tar.gz", "/docs/v1.0.", "/~user/mcp", "/@scope/mcp", "/search/C%2B%2B", "/search/100%25", "/search/50%25%20off", "/search/a%2Fb", "/search/%3F", "/search/%23mcp",
		"/search/what%3F", "/a;v=1/b", "/a;v=1,2;w=3/mcp", "/matrix;a=b", "/shop/shoes;size=41;color=red", "/index.php", "/index.php/blog/mcp", "/blog.php?x", "/index.php/",
		"/wiki/Model_Context_Protocol_(MCP)", "/wiki/(MCP)", "/wiki/Caf%C3%A9", "/wiki/%E4%BD%A0%E5%A5%BD", "/wiki/%D0%9C%D0%A1%D0%A0", "/m%C3%A7p", "/%F0%9F%98%80", "/emoji/%F0%9F%91%A8%E2%80%8D%F0%9F%91%A9%E2%80%8D%F0%9F%91%A7",
		"/files/a%20b%20c.pdf", "/files/%20mcp", "/files/a%5Cb", "/files/C:%5Cmcp", "/redirect/https://example.com/mcp", "/redirect/https:%2F%2Fexample.com%2Fmcp", "/redirect/https%3A%2F%2Fexample.com%2Fmcp%3Fa%3Db%26c%3D%2523d",
		"/imgproxy/insecure/rs:fit:300:300/plain/https%3A%2F%2Fexample.com%2Fmcp%2Fx.png@webp", "/pkg/@modelcontextprotocol%2fsdk", "/pkg/@modelcontextprotocol/sdk/-/sdk-1.0.0.tgz", "/golang.org/x/net/@v/v0.1.0.info",
		"/tenant:1/x", "/urn:isbn:123", "/a:$b", "/price/%C2%A5100", "/price/$100", "/half/%C2%BD", "/x//y", "/x//mcp", "/x/./mcp", "/x/y/../mcp", "/a/b/c/../../mcp", "/date/2026/11/25", "/u/ada%40example.com", "/q/{id}", "/q/%7Bid%7D",
		"/track/%7B%22a%22%3A%22https%3A%2F%2Fx.com%2F%3Fq%3D1%26r%3D%2523%22%7D", "/b64/aGVsbG8gd29ybGQ+/==", "/jwt/eyJhbGciOiJFUzI1NiJ9.e30.sig", "/TRACE", "/MCQ", "/static/js/main.0a1b2c.chunk.js", "/static/%5Bid%5D.js",
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			if _, err := url.PathUnescape(path); err != nil {
				t.Fatal(err)
			}
			readings, ok := web.Readings(path)
			if !ok {
				t.Fatal("too many readings")
			}
			if i := slices.IndexFunc(readings, coveredByMCP); i >= 0 {
				t.Errorf("read as %q", readings[i])
			}
			if len(readings) > 100 {
				t.Errorf("%d readings", len(readings))
			}
		})
	}
}

func TestReadingsOfPlainPaths(t *testing.T) {
	t.Parallel()
	for path, want := range map[string][]string{
		"/": nil, "/mcp": nil, "/docs/a-b_c~d.html": nil, "/.well-known/x": nil, "/a+b,c=d@e": nil,
		"/MCP": {"/mcp"}, "/Docs/Readme.md": {"/docs/readme.md"},
	} {
		if got, ok := web.Readings(path); !ok || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %t, want %q", path, got, ok, want)
		}
	}
}

// A stranger can make a path of any kind, but not make it cost much.
func TestReadingsAreBounded(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{
		"everything at once": "/" + strings.Repeat("%25252525255c..%3b%00%23%3f%0d%20%C0%AF%EF%BC%8E/(S(x))/a.php/:$x", 5),
		"long":               "/" + strings.Repeat("%2525", 40000),
		"many levels":        "/" + strings.Repeat("%25", 2) + strings.Repeat("25", 3000),
	} {
		readings, ok := web.Readings(path)
		if ok && len(readings) > 128 {
			t.Errorf("%s: %d readings", name, len(readings))
		}
	}
}

// Paths from elsewhere count like the request's own.
func TestReadingsOfOthers(t *testing.T) {
	t.Parallel()
	if got, ok := web.Readings("/x", "/MCP", "y", "/x"); !ok || !slices.Equal(got, []string{"/MCP", "/y", "/mcp"}) {
		t.Errorf("got %q, %t", got, ok)
	}
	others := make([]string, 200)
	for i := range others {
		others[i] = strings.Repeat("x", i+1)
	}
	if got, ok := web.Readings("/", others...); ok {
		t.Errorf("200 others have %d readings", len(got))
	}
}

func FuzzReadings(f *testing.F) {
	for _, seed := range []string{"/", "/x/..;/mcp", "/%25%32%65/%u002f%c0%af", "/(S(x))/a.php/b::$DATA", "//x/%EF%BC%8F"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		readings, _ := web.Readings(path)
		for i, reading := range readings {
			if !strings.HasPrefix(reading, "/") {
				t.Errorf("%q: %q is no path", path, reading)
			}
			if slices.Contains(readings[:i], reading) {
				t.Errorf("%q: %q twice", path, reading)
			}
		}
	})
}

// What is said of a plain path at a glance is what the steps make of it.
func FuzzPlain(f *testing.F) {
	for _, seed := range []string{"/", "/mcp", "/Docs/Readme.md", "/.well-known/x", "/a.php", "/a.php/b", "/a.PHP/", "/a..b", "/a/.", "/a./b", "//", "/a+b,c=d@e", "/a;b", "/%2f", "x", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		plain, lower := web.Plain(path)
		if !plain {
			return
		}
		slow, ok := web.Readings(path, path) // with others, every step is taken
		if !ok || lower && len(slow) > 0 || !lower && (len(slow) != 1 || slow[0] != strings.ToLower(path)) {
			t.Errorf("%q is plain, and in lower case: %t, but has the readings %q", path, lower, slow)
		}
		if fast, ok := web.Readings(path); !ok || !slices.Equal(fast, slow) {
			t.Errorf("%q: got %q, want %q", path, fast, slow)
		}
	})
}

func TestPlain(t *testing.T) {
	for path, want := range map[string][2]bool{
		"/": {true, true}, "/mcp": {true, true}, "/mcp/x-1_2~3.json": {true, true}, "/a.php": {true, true}, "/php/": {true, true}, "/MCP": {true, false}, "/a!b&c'*+,=@": {true, true},
		"": {}, "mcp": {}, "//": {}, "/a//b": {}, "/.": {}, "/a/../b": {}, "/a..b": {}, "/a./b": {}, "/a.": {}, "/a.php/b": {}, "/a.pHp/": {}, "/a;b": {}, "/a%2fb": {}, "/a b": {},
		"/a\\b": {}, "/a:b": {}, "/a$b": {}, "/(a)": {}, "/a?b": {}, "/a#b": {}, "/caf\u00e9": {}, "/\x00": {}, "/{a}": {},
	} {
		plain, lower := web.Plain(path)
		if plain != want[0] || lower != want[1] {
			t.Errorf("%q: got %t, %t, want %v", path, plain, lower, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { web.Plain("/Docs/guide/install.html") }); n != 0 {
		t.Errorf("%.0f allocations", n)
	}
}

func BenchmarkReadings(b *testing.B) {
	for name, path := range map[string]string{"plain": "/docs/guide/install.html", "escaped": "/redirect/https%3A%2F%2Fexample.com%2Fa%3Fb%3Dc"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				web.Readings(path)
			}
		})
	}
}
