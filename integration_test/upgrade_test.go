package integration_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// upgrader is a server that switches to whatever protocol it is asked for, and
// sends back what then comes. Requests that ask for none it just answers.
type upgrader struct {
	*httptest.Server
	// seen has each request as it came.
	seen chan *http.Request
}

func startUpgrader(t *testing.T) *upgrader {
	t.Helper()
	u := &upgrader{seen: make(chan *http.Request, 10)}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.seen <- r
		protocol := r.Header.Get("Upgrade")
		if protocol == "" {
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", protocol)
		_, _ = io.Copy(conn, rw)
	}))
	t.Cleanup(u.Close)
	return u
}

// guardedSites are a site with a front door on a part of its paths, one with a
// front door on all of them, and one without any, which shows what the tests of
// this file would see of a site that isn't guarded.
type guardedSites struct {
	*caddyServer
	token, whole, open string // the token is for the first two
}

func startGuardedSites(t *testing.T, behind string) *guardedSites {
	t.Helper()
	f := startFakeIssuer(t)
	c := newCaddy(t)
	s := &guardedSites{caddyServer: c, whole: fmt.Sprintf("localhost:%d", testkit.FreePort(t)), open: fmt.Sprintf("localhost:%d", testkit.FreePort(t))}
	c.env = []string{"GODEBUG=http2xconnect=1"} // RFC 8441 is off by default in Go
	c.start(c.caddyfile(f.fill(`
	https://` + s.whole + ` {
		mcp_auth SITE/mcp {
			issuer ISSUER
			header X-User {http.auth.user.id}
		}
		reverse_proxy ` + behind + `
	}
	https://` + s.open + ` {
		reverse_proxy ` + behind + `
	}
---
		mcp_auth /mcp* SITE/mcp {
			issuer ISSUER
			header X-User {http.auth.user.id}
		}
		reverse_proxy ` + behind + `
	`)))
	s.token = f.token(c, map[string]any{"sub": "ada"})
	return s
}

// dial connects to one of the sites.
func (s *guardedSites) dial(t *testing.T, host, protocol string) net.Conn {
	t.Helper()
	config := s.tls()
	config.NextProtos = []string{protocol}
	conn, err := tls.Dial("tcp", host, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(testkit.Patience))
	return conn
}

// request sends a request as it is, but for the lines Host and Authorization,
// and returns the answer and what comes after it.
func (s *guardedSites) request(t *testing.T, host string, withToken bool, text string) (*http.Response, *bufio.Reader, net.Conn) {
	t.Helper()
	conn := s.dial(t, host, "http/1.1")
	line, rest, _ := strings.Cut(text, "\r\n")
	if withToken {
		rest = "Authorization: Bearer " + s.token + "\r\n" + rest
	}
	if _, err := io.WriteString(conn, line+"\r\nHost: "+host+"\r\n"+rest); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return resp, r, conn
}

const (
	h2cUpgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
	webSocket  = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)

// Nobody gets a tunnel by an upgrade that isn't a WebSocket, wherever it is asked
// for, over HTTP/1.1.
func TestUpgrades(t *testing.T) {
	t.Parallel()
	u := startUpgrader(t)
	s := startGuardedSites(t, u.Listener.Addr().String())

	t.Run("control", func(t *testing.T) {
		resp, r, conn := s.request(t, s.open, false, "GET /other HTTP/1.1\r\n"+h2cUpgrade+"\r\n")
		<-u.seen
		if resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("without a guard: got %d, want 101, or this test shows nothing", resp.StatusCode)
		}
		echoes(t, conn, r)
	})
	for _, test := range []struct {
		name, method, headers string
	}{
		{"h2c", "GET", h2cUpgrade},
		{"h2c with a body", "POST", h2cUpgrade + "Content-Length: 0\r\n"},
		{"h2c in several lines", "GET", "Connection: Upgrade\r\nConnection: HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"},
		{"in capitals", "GET", "CONNECTION: UPGRADE\r\nUPGRADE: H2C\r\n"},
		{"a list", "GET", strings.Replace(webSocket, "websocket", "websocket, h2c", 1)},
		{"two lines", "GET", webSocket + "Upgrade: h2c\r\n"},
		{"two lines the other way", "GET", "Upgrade: h2c\r\n" + webSocket},
		{"TLS", "OPTIONS", "Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n"},
		{"anything", "GET", "Connection: Upgrade\r\nUpgrade: x\r\n"},
		{"a WebSocket without key and version", "GET", "Connection: Upgrade\r\nUpgrade: websocket\r\n"},
		{"a WebSocket by POST", "POST", webSocket + "Content-Length: 0\r\n"},
		{"a WebSocket with a body", "GET", webSocket + "Transfer-Encoding: chunked\r\n"},
	} {
		for _, at := range []struct {
			name, host, path string
			withToken        bool
			user             string
		}{
			{"uncovered", s.Host, "/other", false, ""},
			{"uncovered, with a token", s.Host, "/other", true, ""},
			{"covered", s.Host, "/mcp", true, "ada"},
			{"the whole site", s.whole, "/other", true, "ada"},
		} {
			t.Run(test.name+", "+at.name, func(t *testing.T) {
				body := ""
				if strings.Contains(test.headers, "chunked") {
					body = "0\r\n\r\n"
				}
				resp, _, _ := s.request(t, at.host, at.withToken, test.method+" "+at.path+" HTTP/1.1\r\nX-User: eve\r\n"+test.headers+"\r\n"+body)
				if resp.StatusCode != http.StatusOK {
					t.Errorf("got %d, want 200: the request without the upgrade", resp.StatusCode)
				}
				got := (<-u.seen).Header
				if got["Upgrade"] != nil || got["Http2-Settings"] != nil || got["Connection"] != nil {
					t.Errorf("the server behind saw %v", got)
				}
				if user := got.Get("X-User"); user != at.user {
					t.Errorf("the server behind saw X-User %q, want %q", user, at.user)
				}
			})
		}
	}
	t.Run("HTTP/1.0", func(t *testing.T) {
		if resp, _, _ := s.request(t, s.Host, false, "GET /other HTTP/1.0\r\n"+webSocket+"\r\n"); resp.StatusCode == http.StatusSwitchingProtocols {
			t.Error("got 101")
		}
		if got := (<-u.seen).Header; got["Upgrade"] != nil {
			t.Errorf("the server behind saw %v", got)
		}
	})

	// WebSockets are ordinary traffic: behind a front door with a token, elsewhere
	// without.
	for _, test := range []struct {
		name, host, path string
		withToken        bool
		want             int
	}{
		{"the whole site", s.whole, "/ws", true, 101},
		{"the whole site, without a token", s.whole, "/ws", false, 401},
		{"covered", s.Host, "/mcp", true, 101},
		{"covered, without a token", s.Host, "/mcp", false, 401},
		{"uncovered", s.Host, "/ws", false, 101},
	} {
		t.Run("WebSocket, "+test.name, func(t *testing.T) {
			resp, r, conn := s.request(t, test.host, test.withToken, "GET "+test.path+" HTTP/1.1\r\nX-User: eve\r\n"+webSocket+"\r\n")
			if resp.StatusCode != test.want {
				t.Fatalf("got %d, want %d", resp.StatusCode, test.want)
			}
			if test.want == http.StatusSwitchingProtocols {
				if user := (<-u.seen).Header.Get("X-User"); user == "eve" {
					t.Error("a forged identity in a handshake")
				}
				echoes(t, conn, r)
			}
		})
	}
}

