package routing_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/adapttest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/routing"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// treeOf returns the routes of a site with the given directives.
func treeOf(t testing.TB, site string) *routing.Tree {
	t.Helper()
	raw, _, err := adapttest.Adapt("https://mcp.example.com {\nmcp_auth_guard\n" + site + "\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	var config caddy.Config
	if err := caddy.StrictUnmarshalJSON(raw, &config); err != nil {
		t.Fatal(err)
	}
	config.StorageRaw, err = json.Marshal(map[string]string{"module": "file_system", "root": t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	config.Admin = &caddy.AdminConfig{Disabled: true}
	config.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{Level: "FATAL"}}}}
	testkit.Provisioning.Lock()
	defer testkit.Provisioning.Unlock()
	ctx, err := caddy.ProvisionContext(&config)
	if err != nil {
		t.Fatal(err)
	}
	app, err := ctx.App("http")
	if err != nil {
		t.Fatal(err)
	}
	tree, err := routing.New(ctx, app.(*caddyhttp.App).Servers["srv0"])
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// request returns a request for a path as it comes over the wire.
func request(t testing.TB, target string) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	u, err := url.ParseRequestURI(target)
	if err != nil {
		t.Fatal(err)
	}
	r.URL, r.RequestURI, r.Host = u, target, "mcp.example.com"
	if target == "*" {
		r.Method = http.MethodOptions
	}
	r.TLS = &tls.ConnectionState{ServerName: "mcp.example.com"}
	return caddyhttp.PrepareRequest(r, caddy.NewReplacer(), httptest.NewRecorder(), nil)
}

const (
	door  = "https://mcp.example.com/mcp {\n issuer https://as.example.com\n}\n"
	other = "https://mcp.example.com/other {\n issuer https://as.example.com\n}\n"
	proxy = "reverse_proxy 127.0.0.1:9\n"
)

// misread is Misread as the guard calls it.
func misread(tree *routing.Tree, r *http.Request) bool {
	return tree.Misread(r, routing.PathHeaders.In(r.Header))
}

func TestMisread(t *testing.T) {
	t.Parallel()
	for _, layout := range []struct {
		name, site string
		// Targets that are refused, and targets that pass the guard: covered by
		// the door, or nothing of its.
		misread, read []string
	}{
		{
			"prefix", "mcp_auth /mcp* " + door + proxy,
			[]string{
				"/;/mcp", "/x/..;/mcp", "/%5Cmcp", "/x/%252e%252e/mcp", "/%256dcp", "/%25u006dcp", "//x/mcp", "/mcp/../x", "/mcp%2F..", "/%EF%BC%8Fmcp", "/index.php/mcp",
				"/a%2fb/../mcp", "/(S(x))/mcp", "/%09/mcp", "/x/.%20./mcp", "/m%00cp", "http:mcp", "http:%2Fmcp", "/x/..;/MCP",
			},
			[]string{
				"/mcp", "/mcp/", "/MCP", "//mcp", "/./mcp", "/x/../mcp", "/mcp;x", "/mcp%00", "/%6dcp", "/mcp%2f..%2fmcp", "/mcpx", "/", "/x", "/X", "/x/mcp", "/docs/a;v=1/b", "/search/C%2B%2B", "/%E4%BD%A0",
				"/.well-known/oauth-protected-resource/mcp", "http://mcp.example.com/mcp", "http://mcp.example.com", "*",
			},
		},
		{
			"no matcher", "mcp_auth " + door + proxy,
			[]string{"http:mcp"},
			[]string{"/;/mcp", "/x/..;/mcp", "/", "/%5Cmcp"},
		},
		{
			"several paths", "@m path /mcp /mcp/*\nmcp_auth @m " + door + proxy,
			[]string{"/mcp;x", "/mcp%00", "/mcp%20", "/mcp.", "/mcp::$DATA", "/mcp%3fx", "/mcp%5Cx", "/;/mcp"},
			[]string{"/mcp", "/mcp/", "/mcpx", "/mcp.json", "/mcp-docs"},
		},
		{
			"not", "@m not path /public/*\nmcp_auth @m " + door + proxy,
			[]string{"/public/..;/mcp", "/public/%252e%252e/mcp", "/public%2f..%5cmcp", "/public/..%5c/admin", "/public/;/..;/..;/x"},
			[]string{"/public/x", "/public/a;b/c", "/public/C%2B%2B", "/mcp", "/public/../mcp", "/x"},
		},
		{
			"path_regexp", "@m path_regexp ^/mcp(/|$)\nmcp_auth @m " + door + proxy,
			[]string{"/MCP", "/Mcp/x", "/;/mcp", "/mcp;x", "/mcp%00"},
			[]string{"/mcp", "/mcp/x", "/mcpx", "/MCPX"},
		},
		{
			"expression", "@m expression `{path}.startsWith(\"/mcp\")`\nmcp_auth @m " + door + proxy,
			[]string{"/MCP", "//mcp", "/./mcp", "/x/../mcp", "/;/mcp", "/x/..;/mcp"},
			[]string{"/mcp", "/mcp/x", "/x", "/x/mcp"},
		},
		{
			"path_regexp in capitals", "@m path_regexp ^/MCP\nmcp_auth @m https://mcp.example.com/MCP {\n issuer https://as.example.com\n}\n" + proxy,
			[]string{"/mcp", "/Mcp", "/;/mcp"},
			[]string{"/MCP", "/x"},
		},
		{
			"handle", "handle /mcp* {\nmcp_auth " + door + proxy + "}\nhandle {\n" + proxy + "}\n",
			[]string{"/;/mcp", "/x/..;/mcp", "/%5Cmcp"},
			[]string{"/mcp", "/x", "/x/mcp"},
		},
		{
			"handle with an exception", "handle /mcp/public* {\n" + proxy + "}\nhandle /mcp* {\nmcp_auth " + door + proxy + "}\n",
			[]string{"/mcp/public/..;/admin", "/;/mcp", "/mcp/public%5c..%5cadmin", "/mcp/public/%252e%252e/admin"},
			[]string{"/mcp/public/x", "/mcp", "/mcp/public/a;b"},
		},
		{
			"two doors", "mcp_auth /mcp* " + door + "mcp_auth /other* " + other + proxy,
			[]string{"/mcp/..;/other", "/other/..;/mcp", "/;/other", "/mcp/%252e%252e/other"},
			[]string{"/mcp", "/other", "/x", "/mcp/..;/x"},
		},
		{
			"after a rewrite", "uri strip_prefix /v1\nmcp_auth /mcp* " + door + proxy,
			[]string{"/v1/;/mcp", "/v1/x/..;/mcp", "/;/mcp", "/v1/%5Cmcp"},
			[]string{"/v1/mcp", "/mcp", "/v1/x", "/v2/mcp"},
		},
		{
			"metadata", "mcp_auth /mcp* " + door + "handle /.well-known/* {\n" + proxy + "}\n",
			[]string{"/;/mcp"},
			[]string{"/mcp", "/x"},
		},
		{"no door", "respond 204", nil, []string{"/;/mcp", "/x/..;/mcp"}},
	} {
		t.Run(layout.name, func(t *testing.T) {
			t.Parallel()
			tree := treeOf(t, layout.site)
			for _, target := range layout.misread {
				if !misread(tree, request(t, target)) {
					t.Errorf("%s passes", target)
				}
			}
			for _, target := range layout.read {
				if misread(tree, request(t, target)) {
					t.Errorf("%s is refused", target)
				}
			}
		})
	}
}

