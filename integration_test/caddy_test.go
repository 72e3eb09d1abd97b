package integration_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// caddyServer is a running Caddy.
type caddyServer struct {
	t      *testing.T
	admin  string
	dir    string
	cmd    *exec.Cmd
	log    *logBuffer
	exited chan struct{}

	// env is added to its environment.
	env []string
	// binary is the program, caddyBinary unless a test has another, and global are
	// further global options.
	binary, global string

	shared       sync.Once
	sharedClient *http.Client

	// Host is the host and port of the site; URL is its address.
	Host, URL string
	// CA is the file with the root certificate of Caddy's own authority.
	CA string
}

// globalOptions keep a test's Caddy to itself: its own admin endpoint, loopback
// only, no ports for redirects, no trust store touched.
const globalOptions = `{
	admin localhost:%d
	default_bind 127.0.0.1
	auto_https disable_redirects
	skip_install_trust
}
`

// newCaddy returns a Caddy that isn't started yet, with its ports chosen.
func newCaddy(t *testing.T) *caddyServer {
	t.Helper()
	c := &caddyServer{
		t:      t,
		admin:  "localhost:" + strconv.Itoa(testkit.FreePort(t)),
		dir:    t.TempDir(),
		log:    new(logBuffer),
		binary: caddyBinary,
		Host:   "localhost:" + strconv.Itoa(testkit.FreePort(t)),
	}
	c.URL = "https://" + c.Host
	c.CA = filepath.Join(c.dir, "caddy", "pki", "authorities", "local", "root.crt")
	return c
}

// startCaddy runs a Caddy with one site, whose directives are in site. SITE in
// them stands for the site's URL.
func startCaddy(t *testing.T, site string) *caddyServer {
	t.Helper()
	c := newCaddy(t)
	c.start(c.caddyfile(site))
	return c
}

// caddyfile returns a whole Caddyfile for the directives of the site. They may
// come with other site blocks before them, ended by a line `---`.
func (c *caddyServer) caddyfile(site string) string {
	_, port, _ := net.SplitHostPort(c.admin)
	n, _ := strconv.Atoi(port)
	before, directives, found := strings.Cut(site, "\n---\n")
	if !found {
		before, directives = "", site
	}
	text := strings.Replace(fmt.Sprintf(globalOptions, n), "{\n", "{\n"+c.global, 1) + before + "\n" + c.URL + " {\n\tlog\n" + directives + "\n}\n"
	return strings.ReplaceAll(text, "SITE", c.URL)
}

// start runs Caddy with the Caddyfile text until the test ends.
func (c *caddyServer) start(text string) {
	c.t.Helper()
	c.run(exec.Command(c.binary, "run", "--config", c.write(text), "--adapter", "caddyfile"))
}

// run runs Caddy by a command until the test ends. What it prints is the log, unless
// the command has another place for it.
func (c *caddyServer) run(cmd *exec.Cmd) {
	c.t.Helper()
	c.cmd = cmd
	c.cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+c.dir, "XDG_CONFIG_HOME="+c.dir)
	c.cmd.Env = append(c.cmd.Env, c.env...)
	if c.cmd.Stdout == nil {
		c.cmd.Stdout = c.log
	}
	c.cmd.Stderr = c.log
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.exited = make(chan struct{})
	go func() {
		_ = c.cmd.Wait()
		close(c.exited)
	}()
	c.t.Cleanup(c.kill)
	c.waitFor("the site to have a certificate", func() bool {
		if _, err := os.Stat(c.CA); err != nil {
			return false
		}
		conn, err := tls.Dial("tcp", onLoopback(c.Host), c.tls())
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
}

func (c *caddyServer) write(text string) string {
	c.t.Helper()
	name := filepath.Join(c.dir, "Caddyfile")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return name
}

func (c *caddyServer) kill() {
	select {
	case <-c.exited:
	default:
		if os.Getenv("GOCOVERDIR") != "" {
			// A process that is killed doesn't say what it has covered.
			_ = c.cmd.Process.Signal(syscall.SIGTERM)
			select {
			case <-c.exited:
			case <-time.After(5 * time.Second): // it waits for a request that never ends
			}
		}
		_ = c.cmd.Process.Kill()
		<-c.exited
	}
	if c.log.contains("DATA RACE") && hasRace(c.log.String()) {
		c.t.Errorf("the race detector found something:\n%s", c.log.String())
	}
	if c.log.contains("panic: ") || c.log.contains("panic serving") {
		c.t.Error("Caddy panicked")
	}
	if c.t.Failed() {
		c.t.Logf("the end of Caddy's log:\n%s", c.log.tail(30))
	}
}

// reload replaces the configuration and returns once Caddy has taken it.
func (c *caddyServer) reload(site string) {
	c.t.Helper()
	out, err := exec.Command(c.binary, "reload", "--force", "--adapter", "caddyfile",
		"--config", c.write(c.caddyfile(site)), "--address", c.admin).CombinedOutput()
	if err != nil {
		c.t.Fatalf("caddy reload: %v\n%s", err, out)
	}
}

// terminate sends SIGTERM and returns a channel that is closed when Caddy is
// gone.
func (c *caddyServer) terminate() <-chan struct{} {
	c.t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		c.t.Fatal(err)
	}
	return c.exited
}

