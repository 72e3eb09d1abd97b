package integration_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

var totalLine = regexp.MustCompile(`Total: (\d+) passed, (\d+) failed`)

// A policy that allows everything changes nothing for a server that isn't ours, and
// neither do sessions that are bound to their user: MCP's conformance suite counts the
// same behind it as without, also if the configuration is replaced meanwhile.
func TestPolicyConformance(t *testing.T) {
	t.Parallel()
	needNode(t)
	binary := buildConformanceServer(t)
	c := startCaddy(t, "respond 503")
	as := startAuthServer(t, c.CA, map[string]any{
		"resources": map[string]any{c.URL + "/mcp": map[string]any{"scopes": []string{"mcp:tools"}}},
		"clients":   []any{map[string]any{"client_id": "machine", "client_secret": "secret"}},
	})
	site := func(behind, rules string) string {
		return withIssuer("mcp_auth /mcp* SITE/mcp {\nissuer ISSUER\n"+rules+"\n}\nreverse_proxy "+behind+" {\nheader_up Host {upstream_hostport}\n}", as)
	}
	token := as.machineToken("machine", "secret", c.URL+"/mcp", "mcp:tools")
	// The suite can't be given a token, so this adds it.
	target, err := url.Parse(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	withToken := &http.Server{Handler: &httputil.ReverseProxy{
		Transport:     &http.Transport{TLSClientConfig: c.tls()},
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Header.Set("Authorization", "Bearer "+token)
		},
	}}
	go withToken.Serve(ln)
	t.Cleanup(func() { withToken.Close() })
	run := func(address string, args ...string) (passed, failed string) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*testkit.Patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, "./conformance-server.sh", append([]string{"--url", address, "-o", t.TempDir()}, args...)...)
		cmd.Dir = nodeDir
		cmd.Env = node(ctx, c.CA, "").Env
		out, _ := cmd.CombinedOutput()
		match := totalLine.FindStringSubmatch(string(out))
		if match == nil {
			t.Errorf("no result: %.2000s", out)
			return "", ""
		}
		return match[1], match[2]
	}
	for _, suite := range []struct {
		server string
		args   []string
	}{
		{"-stateless=false", []string{"--requirements", "2025-11-25"}},
		{"-stateless=true", []string{"--requirements", "2026-07-28"}},
	} {
		behind := startConformanceServer(t, c, binary, suite.server)
		passed, failed := run("http://"+behind, suite.args...)
		for _, tc := range []struct {
			rules  string
			reload bool
		}{{"", false}, {"tools *\nprompts *\nresources *\nmethods *", false}, {"", true}} {
			if tc.reload && suite.server == "-stateless=true" {
				continue // there are no sessions to lose, and a reload ends a subscriptions/listen
			}
			c.reload(site(behind, tc.rules))
			var p, f string
			for range 3 { // one or another of its checks depends on time
				requests := func() int { return strings.Count(c.log.String(), `"uri":"/mcp"`) }
				before, done := requests(), make(chan struct{})
				go func() {
					defer close(done)
					p, f = run("http://"+ln.Addr().String()+"/mcp", suite.args...)
				}()
				if tc.reload {
					testkit.Eventually(t, "the suite to be under way", func() bool { return requests() > before+30 })
					c.reload(site(behind, tc.rules+"\nscopes mcp:tools"))
				}
				if <-done; p == passed && f == failed {
					break
				}
			}
			if p != passed || f != failed {
				t.Errorf("%v, rules %q, reload %t: %s passed, %s failed; without Caddy %s and %s", suite.args, tc.rules, tc.reload, p, f, passed, failed)
			}
		}
		t.Logf("%v: %s passed, %s failed", suite.args, passed, failed)
	}
}

// startConformanceServer starts the server that the Go SDK's own conformance is
// measured with.
func startConformanceServer(t *testing.T, c *caddyServer, binary, mode string) (address string) {
	t.Helper()
	address = fmt.Sprintf("127.0.0.1:%d", testkit.FreePort(t))
	server := exec.Command(binary, "-http", address, mode)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	c.waitFor("the server to listen", func() bool {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
	return address
}
