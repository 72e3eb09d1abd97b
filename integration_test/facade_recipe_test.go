package integration_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// The recipe for Logto works as it is written, apart from its addresses: a client
// that knows nothing but the URL signs its user in, and the server behind is told
// who that is.
func TestRecipeOfLogto(t *testing.T) {
	t.Parallel()
	needNode(t)
	text, err := os.ReadFile(filepath.Join("..", "docs", "recipes", "logto.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := caddyfileBlock.FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 1 {
		t.Fatalf("%d Caddyfiles in the recipe", len(blocks))
	}
	var user atomic.Value
	server := mcp.NewServer(&mcp.Implementation{Name: "behind", Version: "1"}, nil)
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil)
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user.Store(r.Header.Get("X-User"))
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(behind.Close)

	c := newCaddy(t)
	c.env = []string{"API_TOKEN=secret-of-management", "SSL_CERT_FILE=" + c.CA}
	auth := "localhost:" + strconv.Itoa(testkit.FreePort(t))
	port := testkit.FreePort(t)
	startAuthServer(t, "", map[string]any{
		"port":   port,
		"issuer": "https://" + auth + "/oidc", // ENDPOINT
		"resources": map[string]any{
			c.URL + "/mcp": map[string]any{"scopes": []string{"mcp:tools"}, "alg": "ES384"},
		},
		"management": map[string]any{
			"clientId": "management", "clientSecret": "secret-of-management", "resource": "https://default.logto.app/api",
			"scopeIds": map[string]any{"permission-id-of-mcp-tools": "mcp:tools"},
		},
	})
	_, admin, _ := strings.Cut(c.admin, ":")
	n, err := strconv.Atoi(admin)
	if err != nil {
		t.Fatal(err)
	}
	c.start(fmt.Sprintf(globalOptions, n) + strings.NewReplacer(
		"auth.example.com", auth, "mcp.example.com", c.Host,
		"127.0.0.1:3001", fmt.Sprintf("127.0.0.1:%d", port), "127.0.0.1:3000", strings.TrimPrefix(behind.URL, "http://"),
	).Replace(blocks[0][1]))

	g := connectGoClientAs(t, c, c.URL+"/mcp", registering)
	if _, err := g.session.ListTools(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	if got := user.Load(); got != "ada" {
		t.Errorf("the server behind was told of %v, want ada", got)
	}
}