// waitFor waits until ok returns true, or Caddy ends.
func (c *caddyServer) waitFor(what string, ok func() bool) {
	c.t.Helper()
	testkit.Eventually(c.t, what, func() bool {
		select {
		case <-c.exited:
			c.t.Fatalf("Caddy ended while waiting for %s", what)
		default:
		}
		return ok()
	})
}

// logs waits until Caddy has logged text. A log line may come after the response.
func (c *caddyServer) logs(text string) {
	c.t.Helper()
	c.waitFor("the log to say "+text, func() bool { return c.log.contains(text) })
}

// onLoopback returns the address where a host of the tests is found. Names below .test
// are no one's (RFC 6761, section 6.2).
func onLoopback(address string) string {
	if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(host, ".test") {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

// tls returns a client configuration that trusts Caddy's own authority.
func (c *caddyServer) tls() *tls.Config {
	c.t.Helper()
	pem, err := os.ReadFile(c.CA)
	if err != nil {
		c.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		c.t.Fatal("Caddy's root certificate can't be read")
	}
	name, _, err := net.SplitHostPort(c.Host)
	if err != nil {
		c.t.Fatal(err)
	}
	return &tls.Config{RootCAs: roots, ServerName: name}
}

// client returns an HTTP client that trusts Caddy's own authority.
func (c *caddyServer) client() *http.Client {
	transport := &http.Transport{
		TLSClientConfig:   c.tls(),
		ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, onLoopback(address))
		},
	}
	c.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: testkit.Patience}
}

// answer is a response, read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request to the site. headers are pairs of names and values.
func (c *caddyServer) do(method, path, body string, headers ...string) answer {
	c.t.Helper()
	req, err := http.NewRequest(method, c.URL+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	c.shared.Do(func() { c.sharedClient = c.client() })
	resp, err := c.sharedClient.Do(req)
	if err != nil {
		c.t.Errorf("%s %s: %v", method, path, err)
		return answer{}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Errorf("%s %s: reading the answer: %v", method, path, err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

// raw writes a request line and headers as they are, over HTTP/1.1, and returns
// the answer: for paths that no client library would send.
func (c *caddyServer) raw(request string) *http.Response {
	c.t.Helper()
	conn, err := tls.Dial("tcp", onLoopback(c.Host), c.tls())
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(testkit.Patience))
	if _, err := io.WriteString(conn, request); err != nil {
		c.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		c.t.Fatalf("%q: %v", request, err)
	}
	resp.Body.Close()
	return resp
}

// logBuffer collects what a process writes.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// contains reports whether s was written.
func (b *logBuffer) contains(s string) bool { return strings.Contains(b.String(), s) }

// tail returns the last n lines.
func (b *logBuffer) tail(n int) string {
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// asked returns how often the site was asked for path, with any query.
func (c *caddyServer) asked(path string) int {
	log := c.log.String()
	return strings.Count(log, `"uri":"`+path+`"`) + strings.Count(log, `"uri":"`+path+`?`)
}

// hasRace reports whether the race detector found a race that isn't known to be in
// Caddy itself. When an answer breaks off, its access log reads how much of the
// request's body was read, while the transport to the server behind may still be
// reading.
func hasRace(log string) bool {
	for _, report := range strings.Split(log, "==================") {
		if !strings.Contains(report, "DATA RACE") {
			continue
		}
		var accesses []string // the innermost function of each access
		lines := strings.Split(report, "\n")
		for i, line := range lines[:len(lines)-1] {
			if strings.Contains(line, " at 0x") {
				accesses = append(accesses, strings.TrimSpace(lines[i+1]))
			}
		}
		slices.Sort(accesses)
		if !slices.Equal(accesses, []string{
			"github.com/caddyserver/caddy/v2/modules/caddyhttp.(*Server).logRequest()",
			"github.com/caddyserver/caddy/v2/modules/caddyhttp.(*lengthReader).Read()",
		}) {
			return true
		}
	}
	return false
}

func TestHasRace(t *testing.T) {
	t.Parallel()
	report := func(first, second string) string {
		return "==================\nWARNING: DATA RACE\nRead at 0x01 by goroutine 1:\n  " + first + "\n      a.go:1\n" +
			"Previous write at 0x01 by goroutine 2:\n  " + second + "\n      b.go:1\n==================\n"
	}
	const caddyhttp = "github.com/caddyserver/caddy/v2/modules/caddyhttp."
	known := report(caddyhttp+"(*Server).logRequest()", caddyhttp+"(*lengthReader).Read()")
	for name, tc := range map[string]struct {
		log  string
		want bool
	}{
		"none":               {"served\n", false},
		"Caddy's":            {"served\n" + known, false},
		"ours":               {report("caddymcpauth.(*Handler).admit()", caddyhttp+"(*lengthReader).Read()"), true},
		"Caddy's and ours":   {known + report("x.a()", "x.b()"), true},
		"cut off":            {"==================\nWARNING: DATA RACE\n", true},
		"another of Caddy's": {report(caddyhttp+"(*Server).logRequest()", caddyhttp+"(*Server).logRequest()"), true},
	} {
		if got := hasRace(tc.log); got != tc.want {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}
