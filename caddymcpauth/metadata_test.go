package caddymcpauth_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

const wellKnown = "/.well-known/oauth-protected-resource"

// Only the exact paths are public; whatever merely looks like one of them needs
// a token as everything else does.
func TestMetadataPaths(t *testing.T) {
	t.Parallel()
	all := serve(t, guestDoor("metadata resource_name x"), nil)
	matched := serve(t, strings.Replace(guestDoor(""), "mcp_auth ", "mcp_auth /mcp* ", 1), nil)
	const public, needsToken, untouched, ambiguous = "public", "needs a token", "untouched", "ambiguous"
	for _, test := range []struct {
		path string
		// what a front door without a matcher does, and one with
		all, matched string
	}{
		{wellKnown + "/mcp", public, public},
		{wellKnown + "/mcp/", public, public},
		{wellKnown + "/mcp?x=y", public, public},
		{wellKnown, public, untouched},
		{wellKnown + "/", needsToken, untouched},
		{wellKnown + "/mcp//", needsToken, ""},
		{wellKnown + "/mcp/x", needsToken, untouched},
		{wellKnown + "/other", needsToken, untouched},
		{wellKnown + "/MCP", needsToken, needsToken},
		{wellKnown + "/mcp;x", needsToken, ambiguous},
		{wellKnown + ";/mcp", needsToken, ambiguous},
		{wellKnown + "/%6dcp", needsToken, needsToken},
		{wellKnown + "%2fmcp", needsToken, needsToken},
		{wellKnown + "/mcp%2f", needsToken, ""},
		{wellKnown + "/./mcp", needsToken, ""},
		{wellKnown + "/%2e/mcp", needsToken, ""},
		{wellKnown + "/../mcp", needsToken, ""},
		{wellKnown + "/mcp/..", needsToken, ""},
		{wellKnown + "/%2e%2e/%2e%2e/mcp", needsToken, ""},
		{wellKnown + "/mcp%00", needsToken, ambiguous},
		{"/.WELL-KNOWN/oauth-protected-resource/mcp", needsToken, needsToken},
		{"/.well-known/OAuth-Protected-Resource", needsToken, untouched},
		{"/%2ewell-known/oauth-protected-resource/mcp", needsToken, needsToken},
		{"/" + wellKnown + "/mcp", needsToken, ""},
		{"/x" + wellKnown + "/mcp", needsToken, untouched},
		{"/mcp" + wellKnown, needsToken, needsToken},
		{"/.well-known/oauth-protected-resourcex", needsToken, untouched},
		{"/.well-known/oauth-authorization-server", needsToken, untouched},
		{"/mcp", needsToken, needsToken},
		{"/mcp/", needsToken, needsToken},
		{"/%6dcp", needsToken, needsToken},
		{"/MCP", needsToken, needsToken},
		{"//mcp", needsToken, needsToken},
		{"/./mcp", needsToken, needsToken},
		{"/x/../mcp", needsToken, needsToken},
		{"/mcp%2fx", needsToken, needsToken},
		{"/mcpx", needsToken, needsToken},
		{"/other", needsToken, untouched},
	} {
		t.Run(test.path, func(t *testing.T) {
			for s, what := range map[*site]string{all: test.all, matched: test.matched} {
				got := s.do(t, "GET", test.path)
				switch what {
				case public:
					if got.StatusCode != 200 || !strings.HasPrefix(got.body, `{"authorization_servers":`) {
						t.Errorf("got %d %q, want the metadata", got.StatusCode, got.body)
					}
				case needsToken:
					noCredentials.check(t, got, "")
				case ambiguous:
					if got.StatusCode != 400 || !strings.Contains(got.body, "is ambiguous") {
						t.Errorf("got %d %q, want it refused: other servers read the path as the metadata's", got.StatusCode, got.body)
					}
				case untouched:
					if got.StatusCode != 200 || got.body != "served" {
						t.Errorf("got %d %q, want it served by the site", got.StatusCode, got.body)
					}
				default: // how Caddy's matcher sees it is Caddy's, but it is not the metadata
					if strings.Contains(got.body, "authorization_servers") {
						t.Errorf("got the metadata")
					}
				}
			}
		})
	}
}

