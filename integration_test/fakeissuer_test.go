package integration_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

// fakeIssuer is an authorization server that does what a test needs: real ones
// can't be told to misbehave.
type fakeIssuer struct {
	*oauthtest.Server
}

func startFakeIssuer(t *testing.T) fakeIssuer {
	t.Helper()
	return fakeIssuer{oauthtest.New(t, oauthtest.Options{})}
}

// fill puts the issuer's identifier into a site.
func (f fakeIssuer) fill(site string) string {
	return strings.ReplaceAll(site, "ISSUER", f.Issuer())
}

// token returns a good token for the MCP server of c, but for claims.
func (f fakeIssuer) token(c *caddyServer, claims map[string]any) string {
	all := map[string]any{"aud": c.URL + "/mcp"}
	maps.Copy(all, claims)
	return f.Mint(all)
}
