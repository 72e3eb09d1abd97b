package adapttest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/adapttest"
)

// warnings provisions a Caddyfile, and returns what mcp_auth warns of, with the
// cures.
func warnings(t *testing.T, caddyfile string) string {
	t.Helper()
	raw, _, err := adapttest.Adapt(caddyfile)
	if err != nil {
		t.Fatal(err)
	}
	log, err := adapttest.Logged(t, raw)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(adapttest.Warnings(t, log), "\n")
}

// What a door and the authorization server beside it say must fit together.
func TestContradictions(t *testing.T) {
	t.Parallel()
	const user = "users {\nada $2a$04$VxJ1bKKHAzTj/lJL.LkBdOc2tKJ.1HLJ0SLQsnv8xXTwCt9DPZpVu\n}\n"
	server := func(issuer, resource, scopes string) string {
		return "mcp_auth_server " + issuer + " {\nresource " + resource + "\nscopes " + scopes + "\n" + user + "}\n"
	}
	door := func(issuer, options string) string {
		return "mcp_auth /mcp* https://mcp.example.com/mcp {\nissuer " + issuer + "\n" + options + "\n}\n"
	}
	const site, resource = "https://mcp.example.com", "https://mcp.example.com/mcp"
	file := filepath.Join(t.TempDir(), "issuer")
	if err := os.WriteFile(file, []byte(site), 0o600); err != nil {
		t.Fatal(err)
	}
	placeholder := "{file." + file + "}"
	for _, tc := range []struct{ name, site, want, cure string }{
		{"they fit", server(site, resource, "mcp:tools") + door(site, "scopes mcp:tools"), "", ""},
		{"they fit, by a placeholder", server(placeholder, placeholder+"/mcp", "mcp:tools") + door(placeholder, "scopes mcp:tools"), "", ""},
		{"a broader scope", server(site, resource, "mcp:all") + door(site, "scopes mcp:tools\nscope_implies mcp:all mcp:tools"), "", ""},
		{"another issuer as well", server(site, resource, "mcp:tools") + door(site, "issuer https://as.example.com"), "", ""},
		{"below the site", server(site+"/as", resource, "mcp:tools") + door(site+"/as", ""), "", ""},
		{"unknown scope", server(site, resource, "mcp:tools") + door(site, "scopes mcp:tool"), "needs the scope mcp:tool", "add mcp:tool to `scopes`"},
		{"another resource", server(site, site+"/other", "mcp:tools") + door(site, ""), "issues no tokens for this resource", "add " + resource},
		{"resource with a slash", server(site, resource+"/", "mcp:tools") + door(site, ""), "only in spelling", "write resource " + resource},
		{"issuer with a slash", server(site, resource, "mcp:tools") + door(site+"/", ""), "differ only in spelling", "write issuer " + site},
		{"issuer elsewhere", server("https://auth.example.com", resource, "mcp:tools") + door("https://auth.example.com", ""), "not an address of its site", "the address of the site"},
		{"two servers", server(site, resource, "mcp:tools") + server(site, resource, "mcp:tools") + door(site, ""), "is there twice", "remove one of the two"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := warnings(t, "https://mcp.example.com {\n"+tc.site+"reverse_proxy 127.0.0.1:9\n}\n")
			if tc.want == "" && got != "" || !strings.Contains(got, tc.want) || !strings.Contains(got, tc.cure) {
				t.Errorf("got %q, want %q and %q", got, tc.want, tc.cure)
			}
		})
	}
}