func TestMetadataMethods(t *testing.T) {
	t.Parallel()
	s := serve(t, guestDoor(""), nil)
	document := s.do(t, "GET", wellKnown+"/mcp").body
	for _, test := range []struct {
		method, body string
		status       int
		header       map[string]string
	}{
		{"GET", document, 200, map[string]string{
			"Content-Type": "application/json", "Access-Control-Allow-Origin": "*",
			"Cache-Control": "public, max-age=60", "X-Content-Type-Options": "nosniff",
		}},
		{"HEAD", "", 200, map[string]string{"Content-Type": "application/json", "Access-Control-Allow-Origin": "*"}},
		{"OPTIONS", "", 204, map[string]string{
			"Access-Control-Allow-Origin":  "*",
			"Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
			"Access-Control-Allow-Headers": "*, Authorization, MCP-Protocol-Version",
		}},
		{"POST", "", 405, map[string]string{"Allow": "GET, HEAD, OPTIONS", "Access-Control-Allow-Origin": "*"}},
		{"DELETE", "", 405, map[string]string{"Allow": "GET, HEAD, OPTIONS"}},
	} {
		for _, path := range []string{wellKnown, wellKnown + "/mcp"} {
			t.Run(test.method+" "+path, func(t *testing.T) {
				// Nothing that a request can say makes a difference: no origin, no
				// token, no host.
				for _, headers := range [][]string{
					nil,
					{"Origin", "https://evil.example"},
					{"Origin", "null"},
					{"Origin", "https://evil.example", "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "mcp-protocol-version"},
					{"Authorization", "Bearer x", "Authorization", "Bearer y"},
					{"Host", "evil.example"},
					{
						"X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "http", "X-Forwarded-Prefix", "/evil",
						"Forwarded", "host=evil.example", "X-Original-Url", "/mcp",
					},
				} {
					got := s.do(t, test.method, path, headers...)
					if got.StatusCode != test.status || got.body != test.body {
						t.Errorf("%q: got %d %q, want %d %q", headers, got.StatusCode, got.body, test.status, test.body)
					}
					for name, value := range test.header {
						if got := got.Header[name]; len(got) != 1 || got[0] != value {
							t.Errorf("%q: %s: got %q, want %q", headers, name, got, value)
						}
					}
					if got.Header["Www-Authenticate"] != nil {
						t.Errorf("%q: got a challenge", headers)
					}
				}
			})
		}
	}
}

// Nothing else on a site hides the metadata or answers in the place of the
// challenge, wherever it stands in the Caddyfile.
func TestNothingHidesMetadata(t *testing.T) {
	t.Parallel()
	const (
		account = "{\nadmin $2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG\n}\n"
		door    = "mcp_auth /mcp* https://mcp.example.com/mcp {\nissuer https://as.example.com\n}\n"
	)
	for _, test := range []struct{ name, site string }{
		{"basic_auth on the whole site", "basic_auth " + account + door},
		{"basicauth, its older name", "basicauth " + account + door},
		{"forward_auth", "forward_auth 127.0.0.1:1 {\nuri /verify\n}\n" + door},
		{"respond", "respond 404\n" + door},
		{"error", "error 410\n" + door},
		{"catch-all handle", "handle {\nrespond 404\n}\n" + door},
		{"handle of its path", "handle /mcp* {\nrespond 404\n}\nhandle /.well-known/* {\nrespond 404\n}\n" + door},
		{"inside handle", "handle {\nrespond 404\n" + door + "}"},
		{"inside route", "route {\n" + door + "respond 404\n}"},
		{"abort", "abort /x*\nabort\n" + door},
		{"file server", "root * /nowhere\nfile_server\n" + door},
		{"reverse_proxy", "reverse_proxy 127.0.0.1:1\n" + door},
		{"php_fastcgi", "php_fastcgi 127.0.0.1:1\n" + door},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, test.site, nil)
			for _, path := range []string{"/mcp", "/mcp/"} {
				if got := s.do(t, "GET", wellKnown+path); got.StatusCode != 200 || !strings.Contains(got.body, testResource) {
					t.Errorf("%s: got %d %q, want the metadata", path, got.StatusCode, got.body)
				}
				noCredentials.check(t, s.do(t, "GET", path), "")
			}
		})
	}
}