// Headers by which some frameworks let a server in front name the path.
func TestMisreadHeaders(t *testing.T) {
	t.Parallel()
	tree := treeOf(t, "mcp_auth /mcp* "+door+proxy)
	for _, tc := range []struct {
		name, target, header, value string
		misread                     bool
	}{
		{"IIS", "/x", "X-Original-URL", "/mcp", true},
		{"Symfony", "/x", "X-Rewrite-Url", "/mcp?a=b", true},
		{"with a host", "/x", "X-Original-URL", "http://y/mcp", true},
		{"folded", "/x", "X-Original-URL", "/;/mcp", true},
		{"without a slash", "/x", "X-Original-URL", "mcp", true},
		{"elsewhere", "/x", "X-Original-URL", "/y", false},
		{"as it is", "/x", "X-Original-URL", "/x", false},
		{"to the door itself", "/mcp", "X-Original-URL", "/mcp", false},
		{"as CGI folds names", "/x", "X_Original_URL", "/mcp", true},
		{"dots", "/x", "X.Rewrite.Url", "/mcp", true},
		{"Gunicorn's path", "/x", "PATH_INFO", "/mcp", true},
		{"Gunicorn's prefix", "/x/mcp", "SCRIPT_NAME", "/x", true},
		{"prefix", "/x/mcp", "X-Script-Name", "/x", true},
		{"prefix with a slash", "/x/mcp", "X-Forwarded-Prefix", "/x/", true},
		{"several prefixes", "/x/mcp", "X-Forwarded-Prefix", "/y, /x", true},
		{"prefix of an escaped path", "/%78/mcp", "X-Forwarded-Prefix", "/x", true},
		{"prefix before an ambiguous path", "/x/y/..;/mcp", "X-Script-Name", "/x", true},
		{"prefix of something else", "/x/y", "X-Forwarded-Prefix", "/x", false},
		{"prefix that isn't there", "/y/mcp", "X-Forwarded-Prefix", "/x", false},
		{"prefix that a proxy has taken off", "/y", "X-Forwarded-Prefix", "/mcp", false},
		{"what a proxy was asked for", "/verify", "X-Forwarded-Uri", "/mcp", false},
	} {
		r := request(t, tc.target)
		r.Header.Set(tc.header, tc.value)
		if got := misread(tree, r); got != tc.misread {
			t.Errorf("%s: got %t, want %t", tc.name, got, tc.misread)
		}
	}
}

// To look at a path costs more than to send a header with it, so that there are
// bounds for all of them together.
func TestMisreadHeadersAreBounded(t *testing.T) {
	t.Parallel()
	tree := treeOf(t, "mcp_auth /mcp* "+door+proxy)
	for _, name := range []string{"X-Original-URL", "X-Rewrite-URL"} {
		r := request(t, "/x")
		for i := range 1000 {
			r.Header.Add(name, fmt.Sprintf("/%d", i))
		}
		if !misread(tree, r) {
			t.Errorf("%s a thousand times passes", name)
		}
		r.Header.Del(name)
		for range 1000 {
			r.Header.Add(name, "/y")
		}
		if misread(tree, r) {
			t.Errorf("%s a thousand times the same is refused", name)
		}
	}
}