// echoes fails the test unless what goes into the tunnel comes back.
func echoes(t *testing.T, w io.Writer, r io.Reader) {
	t.Helper()
	sent := []byte("through the tunnel")
	if _, err := w.Write(sent); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("the tunnel gave back %q, %v", got, err)
	}
}

// A real server that speaks h2c: Hypercorn from Debian's package.
func TestUpgradesOfHypercorn(t *testing.T) {
	t.Parallel()
	// Isolated, or the folder hypercorn here would be what is imported.
	if err := exec.Command("/usr/bin/python3", "-I", "-c", "import hypercorn").Run(); err != nil {
		skip(t, "Hypercorn is not installed: apt-get install python3-hypercorn, or `make test` as root")
	}
	var behind struct {
		URL string `json:"url"`
	}
	cmd := exec.Command("/usr/bin/python3", "-B", filepath.Join("hypercorn", "serve.py"))
	serve(t, cmd, &behind)
	s := startGuardedSites(t, strings.TrimPrefix(behind.URL, "http://"))

	// What a stranger does: an upgrade where no token is needed, and in it the
	// request that needs one.
	upgrade := "GET /other HTTP/1.1\r\n" + h2cUpgrade + "\r\n"
	resp, r, conn := s.request(t, s.open, false, upgrade)
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("without a guard: got %d, want 101, or this test shows nothing", resp.StatusCode)
	}
	stream := &http2Stream{framer: newHTTP2(t, conn, r), id: 3}
	status := stream.open(t, [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", "/mcp"}, {":authority", "x"}, {"x-user", "admin"}}, true)
	if got := stream.read(t, 0); status != "200" || got != "POST /mcp by admin" {
		t.Fatalf("without a guard: got %s %q, or this test shows nothing", status, got)
	}

	for _, test := range []struct {
		name, host, path string
		withToken        bool
		status           int
		body             string
	}{
		{"uncovered", s.Host, "/other", false, 200, "GET /other by nobody"},
		{"uncovered, with a token", s.Host, "/other", true, 200, "GET /other by nobody"},
		{"covered", s.Host, "/mcp", false, 401, ""},
		{"covered, with a token", s.Host, "/mcp", true, 200, "GET /mcp by ada"},
		{"the whole site", s.whole, "/other", false, 401, ""},
		{"the whole site, with a token", s.whole, "/other", true, 200, "GET /other by ada"},
	} {
		t.Run(test.name, func(t *testing.T) {
			resp, _, _ := s.request(t, test.host, test.withToken, "GET "+test.path+" HTTP/1.1\r\nX-User: admin\r\n"+h2cUpgrade+"\r\n")
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != test.status || test.body != "" && string(body) != test.body {
				t.Errorf("got %d %q %v, want %d %q", resp.StatusCode, body, err, test.status, test.body)
			}
		})
	}

	t.Run("WebSocket", func(t *testing.T) {
		resp, r, conn := s.request(t, s.whole, true, "GET /ws HTTP/1.1\r\n"+webSocket+"\r\n")
		if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
			t.Fatalf("got %d %v", resp.StatusCode, resp.Header)
		}
		// A text frame, masked with zeros, and the answer, which isn't masked.
		if _, err := conn.Write([]byte("\x81\x85\x00\x00\x00\x00hello")); err != nil {
			t.Fatal(err)
		}
		want := "\x81\x0bheard hello"
		got := make([]byte, len(want))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
			t.Errorf("got %q %v, want %q", got, err, want)
		}
	})
}
