package caddymcpauth_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// rawRequest sends a request line as it is, and returns the answer.
func rawRequest(t *testing.T, address, target string, header ...string) (*http.Response, string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s\r\n", target, address, strings.Join(append(header, ""), "\r\n"))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// echoBackend answers every request with its target and its Authorization.
func echoBackend(t *testing.T) string {
	t.Helper()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %q", r.RequestURI, r.Header.Get("Authorization"))
	}))
	t.Cleanup(backend.Close)
	return backend.Listener.Addr().String()
}

// A path that only the server behind reads as a protected one gets nowhere, and
// ordinary paths beside it stay as they are.
func TestPathsThatAServerReadsDifferently(t *testing.T) {
	issuer := newIssuer(t)
	address := testkit.FreeAddress(t)
	door := strings.Replace(frontDoor(issuer.Issuer(), ""), "mcp_auth ", "mcp_auth /mcp* ", 1)
	for name, site := range map[string]string{
		"matcher": door + "\nreverse_proxy " + echoBackend(t),
		"handle":  "handle /mcp* {\n" + door + "\n}\nhandle {\nreverse_proxy " + echoBackend(t) + "\n}",
		"route":   "route {\n" + door + "\nreverse_proxy " + echoBackend(t) + "\n}",
	} {
		t.Run(name, func(t *testing.T) {
			if name != "matcher" {
				site = "mcp_auth_guard\n" + site
			}
			runCaddy(t, address, site)
			for _, target := range []string{
				"/;/mcp", "/x/..;/mcp", "/%5Cmcp", `/\mcp`, "/x/%252e%252e/mcp", "/%256dcp", "//x/mcp", "/mcp/../x", "/mcp%2F..", "/%EF%BC%8Fmcp", "/%25u006dcp", "/a%2fb/../mcp",
				"/index.php/mcp", "/%c0%afmcp", "/x/..%20/mcp", "http:mcp", "/.;/mcp?x=y",
			} {
				resp, body := rawRequest(t, address, target)
				if resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, `"error":"invalid_request"`) || resp.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s: got %d %s", target, resp.StatusCode, body)
				}
			}
			for _, target := range []string{"/", "/x", "/X", "/x/mcp", "/a;v=1/b", "/search/C%2B%2B", "/x//y", "/x?path=/..;/mcp", "/a%5Cb", "/%E4%BD%A0"} {
				resp, body := rawRequest(t, address, target)
				if resp.StatusCode != http.StatusOK || body != target+` ""` {
					t.Errorf("%s: got %d %s", target, resp.StatusCode, body)
				}
			}
			for _, target := range []string{"/mcp", "/MCP", "//mcp", "/%6dcp", "/mcp;x", "/x/../mcp", "/mcp%00"} {
				if resp, body := rawRequest(t, address, target); resp.StatusCode != http.StatusUnauthorized {
					t.Errorf("%s: got %d %s, want 401", target, resp.StatusCode, body)
				}
			}
			resp, body := rawRequest(t, address, "/;/mcp", "Accept: text/html,application/xhtml+xml")
			if resp.StatusCode != http.StatusBadRequest || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") || !strings.Contains(body, "<html") {
				t.Errorf("browser: got %d %s", resp.StatusCode, body)
			}
		})
	}
}

// A token for the MCP server stays away from everything else on the site; other
// credentials don't.
func TestTokensOnOtherPaths(t *testing.T) {
	issuer := newIssuer(t)
	address := testkit.FreeAddress(t)
	key := token.NewAPIKey()
	own := issuer.Mint(nil)
	for _, tc := range []struct {
		name, option, authorization string
		kept                        bool
	}{
		{"token of the door", "", "Bearer " + own, false},
		{"in another case", "", "bearer " + own, false},
		{"with blanks", "", "Bearer   " + own, false},
		{"bound token", "", "DPoP " + own, false},
		{"expired", "", "Bearer " + issuer.Mint(map[string]any{"exp": 1}), false},
		{"forged", "", "Bearer " + own[:strings.LastIndex(own, ".")+1] + "AAAA", false},
		{"API key", "", "Bearer " + key, false},
		{"after a tab", "", "Bearer\t" + own, false},
		{"after a colon", "", "Bearer: " + own, false},
		{"another scheme", "", "Token " + key, false},
		{"no scheme", "", own, false},
		{"after another scheme", "", "Basic YTpi, Bearer " + own, false},
		{"in quotes", "", `Bearer "` + key + `"`, false},
		{"as a parameter", "", "Token token=" + key, false},
		{"after a comma", "", "Bearer," + own, false},
		{"padded", "", "Bearer " + key + "=", false},
		{"forward_token", "forward_token", "Bearer " + own, true},
		{"for an API beside it", "", "Bearer " + issuer.Mint(map[string]any{"aud": "https://mcp.example.com/api"}), true},
		{"of another issuer", "", "Bearer " + issuer.Mint(map[string]any{"iss": "https://other.example.com"}), true},
		{"opaque, unknown", "", "Bearer gho_0123456789abcdef", true},
		{"basic", "", "Basic YTpi", true},
		{"Digest", "", "Digest username=x", true},
		{"signature", "", "AWS4-HMAC-SHA256 Credential=AKIA/20260101/x/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=ab12", true},
		{"malformed", "", "Bearer", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			door := fmt.Sprintf("mcp_auth /mcp* %s {\nissuer %s {\njwt\nstatic {\nkey ci %s\n}\n}\n%s\n}\n", testResource, issuer.Issuer(), hashOf(key), tc.option)
			runCaddy(t, address, door+"reverse_proxy "+echoBackend(t))
			for _, target := range []string{"/", "/other", "/mc"} {
				_, body := rawRequest(t, address, target, "Authorization: "+tc.authorization)
				if kept := !strings.HasSuffix(body, ` ""`); kept != tc.kept {
					t.Errorf("%s: got %s, want kept %t", target, body, tc.kept)
				}
			}
		})
	}
}
