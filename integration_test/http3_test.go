package integration_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/quic-go/quic-go/http3"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// HTTP/1.1, 2 and 3, each with a refusal and two calls over one connection. A
// header that belongs to HTTP/1.1 makes browsers give up the connection after
// the first.
func TestHTTPVersions(t *testing.T) {
	t.Parallel()
	f := startFakeIssuer(t)
	c := startCaddy(t, f.fill(whoamiSite))
	token := f.token(c, nil)

	h1 := &http.Transport{TLSClientConfig: c.tls()}
	t.Cleanup(h1.CloseIdleConnections)
	h3 := &http3.Transport{TLSClientConfig: c.tls()}
	t.Cleanup(func() { h3.Close() })
	for _, test := range []struct {
		proto     string
		transport http.RoundTripper
	}{
		{"HTTP/1.1", h1},
		{"HTTP/2.0", c.client().Transport},
		{"HTTP/3.0", h3},
	} {
		t.Run(test.proto, func(t *testing.T) {
			client := &http.Client{Transport: test.transport, Timeout: testkit.Patience}
			call := func(headers []string) (int, http.Header, string) {
				t.Helper()
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.URL+"/mcp", strings.NewReader(
					`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami","arguments":{}}}`))
				if err != nil {
					t.Fatal(err)
				}
				for i := 0; i < len(headers); i += 2 {
					req.Header.Add(headers[i], headers[i+1])
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				if resp.Proto != test.proto {
					t.Fatalf("spoke %s, want %s", resp.Proto, test.proto)
				}
				return resp.StatusCode, resp.Header, string(body)
			}
			if status, _, _ := call(nil); status != 401 {
				t.Errorf("without a token: got %d, want 401", status)
			}
			for range 2 {
				status, header, body := call(append(mcpHeaders(token), "MCP-Protocol-Version", "2025-06-18"))
				if status != 200 || !strings.Contains(body, "user-1") {
					t.Errorf("got %d %q, want 200 and the user", status, body)
				}
				if test.proto != "HTTP/1.1" && header.Get("Connection") != "" {
					t.Errorf("Connection: %s in %s", header.Get("Connection"), test.proto)
				}
			}
		})
	}
}