// The challenge, too, names what is configured, whatever host the client names.
func TestHostChangesNothing(t *testing.T) {
	t.Parallel()
	s := serve(t, guestDoor(""), nil)
	for _, headers := range [][]string{
		{"Host", "evil.example"},
		{"X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "http"},
		{"Forwarded", "host=evil.example;proto=http"},
	} {
		noCredentials.check(t, s.do(t, "POST", "/mcp", headers...), "")
	}
}

func TestMetadataContent(t *testing.T) {
	t.Parallel()
	const issuer = "\n\tissuer https://as.example.com\n"
	for _, test := range []struct {
		name, site, path, want string
	}{
		{
			"minimal", "mcp_auth https://mcp.example.com/mcp {" + issuer + "}", "/mcp",
			`{"resource":"https://mcp.example.com/mcp","authorization_servers":["https://as.example.com"],"bearer_methods_supported":["header"]}`,
		},
		{
			"slash at the end", "mcp_auth https://mcp.example.com/mcp/ {" + issuer + "}", "/mcp",
			`{"resource":"https://mcp.example.com/mcp/","authorization_servers":["https://as.example.com"],"bearer_methods_supported":["header"]}`,
		},
		{
			"no path", "mcp_auth https://mcp.example.com {" + issuer + "}", "",
			`{"resource":"https://mcp.example.com","authorization_servers":["https://as.example.com"],"bearer_methods_supported":["header"]}`,
		},
		{
			"path of several segments, escaped", "mcp_auth https://mcp.example.com/a%20b/mcp {" + issuer + "}", "/a%20b/mcp",
			`{"resource":"https://mcp.example.com/a%20b/mcp","authorization_servers":["https://as.example.com"],"bearer_methods_supported":["header"]}`,
		},
		{
			"several issuers in order, scopes",
			"mcp_auth https://mcp.example.com/mcp {\nissuer https://b.example.com\nissuer https://a.example.com/x/\nscopes read write\n}", "/mcp",
			`{"resource":"https://mcp.example.com/mcp","authorization_servers":["https://b.example.com","https://a.example.com/x/"],"bearer_methods_supported":["header"],"scopes_supported":["read","write"]}`,
		},
		{
			"advertised scopes win", "mcp_auth https://mcp.example.com/mcp {" + issuer + "scopes read\nscopes_supported read admin\n}", "/mcp",
			`{"resource":"https://mcp.example.com/mcp","authorization_servers":["https://as.example.com"],"bearer_methods_supported":["header"],"scopes_supported":["read","admin"]}`,
		},
		{
			"fields",
			"mcp_auth https://mcp.example.com/mcp {" + issuer + `
				metadata resource_name "Weather & <more>"
				metadata resource_name#fr Météo
				metadata resource_documentation https://docs.example.com/
				metadata resource_signing_alg_values_supported ES256
				metadata x_extension a b
			}`, "/mcp",
			`{"resource":"https://mcp.example.com/mcp","authorization_servers":["https://as.example.com"],"bearer_methods_supported":["header"],
			"resource_name":"Weather & <more>","resource_name#fr":"Météo","resource_documentation":"https://docs.example.com/",
			"resource_signing_alg_values_supported":["ES256"],"x_extension":["a","b"]}`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, test.site, nil)
			got := s.do(t, "GET", wellKnown+test.path)
			var gotJSON, wantJSON any
			if err := json.Unmarshal([]byte(got.body), &gotJSON); err != nil {
				t.Fatalf("%d %q: %v", got.StatusCode, got.body, err)
			}
			if err := json.Unmarshal([]byte(test.want), &wantJSON); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(gotJSON, wantJSON) {
				t.Errorf("got  %s\nwant %s", got.body, test.want)
			}
			if strings.ContainsAny(got.body, "<>&") {
				t.Errorf("%s can be taken for HTML", got.body)
			}
			root := s.do(t, "GET", wellKnown)
			if root.body != got.body {
				t.Errorf("root form: got %s, want the same", root.body)
			}
		})
	}
}
