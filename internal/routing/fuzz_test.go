package routing_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/routing"
)

// What Misread says of most paths at a glance is what it finds out by following the
// routes.
func FuzzMisread(f *testing.F) {
	trees := map[string]*routing.Tree{
		"path":     treeOf(f, "mcp_auth /mcp* "+door+proxy),
		"rewrite":  treeOf(f, "rewrite /old/* /mcp\nroute {\nmcp_auth /mcp* "+door+proxy+"}\n"),
		"regexp":   treeOf(f, "@x path_regexp ^/Other\nmcp_auth /mcp* "+door+"handle @x {\nmcp_auth "+other+proxy+"}\n"+proxy),
		"capitals": treeOf(f, "@x path_regexp ^/Other\nhandle @x {\nmcp_auth https://mcp.example.com/Other {\n issuer https://as.example.com\n}\n"+proxy+"}\n"+proxy),
	}
	for _, seed := range []string{"/", "/mcp", "/MCP", "/mcp/x", "/Other", "/other", "/OTHER/x", "/old/x", "/x.php/mcp", "//mcp", "/x/..;/mcp", "/%6dcp", "/a!b", "/a'b*c", "/x%20"} {
		f.Add(seed, "")
		f.Add("/", seed)
	}
	f.Fuzz(func(t *testing.T, target, named string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.URL, r.RequestURI, r.Host = u, target, "mcp.example.com"
		if named != "" {
			r.Header.Set("X-Original-URL", named)
		}
		r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), httptest.NewRecorder(), nil)
		for name, tree := range trees {
			// A header that isn't there changes nothing but that it has to look.
			slow := tree.Misread(r, append(routing.PathHeaders.In(r.Header), "X-Other"))
			if fast := misread(tree, r); fast != slow {
				t.Errorf("%s: %q with %q: got %t, want %t", name, target, named, fast, slow)
			}
		}
	})
}
