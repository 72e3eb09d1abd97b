package caddymcpauth_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

func TestOrigins(t *testing.T) {
	t.Parallel()
	s := serve(t, guestDoor("origins https://inspector.example.com https://Ported.Example.com:8443 http://plain.example.com:80"), nil)
	token := bearer(guestToken(`{"sub":"u"}`))
	for _, test := range []struct {
		name, origin string
		allowed      bool
	}{
		{"own", "https://mcp.example.com", true},
		{"own in another case", "HTTPS://MCP.Example.com", true},
		{"own with the default port", "https://mcp.example.com:443", true},
		{"own with another port", "https://mcp.example.com:8443", false},
		{"own over http", "http://mcp.example.com", false},
		{"own with a path", "https://mcp.example.com/", false},
		{"own with user", "https://x@mcp.example.com", false},
		{"own with a dot at the end", "https://mcp.example.com.", false},
		{"localhost", "http://localhost:6274", true},
		{"localhost without port", "http://localhost", true},
		{"localhost over https", "https://localhost:3000", true},
		{"below localhost, which the DNS may answer", "http://app.localhost:3000", false},
		{"127.0.0.1", "http://127.0.0.1:8080", true},
		{"[::1]", "http://[::1]:8080", true},
		{"looks like loopback", "http://127.0.0.1.example.com", false},
		{"looks like localhost", "http://localhost.example.com", false},
		{"ends in localhost", "http://evillocalhost", false},
		{"not quite loopback", "http://0.0.0.0:8080", false},
		{"private network", "http://192.168.0.1", false},
		{"listed", "https://inspector.example.com", true},
		{"listed with the default port", "https://inspector.example.com:443", true},
		{"listed with port", "https://ported.example.com:8443", true},
		{"listed with port, without it", "https://ported.example.com", false},
		{"listed over http", "http://plain.example.com", true},
		{"listed in another scheme", "http://inspector.example.com", false},
		{"below a listed one", "https://x.inspector.example.com", false},
		{"a listed one is its prefix", "https://inspector.example.com.evil.example", false},
		{"a listed one is its user", "https://inspector.example.com@evil.example", false},
		{"foreign", "https://evil.example", false},
		{"null", "null", false},
		{"empty", "", false},
		{"any", "*", false},
		{"file", "file://", false},
		{"extension", "chrome-extension://abcdef", false},
		{"two in one", "https://mcp.example.com https://evil.example", false},
		{"two in one with a comma", "https://mcp.example.com, https://evil.example", false},
		{"not a URL", "https://[", false},
		{"javascript", "javascript:alert(1)", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, headers := range [][]string{nil, token} {
				got := s.do(t, "POST", "/mcp", append([]string{"Origin", test.origin}, headers...)...)
				if !test.allowed {
					checkRefusedOrigin(t, got)
					continue
				}
				if headers == nil {
					noCredentials.check(t, got, "")
				} else {
					served.check(t, got, "")
				}
				checkCORS(t, got.Header, test.origin)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		got := s.do(t, "POST", "/mcp", token...)
		served.check(t, got, "")
		if got.Header["Access-Control-Allow-Origin"] != nil {
			t.Error("CORS headers without an Origin")
		}
	})
	t.Run("two headers", func(t *testing.T) {
		checkRefusedOrigin(t, s.do(t, "POST", "/mcp", append([]string{"Origin", "https://mcp.example.com", "Origin", "https://mcp.example.com"}, token...)...))
	})
}

func checkRefusedOrigin(t *testing.T, got answer) {
	t.Helper()
	if got.StatusCode != 403 || !strings.Contains(got.body, `"origin_not_allowed"`) {
		t.Errorf("got %d %q, want 403 origin_not_allowed", got.StatusCode, got.body)
	}
	for name := range got.Header {
		if strings.HasPrefix(name, "Access-Control-") || name == "Www-Authenticate" {
			t.Errorf("got %s: %q", name, got.Header[name])
		}
	}
}

// checkCORS checks that a page of origin can read an answer.
func checkCORS(t *testing.T, header http.Header, origin string) {
	t.Helper()
	if got := header["Access-Control-Allow-Origin"]; !slices.Equal(got, []string{origin}) {
		t.Errorf("Access-Control-Allow-Origin: got %q, want %q alone", got, origin)
	}
	exposed := strings.Split(strings.Join(header["Access-Control-Expose-Headers"], ","), ",")
	for i := range exposed {
		exposed[i] = strings.TrimSpace(exposed[i])
	}
	for _, want := range []string{"WWW-Authenticate", "Mcp-Session-Id", "Retry-After"} {
		if !slices.Contains(exposed, want) {
			t.Errorf("Access-Control-Expose-Headers: got %q, want %s in it", exposed, want)
		}
	}
	if got := header["Access-Control-Allow-Credentials"]; got != nil {
		t.Errorf("Access-Control-Allow-Credentials: got %q, want none", got)
	}
	if !slices.Contains(header["Vary"], "Origin") {
		t.Errorf("Vary: got %q, want Origin in it", header["Vary"])
	}
}

func TestPreflight(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	s := serve(t, frontDoor(issuer.Issuer(), ""), nil)
	const origin = "http://localhost:6274"
	long := strings.Repeat("x-a,", 2000)
	for _, test := range []struct {
		name    string
		headers []string
		status  int
		allowed []string // beyond what MCP needs
	}{
		{"allowed", []string{"Origin", origin, "Access-Control-Request-Method", "POST"}, 204, nil},
		{"method that is not MCP's", []string{"Origin", origin, "Access-Control-Request-Method", "PUT"}, 204, nil},
		{"another header", []string{"Origin", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "Content-Type, X-Custom"}, 204, []string{"x-custom"}},
		{"header names that aren't", []string{"Origin", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "a b,c:d,,*,é"}, 204, []string{"*"}},
		{"too many headers", []string{"Origin", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", long}, 204, nil},
		{"foreign origin", []string{"Origin", "https://evil.example", "Access-Control-Request-Method", "POST"}, 403, nil},
		{"null origin", []string{"Origin", "null", "Access-Control-Request-Method", "POST"}, 403, nil},
		{"without origin", []string{"Access-Control-Request-Method", "POST"}, 401, nil},
		{"not a preflight", []string{"Origin", origin}, 401, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := s.do(t, "OPTIONS", "/mcp", test.headers...)
			if got.StatusCode != test.status {
				t.Fatalf("got %d, want %d", got.StatusCode, test.status)
			}
			if test.status != 204 {
				return
			}
			checkCORS(t, got.Header, origin)
			if got, want := got.Header.Get("Access-Control-Allow-Methods"), "GET, POST, DELETE"; got != want {
				t.Errorf("methods: got %q, want %q", got, want)
			}
			want := append([]string{
				"authorization", "content-type", "accept", "last-event-id",
				"mcp-protocol-version", "mcp-session-id", "mcp-method", "mcp-name", "dpop",
			}, test.allowed...)
			if got := got.Header.Get("Access-Control-Allow-Headers"); got != strings.Join(want, ", ") {
				t.Errorf("headers: got %q, want %q", got, want)
			}
			if got.Header["Www-Authenticate"] != nil || got.body != "" {
				t.Errorf("got a challenge or a body: %v %q", got.Header, got.body)
			}
		})
	}
	if n := issuer.Count(oauthtest.Any); n != 0 {
		t.Errorf("the issuer was asked %d times", n)
	}
}

// Whatever the status, and whatever the next handler says itself.
func TestCORSOnEveryAnswer(t *testing.T) {
	t.Parallel()
	const origin = "https://mcp.example.com"
	s := serve(t, guestDoor("scopes read"), func(w http.ResponseWriter, r *http.Request) error {
		h := w.Header()
		h.Add("Access-Control-Allow-Origin", "*")
		h.Add("Access-Control-Allow-Origin", "https://other.example")
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Access-Control-Expose-Headers", "X-Mine")
		h.Add("Vary", "Accept")
		switch r.URL.Path {
		case "/status":
			w.WriteHeader(http.StatusTeapot)
		case "/write":
			_, _ = io.WriteString(w, "x")
		case "/flush":
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Errorf("flush: %v", err)
			}
			_, _ = io.WriteString(w, "x")
		case "/copy":
			_, _ = io.Copy(w, strings.NewReader("x"))
		case "/error":
			return caddyhttp.Error(http.StatusBadGateway, errors.New("no upstream"))
		case "/hints":
			w.WriteHeader(http.StatusEarlyHints)
			h.Set("Access-Control-Allow-Origin", "https://other.example")
			w.WriteHeader(http.StatusOK)
		}
		return nil
	})
	token := guestToken(`{"sub":"u","scope":"read"}`)
	for _, test := range []struct {
		name, path, token string
		status            int
	}{
		{"401 no token", "/status", "", 401},
		{"401 bad token", "/status", "x", 401},
		{"403 scope", "/status", guestToken(`{"sub":"u"}`), 403},
		{"503", "/status", "unavailable", 503},
		{"next sets a status", "/status", token, 418},
		{"next writes", "/write", token, 200},
		{"next flushes first", "/flush", token, 200},
		{"next copies", "/copy", token, 200},
		{"next fails", "/error", token, 502},
		{"next says nothing", "/nothing", token, 200},
		{"next sends early hints", "/hints", token, 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			headers := []string{"Origin", origin}
			if test.token != "" {
				headers = append(headers, bearer(test.token)...)
			}
			got := s.do(t, "GET", test.path, headers...)
			if got.StatusCode != test.status {
				t.Errorf("status: got %d, want %d", got.StatusCode, test.status)
			}
			checkCORS(t, got.Header, origin)
		})
	}
}

