package integration_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// slowServer answers GET with a stream that stays open, and POST when told to.
type slowServer struct {
	*httptest.Server
	arrived chan struct{}
	finish  chan struct{}
}

func startSlowServer(t *testing.T) *slowServer {
	s := &slowServer{arrived: make(chan struct{}, 1), finish: make(chan struct{})}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, ": open\n\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		s.arrived <- struct{}{}
		select {
		case <-s.finish:
			io.WriteString(w, "finished")
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// call is a request under way.
type call struct {
	done chan struct{}
	body string
	err  error
}

func (c *caddyServer) startCall(path, token string) *call {
	c.t.Helper()
	req, err := http.NewRequest(http.MethodPost, c.URL+path, strings.NewReader("{}"))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	client, under := c.client(), &call{done: make(chan struct{})}
	client.Timeout = 0
	go func() {
		defer close(under.done)
		resp, err := client.Do(req)
		if err != nil {
			under.err = err
			return
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		under.body, under.err = string(b), err
	}()
	return under
}

// openStream opens a stream and reads its first line. The returned channel is
// closed when the stream ends.
func (c *caddyServer) openStream(method, path, body string, headers ...string) <-chan struct{} {
	c.t.Helper()
	req, err := http.NewRequest(method, c.URL+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := c.client()
	client.Timeout = 0 // it would end the stream
	resp, err := client.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	lines := bufio.NewReader(resp.Body)
	if line, err := lines.ReadString('\n'); resp.StatusCode != 200 || err != nil {
		c.t.Fatalf("%s %s: got %d %q %v, want an open stream", method, path, resp.StatusCode, line, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, lines)
	}()
	return ended
}

// startListeningServer runs an MCP server of the Go SDK that keeps the stream of
// subscriptions/listen open.
func startListeningServer(t *testing.T) string {
	server := mcp.NewServer(&mcp.Implementation{Name: "listening", Version: "1"}, &mcp.ServerOptions{
		Capabilities: &mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{ListChanged: true}},
	})
	behind := httptest.NewServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server },
		&mcp.StreamableHTTPOptions{Stateless: true, DisableLocalhostProtection: true}))
	// Not Close: it would wait for a stream that outlived Caddy.
	t.Cleanup(func() { behind.Listener.Close(); behind.CloseClientConnections() })
	return behind.Listener.Addr().String()
}

// listen opens the long-lived stream of revision 2026-07-28.
func (c *caddyServer) listen(path, token string) <-chan struct{} {
	return c.openStream(http.MethodPost, path,
		`{"jsonrpc":"2.0","id":"s","method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}`,
		append(mcpHeaders(token), "MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "subscriptions/listen")...)
}

// The body for /listen is buffered for the race detector's sake: Caddy's access
// log reads how much there was of it while net/http may still be looking for more,
// if an exchange is cut short as soon as it has begun.
const lifecycleSite = `
	mcp_auth /slow* SITE/slow {
		issuer ISSUER
	}
	mcp_auth /mcp* SITE/mcp {
		issuer ISSUER
	}
	mcp_auth /listen* SITE/listen {
		issuer ISSUER
	}
	reverse_proxy /slow* SLOW
	reverse_proxy /listen* LISTENING {
		request_buffers 64KiB
	}
	mcp_whoami /mcp* {
		sse /mcp/sse
	}
`

func fillLifecycle(t *testing.T, f fakeIssuer, slow *slowServer) string {
	return strings.NewReplacer(
		"SLOW", slow.Listener.Addr().String(),
		"LISTENING", startListeningServer(t),
	).Replace(f.fill(lifecycleSite))
}

// SIGTERM ends Caddy although clients hold streams open, and not before
// ordinary calls have finished.
func TestShutdownWithOpenStreams(t *testing.T) {
	t.Parallel()
	f, slow := startFakeIssuer(t), startSlowServer(t)
	c := startCaddy(t, fillLifecycle(t, f, slow))
	token := f.Mint(map[string]any{"aud": []string{c.URL + "/mcp", c.URL + "/slow", c.URL + "/listen"}})

	streams := map[string]<-chan struct{}{
		"the proxied stream":       c.openStream(http.MethodGet, "/slow", "", mcpHeaders(token)...),
		"the legacy stream":        c.openStream(http.MethodGet, "/mcp/sse", "", mcpHeaders(token)...),
		"the subscriptions stream": c.listen("/listen", token),
	}
	under := c.startCall("/slow", token)
	<-slow.arrived

	for name, ended := range streams {
		select {
		case <-ended:
			t.Fatalf("%s did not stay open", name)
		default:
		}
	}

	exited := c.terminate()
	for name, ended := range streams {
		testkit.Receive(t, name+" to end", ended)
	}
	select {
	case <-exited:
		t.Fatal("Caddy did not wait for the ordinary call")
	default:
	}
	close(slow.finish)
	testkit.Receive(t, "the ordinary call", under.done)
	if under.err != nil || under.body != "finished" {
		t.Errorf("the ordinary call got %q, %v", under.body, under.err)
	}
	testkit.Receive(t, "Caddy to end", exited)
}

// A reload lets calls finish, asks the issuer nothing, and leaks nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	f, slow := startFakeIssuer(t), startSlowServer(t)
	site := fillLifecycle(t, f, slow)
	c := startCaddy(t, site)
	token := f.Mint(map[string]any{"aud": []string{c.URL + "/mcp", c.URL + "/slow"}})

	under := c.startCall("/slow", token)
	<-slow.arrived
	stream := c.openStream(http.MethodGet, "/slow", "", mcpHeaders(token)...)
	c.reload(site)
	testkit.Receive(t, "the stream of the old configuration to end", stream)
	select {
	case <-under.done:
		t.Fatalf("the reload ended an ordinary call: %q, %v", under.body, under.err)
	default:
	}
	if got := c.do("POST", "/mcp", initialize, mcpHeaders(token)...); got.status != 200 {
		t.Errorf("after the reload: got %d, want 200", got.status)
	}
	close(slow.finish)
	testkit.Receive(t, "the ordinary call", under.done)
	if under.err != nil || under.body != "finished" {
		t.Errorf("the ordinary call got %q, %v", under.body, under.err)
	}

	before := c.goroutines()
	for range 20 {
		c.reload(site)
		if got := c.do("POST", "/mcp", initialize, mcpHeaders(token)...); got.status != 200 {
			t.Errorf("after a reload: got %d, want 200", got.status)
		}
	}
	if n := f.Count(oauthtest.JWKS); n != 1 {
		t.Errorf("the keys were fetched %d times, want once", n)
	}
	// Some goroutines take a moment to end.
	c.waitFor(fmt.Sprintf("at most %d goroutines, as before 20 reloads", before+5), func() bool {
		return c.goroutines() <= before+5
	})
}

var goroutineTotal = regexp.MustCompile(`goroutine profile: total (\d+)`)

// goroutines returns how many goroutines Caddy has.
func (c *caddyServer) goroutines() int {
	c.t.Helper()
	_, profile := c.askAdmin(http.MethodGet, "/debug/pprof/goroutine?debug=1", "")
	match := goroutineTotal.FindStringSubmatch(profile)
	if match == nil {
		c.t.Fatalf("no goroutine profile: %.100s", profile)
	}
	n, _ := strconv.Atoi(match[1])
	return n
}
