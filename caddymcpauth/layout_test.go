package caddymcpauth_test

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/adapttest"
)

// warningsOf provisions a Caddyfile, and returns what is logged at WARN and above
// of our modules, one line each: message -> cure.
func warningsOf(t *testing.T, caddyfile string) ([]string, error) {
	t.Helper()
	raw, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return nil, err
	}
	log, err := adapttest.Logged(t, raw)
	if err != nil {
		return nil, err
	}
	return adapttest.Warnings(t, log), nil
}

const (
	layoutDoor      = "https://mcp.example.com/mcp {\n issuer https://as.example.com\n}\n"
	layoutOther     = "https://mcp.example.com/other {\n issuer https://as.example.com\n}\n"
	layoutRoot      = "https://mcp.example.com {\n issuer https://as.example.com\n}\n"
	layoutAsserting = "https://mcp.example.com/mcp {\n issuer https://as.example.com\n assertion {\n audience https://backend.internal\n}\n}\n"
	layoutProxy     = "reverse_proxy 127.0.0.1:9\n"
)

// What leaves the MCP server open, or closes it to everyone, is reported when the
// configuration is loaded.
func TestLayouts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, global, site string
		// Parts of the only warning, or of the error; none if there is neither.
		warning, cure, err string
	}{
		{"plain", "", "mcp_auth /mcp* " + layoutDoor + layoutProxy, "", "", ""},
		{"whole site", "", "mcp_auth " + layoutDoor + layoutProxy, "", "", ""},
		{"named matcher", "", "@m path /mcp /mcp/*\nmcp_auth @m " + layoutDoor + layoutProxy, "", "", ""},
		{"path_regexp", "", "@m path_regexp ^/mcp(/|$)\nmcp_auth @m " + layoutDoor + layoutProxy, "", "", ""},
		{"expression about the path", "", "@m expression path('/mcp*')\nmcp_auth @m " + layoutDoor + layoutProxy, "", "", ""},
		{"all but", "", "@m not path /public*\nmcp_auth @m " + layoutDoor + layoutProxy, "", "", ""},
		{"beside handle", "", "mcp_auth /mcp* " + layoutDoor + "handle /mcp* {\n" + layoutProxy + "}\nhandle {\nrespond 404\n}", "", "", ""},
		{"in a catch-all handle", "", "handle {\nmcp_auth /mcp* " + layoutDoor + layoutProxy + "}", "", "", ""},
		{"in a route", "", "route {\nmcp_auth /mcp* " + layoutDoor + layoutProxy + "}", "", "", ""},
		{"two doors", "", "mcp_auth /mcp* " + layoutDoor + "mcp_auth /other* " + layoutOther + layoutProxy, "", "", ""},
		{"a rewrite before that the matcher knows", "", "rewrite /mcp* /internal{uri}\nmcp_auth /internal/mcp* " + layoutDoor + layoutProxy, "", "", ""},
		{"error pages", "", "mcp_auth /mcp* " + layoutDoor + layoutProxy + "handle_errors {\nrespond {err.status_code}\n}", "", "", ""},
		{"upstream for errors after the door", "", "mcp_auth /mcp* " + layoutDoor + layoutProxy + "handle_errors {\n" + layoutProxy + "}", "", "", ""},
		{"basic_auth elsewhere", "", "mcp_auth /mcp* " + layoutDoor + "basic_auth /admin* {\nada $2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG\n}\n" + layoutProxy, "", "", ""},
		{"forward_auth", "", "forward_auth 127.0.0.1:8 {\nuri /auth\n}\nmcp_auth /mcp* " + layoutDoor + layoutProxy, "", "", ""},
		{"another server below a prefix", "", "mcp_auth /mcp* " + layoutDoor + "handle_path /api/* {\nreverse_proxy 127.0.0.1:7\n}\nhandle {\n" + layoutProxy + "}", "", "", ""},
		{"the same server below a prefix", "", "mcp_auth /mcp* " + layoutDoor + "handle_path /api/* {\n" + layoutProxy + "}\nhandle {\n" + layoutProxy + "}", "/api/mcp gets to the same server as /mcp, without a token", "cover /api/mcp*", ""},
		{"the same server below a prefix that is covered", "", "mcp_auth /mcp* " + layoutDoor + "respond /api/mcp* 404\nhandle_path /api/* {\n" + layoutProxy + "}\nhandle {\n" + layoutProxy + "}", "/api/mcp gets to the same server", "", ""},
		{"other methods get nothing", "", "@post method POST\nhandle @post {\nmcp_auth /mcp* " + layoutDoor + layoutProxy + "}\nhandle {\nrespond 405\n}", "the metadata at", "beside handle", ""},

		{"uri strip_prefix", "", "uri strip_prefix /mcp\nmcp_auth /mcp* " + layoutDoor + layoutProxy, `makes "/" of their path "/mcp"`, "cover the rewritten path", ""},
		{"uri replace", "", "uri replace /mcp /m\nmcp_auth /mcp* " + layoutDoor + layoutProxy, `makes "/m" of`, "in a route", ""},
		{"rewrite", "", "rewrite /mcp* /x{uri}\nmcp_auth /mcp* " + layoutDoor + layoutProxy, `makes "/x/mcp" of`, "in a route", ""},
		{"rewrite in a route", "", "route {\nrewrite * /x{uri}\nmcp_auth /mcp* " + layoutDoor + layoutProxy + "}", `makes "/x/mcp" of`, "in a route", ""},
		{"try_files", "", "try_files {path} /layout_test.go\nmcp_auth /mcp* " + layoutDoor + layoutProxy, "layout_test.go", "in a route", ""},
		{"handle_path", "", "handle_path /mcp* {\nmcp_auth /mcp* " + layoutDoor + layoutProxy + "}", "handle_path makes", "outside of handle_path", ""},
		{"handle_path, no matcher", "", "handle_path /mcp* {\nmcp_auth " + layoutDoor + layoutProxy + "}", "the metadata at https://mcp.example.com/.well-known/oauth-protected-resource/mcp can't be reached", "beside handle", ""},
		{"handle, no matcher", "", "handle /mcp* {\nmcp_auth " + layoutDoor + layoutProxy + "}", "can't be reached", "beside handle", ""},
		{"after respond", "", "route {\nrespond ok\nmcp_auth /mcp* " + layoutDoor + layoutProxy + "}", "respond (or redir, abort) answers them before", "in a route, directives", ""},
		{"after reverse_proxy", "", "route {\n" + layoutProxy + "mcp_auth /mcp* " + layoutDoor + "}", "reverse_proxy answers them before", "in a route, directives", ""},
		{"after redir", "", "redir /mcp* /other\nmcp_auth /mcp* " + layoutDoor + layoutProxy, "respond (or redir, abort) answers them before", "", ""},
		{"order", "order mcp_auth last", "mcp_auth /mcp* " + layoutDoor + layoutProxy, "reverse_proxy answers them before", "the option `order`", ""},
		{"order of another", "order reverse_proxy before mcp_auth", "mcp_auth /mcp* " + layoutDoor + layoutProxy, "reverse_proxy answers them before", "the option `order`", ""},
		{"an earlier handle", "", "handle /mcp* {\n" + layoutProxy + "}\nhandle {\nmcp_auth " + layoutDoor + layoutProxy + "}", "reverse_proxy answers them before", "cover /mcp", ""},
		{"method", "", "@m {\npath /mcp*\nmethod POST\n}\nmcp_auth @m " + layoutDoor + layoutProxy, "with a method other than POST gets to reverse_proxy without a token", "leave `method` out", ""},
		{"header that may be left out", "", "@m {\npath /mcp*\nheader X-Api *\n}\nmcp_auth @m " + layoutDoor + layoutProxy, "a request for this resource gets to reverse_proxy", "match the path only", ""},
		{"header that lets in", "", "@m {\npath /mcp*\nnot header X-Internal yes\n}\nmcp_auth @m " + layoutDoor + layoutProxy, "with a header X-Internal", "leave `header` out", ""},
		{"query that lets in", "", "@m {\npath /mcp*\nnot query debug=*\n}\nmcp_auth @m " + layoutDoor + layoutProxy, "with a query debug", "leave `query` out", ""},
		{"protocol", "", "@m {\npath /mcp*\nprotocol http/2+\n}\nmcp_auth @m " + layoutDoor + layoutProxy, "a request for this resource gets to", "match the path only", ""},
		{"expression", "", "@m expression `path('/mcp*') && method('POST')`\nmcp_auth @m " + layoutDoor + layoutProxy, "a method other than POST", "leave `method` out", ""},
		{"handle with a method", "", "@m {\npath /mcp* /.well-known/*\nmethod POST\n}\nhandle @m {\nmcp_auth " + layoutDoor + layoutProxy + "}\nhandle {\n" + layoutProxy + "}", "", "", "2 warnings"},
		{"subpaths", "", "@m path_regexp ^/mcp$\nmcp_auth @m " + layoutDoor + layoutProxy, "", "", "2 warnings"},
		{"try_files that fails", "", "try_files {path} =404\nmcp_auth /mcp* " + layoutDoor + layoutProxy + "handle_errors {\n" + layoutProxy + "}", "fail before they reach mcp_auth", "try_files", ""},
		{"basic_auth as well", "", "mcp_auth /mcp* " + layoutDoor + "basic_auth {\nada $2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG\n}\n" + layoutProxy, "basic_auth", "@rest not path /mcp*", ""},
		{"metadata behind another door", "", "route {\nmcp_auth /.well-known/* " + layoutRoot + "mcp_auth /mcp* " + layoutDoor + layoutProxy + "}", "", "", "2 warnings"},

		{"keys of assertions", "", "mcp_auth /mcp* " + layoutAsserting + "handle /mcp* {\n" + layoutProxy + "}\nhandle {\nrespond 404\n}", "", "", ""},
		{"keys of another door of the origin", "", "mcp_auth /other* " + strings.Replace(layoutAsserting, "/mcp ", "/other ", 1) + "@h path /mcp* /.well-known/oauth-protected-resource/*\nhandle @h {\nmcp_auth " + layoutAsserting + layoutProxy + "}", "", "", ""},
		{"keys that can't be reached", "", "@m path /mcp* /.well-known/oauth-protected-resource/*\nhandle @m {\nmcp_auth " + layoutAsserting + layoutProxy + "}", "the keys of assertions at https://mcp.example.com/.well-known/mcp-auth/jwks.json can't be reached", "match /.well-known/mcp-auth/jwks.json as well", ""},
		{"keys behind another door", "", "@o path /other* /.well-known/mcp-auth/*\nroute {\nmcp_auth @o " + layoutOther + "mcp_auth /mcp* " + layoutAsserting + layoutProxy + "}", "the keys of assertions at https://mcp.example.com/.well-known/mcp-auth/jwks.json are behind mcp_auth for https://mcp.example.com/other", "put this mcp_auth before that one", ""},

		{"the same twice", "", "mcp_auth /mcp* " + layoutDoor + "mcp_auth /mcp* " + layoutDoor + layoutProxy, "", "", "Remove one of the two"},
		{"overlap", "", "mcp_auth /mcp* " + layoutDoor + "mcp_auth " + layoutRoot + layoutProxy, "", "", "matchers that don't overlap"},
		{"overlap below", "", "mcp_auth /mcp* " + layoutDoor + "mcp_auth /mcp-admin* https://mcp.example.com/mcp-admin {\nissuer https://as.example.com\n}\n" + layoutProxy, "", "", "matchers that don't overlap"},
		{"overlap with handle", "", "mcp_auth " + layoutRoot + "handle /mcp* {\nmcp_auth " + layoutDoor + layoutProxy + "}", "", "", "matchers that don't overlap"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			warnings, err := warningsOf(t, "{\n"+tc.global+"\n}\nhttps://mcp.example.com {\nmcp_auth_guard\n"+tc.site+"\n}\n")
			switch {
			case tc.err == "2 warnings":
				if len(warnings) != 2 || err != nil {
					t.Errorf("got %q, %v, want two", warnings, err)
				}
			case tc.err != "":
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("got %v, want %q", err, tc.err)
				}
			case err != nil:
				t.Error(err)
			case tc.warning == "":
				if len(warnings) > 0 {
					t.Errorf("got %q", warnings)
				}
			case len(warnings) != 1 || !strings.Contains(warnings[0], tc.warning) || !strings.Contains(warnings[0], tc.cure):
				t.Errorf("got %q, want one with %q and %q", warnings, tc.warning, tc.cure)
			}
		})
	}
}

// Another site of the same Caddy may lead to the same server.
func TestLayoutsOfOtherSites(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		other string
		want  int
	}{
		"none":                           {"", 0},
		"with the same server":           {"https://www.example.com {\n" + layoutProxy + "}\n", 1},
		"with another server":            {"https://www.example.com {\nreverse_proxy 127.0.0.1:7\n}\n", 0},
		"with the same server elsewhere": {"https://www.example.com {\nhandle /app/* {\n" + layoutProxy + "}\n}\n", 0},
		"with a door of its own":         {"https://www.example.com {\nmcp_auth /mcp* https://www.example.com/mcp {\nissuer https://as.example.com\n}\n" + layoutProxy + "}\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			warnings, err := warningsOf(t, "https://mcp.example.com {\nmcp_auth /mcp* "+layoutDoor+layoutProxy+"}\n"+tc.other)
			if err != nil || len(warnings) != tc.want || tc.want > 0 && !strings.Contains(warnings[0], "by the host www.example.com") {
				t.Errorf("got %q, %v, want %d", warnings, err, tc.want)
			}
		})
	}
}