// What a response writer can do, it can do behind the front door.
func TestFlushAndHijack(t *testing.T) {
	t.Parallel()
	flushed := make(chan struct{})
	s := serve(t, guestDoor(""), func(w http.ResponseWriter, r *http.Request) error {
		control := http.NewResponseController(w)
		if r.URL.Path == "/hijack" {
			conn, buf, err := control.Hijack()
			if err != nil {
				t.Errorf("hijack: %v", err)
				return nil
			}
			_, _ = buf.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: close\r\n\r\nhijacked")
			_ = buf.Flush()
			return conn.Close()
		}
		if err := control.SetWriteDeadline(time.Now().Add(testPatience)); err != nil {
			t.Errorf("deadline: %v", err)
		}
		_, _ = io.WriteString(w, "data: 1\n\n")
		if err := control.Flush(); err != nil {
			t.Errorf("flush: %v", err)
		}
		select {
		case <-flushed:
		case <-r.Context().Done():
			t.Error("the client never saw the flushed event")
		}
		_, _ = io.WriteString(w, "data: 2\n\n")
		return nil
	})
	for _, origin := range []string{"", "https://mcp.example.com"} {
		t.Run("origin "+origin, func(t *testing.T) {
			conn, err := net.Dial("tcp", s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(testPatience))
			request := "GET /hijack HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + guestToken(`{"sub":"u"}`) + "\r\n"
			if origin != "" {
				request += "Origin: " + origin + "\r\n"
			}
			if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
				t.Fatal(err)
			}
			all, err := io.ReadAll(conn)
			if err != nil || !strings.HasSuffix(string(all), "hijacked") {
				t.Errorf("hijack: got %q, %v", all, err)
			}

			r, _ := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/stream", nil)
			r.Header.Set("Authorization", "Bearer "+guestToken(`{"sub":"u"}`))
			if origin != "" {
				r.Header.Set("Origin", origin)
			}
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if origin != "" {
				checkCORS(t, resp.Header, origin)
			}
			body := bufio.NewReader(resp.Body)
			if line, err := body.ReadString('\n'); err != nil || line != "data: 1\n" {
				t.Fatalf("first event: got %q, %v", line, err)
			}
			flushed <- struct{}{}
			if rest, err := io.ReadAll(body); err != nil || string(rest) != "\ndata: 2\n\n" {
				t.Errorf("the rest: got %q, %v", rest, err)
			}
		})
	}
}
