package integration_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// CONNECT is another way to ask for a tunnel. What comes after it would reach the
// server behind as it is.
func TestConnect(t *testing.T) {
	t.Parallel()
	u := startUpgrader(t)
	s := startGuardedSites(t, u.Listener.Addr().String())
	smuggled := "POST /mcp HTTP/1.1\r\nHost: x\r\nX-User: admin\r\nContent-Length: 0\r\n\r\n"
	request := "CONNECT localhost:80 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(smuggled), smuggled)

	resp, _, _ := s.request(t, s.open, false, request)
	if got := <-u.seen; resp.StatusCode == http.StatusMethodNotAllowed || got.Method != http.MethodConnect {
		t.Fatalf("without a guard: got %d, and the server behind %s: this test shows nothing", resp.StatusCode, got.Method)
	}
	for len(u.seen) > 0 {
		<-u.seen
	}
	for _, test := range []struct {
		name, host, request string
	}{
		{"host and port", s.Host, request},
		{"host and port, the whole site", s.whole, request},
		{"the site's own", s.Host, "CONNECT " + s.Host + " HTTP/1.1\r\n\r\n"},
		{"a covered path", s.Host, "CONNECT /mcp HTTP/1.1\r\n\r\n"},
		{"an uncovered path", s.Host, "CONNECT /other HTTP/1.1\r\n\r\n"},
		{"lowercase letters", s.Host, "connect /other HTTP/1.1\r\n\r\n"},
		{"with a handshake", s.Host, "CONNECT /other HTTP/1.1\r\n" + webSocket + "\r\n"},
	} {
		for _, withToken := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, token %v", test.name, withToken), func(t *testing.T) {
				if resp, _, _ := s.request(t, test.host, withToken, test.request); resp.StatusCode != http.StatusMethodNotAllowed {
					t.Errorf("got %d, want 405", resp.StatusCode)
				}
			})
		}
	}
	if len(u.seen) > 0 {
		t.Errorf("the server behind saw %v", <-u.seen)
	}
}

// connectHeaders are the fields of an extended CONNECT (RFC 8441).
func connectHeaders(s *guardedSites, host, protocol, path string, withToken bool) [][2]string {
	fields := [][2]string{{":method", "CONNECT"}}
	if protocol != "" {
		fields = append(fields, [2]string{":protocol", protocol}, [2]string{":scheme", "https"}, [2]string{":path", path})
	}
	fields = append(fields, [2]string{":authority", host}, [2]string{"sec-websocket-version", "13"}, [2]string{"x-user", "eve"})
	if withToken {
		fields = append(fields, [2]string{"authorization", "Bearer " + s.token})
	}
	return fields
}

// http2Stream is one request in an HTTP/2 connection.
type http2Stream struct {
	framer *http2.Framer
	id     uint32
	body   bytes.Buffer
}

// open begins a stream and returns the status of the answer.
func (s *http2Stream) open(t *testing.T, fields [][2]string, end bool) string {
	t.Helper()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range fields {
		_ = encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}
	if err := s.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: end}); err != nil {
		t.Fatal(err)
	}
	for {
		switch frame := s.next(t).(type) {
		case *http2.MetaHeadersFrame:
			if frame.StreamID == s.id {
				return frame.PseudoValue("status")
			}
		case *http2.RSTStreamFrame:
			if frame.StreamID == s.id {
				return frame.ErrCode.String()
			}
		case *http2.GoAwayFrame:
			return frame.ErrCode.String()
		}
	}
}

func (s *http2Stream) next(t *testing.T) http2.Frame {
	t.Helper()
	frame, err := s.framer.ReadFrame()
	if err != nil {
		t.Fatal(err)
	}
	if settings, ok := frame.(*http2.SettingsFrame); ok && !settings.IsAck() {
		_ = s.framer.WriteSettingsAck()
	}
	return frame
}

func (s *http2Stream) Write(p []byte) (int, error) {
	return len(p), s.framer.WriteData(s.id, false, p)
}

// read returns n bytes of the stream; all of them if n is zero.
func (s *http2Stream) read(t *testing.T, n int) string {
	t.Helper()
	for n == 0 || s.body.Len() < n {
		if frame, ok := s.next(t).(*http2.DataFrame); ok && frame.StreamID == s.id {
			s.body.Write(frame.Data())
			if frame.StreamEnded() {
				break
			}
		}
	}
	return s.body.String()
}

// newHTTP2 begins an HTTP/2 connection in w and r.
func newHTTP2(t *testing.T, w io.Writer, r io.Reader) *http2.Framer {
	t.Helper()
	if _, err := io.WriteString(w, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(w, r)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return framer
}

// connects are the requests for a tunnel of HTTP/2 and 3, and their answers.
func connects(s *guardedSites) []connectTest {
	return []connectTest{
		{"WebSocket, the whole site", s.whole, "websocket", "/ws", true, "200"},
		{"WebSocket, the whole site, without a token", s.whole, "websocket", "/ws", false, "401"},
		{"WebSocket, covered", s.Host, "websocket", "/mcp", true, "200"},
		{"WebSocket, covered, without a token", s.Host, "websocket", "/mcp", false, "401"},
		{"WebSocket, uncovered", s.Host, "websocket", "/ws", false, "200"},
		{"h2c, uncovered", s.Host, "h2c", "/other", false, "405"},
		{"h2c, covered", s.Host, "h2c", "/mcp", true, "405"},
		{"h2c, the whole site", s.whole, "h2c", "/other", true, "405"},
		{"UDP", s.Host, "connect-udp", "/mcp", true, "405"},
		{"another spelling", s.Host, "WebSocket", "/mcp", true, "405"},
		{"to a host", s.Host, "", "", true, "405"},
		{"to a host, the whole site", s.whole, "", "", true, "405"},
	}
}

type connectTest struct {
	name, host, protocol, path string
	withToken                  bool
	want                       string
}

func TestConnectInHTTP2(t *testing.T) {
	t.Parallel()
	u := startUpgrader(t)
	s := startGuardedSites(t, u.Listener.Addr().String())
	open := func(t *testing.T, test connectTest) (*http2Stream, string) {
		conn := s.dial(t, test.host, "h2")
		stream := &http2Stream{framer: newHTTP2(t, conn, conn), id: 1}
		return stream, stream.open(t, connectHeaders(s, test.host, test.protocol, test.path, test.withToken), false)
	}
	if _, got := open(t, connectTest{host: s.open}); got == "405" {
		t.Fatal("without a guard: got 405: this test shows nothing")
	}
	if got := <-u.seen; got.Method != http.MethodConnect {
		t.Fatalf("without a guard: the server behind saw %s: this test shows nothing", got.Method)
	}
	for _, test := range connects(s) {
		t.Run(test.name, func(t *testing.T) {
			stream, got := open(t, test)
			if got != test.want {
				t.Fatalf("got %s, want %s", got, test.want)
			}
			checkConnect(t, u, test)
			if got == "200" {
				const text = "through the tunnel"
				if _, err := io.WriteString(stream, text); err != nil {
					t.Fatal(err)
				}
				if got := stream.read(t, len(text)); got != text {
					t.Errorf("the tunnel gave back %q", got)
				}
			}
		})
	}
}

// checkConnect looks at what the server behind saw of an extended CONNECT.
func checkConnect(t *testing.T, u *upgrader, test connectTest) {
	t.Helper()
	if test.want != "200" {
		if len(u.seen) > 0 {
			t.Errorf("the server behind saw %v", <-u.seen)
		}
		return
	}
	got := <-u.seen
	if got.Method != http.MethodGet || got.Header.Get("Upgrade") != "websocket" || got.Header.Get("X-User") == "eve" {
		t.Errorf("the server behind saw %s %v", got.Method, got.Header)
	}
}

func TestConnectInHTTP3(t *testing.T) {
	t.Parallel()
	u := startUpgrader(t)
	s := startGuardedSites(t, u.Listener.Addr().String())
	open := func(t *testing.T, test connectTest) (*http3.RequestStream, string) {
		ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
		t.Cleanup(cancel)
		config := s.tls()
		config.NextProtos = []string{http3.NextProtoH3}
		conn, err := quic.DialAddr(ctx, test.host, config, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.CloseWithError(0, "") })
		transport := new(http3.Transport)
		t.Cleanup(func() { transport.Close() })
		client := transport.NewClientConn(conn)
		<-client.ReceivedSettings()
		stream, err := client.OpenRequestStream(ctx)
		if err != nil {
			t.Fatal(err)
		}
		req := &http.Request{Method: http.MethodConnect, Host: test.host, URL: &url.URL{Scheme: "https", Host: test.host, Path: test.path}, Header: make(http.Header), Proto: test.protocol}
		for _, field := range connectHeaders(s, test.host, "", "", test.withToken) {
			if !strings.HasPrefix(field[0], ":") {
				req.Header.Set(field[0], field[1])
			}
		}
		if err := stream.SendRequestHeader(req); err != nil {
			t.Fatal(err)
		}
		_ = stream.SetReadDeadline(time.Now().Add(testkit.Patience))
		resp, err := stream.ReadResponse()
		if err != nil {
			return stream, err.Error()
		}
		return stream, fmt.Sprint(resp.StatusCode)
	}
	for _, test := range connects(s) {
		t.Run(test.name, func(t *testing.T) {
			stream, got := open(t, test)
			if got != test.want {
				t.Fatalf("got %s, want %s", got, test.want)
			}
			checkConnect(t, u, test)
			if got == "200" {
				echoes(t, stream, stream)
			}
		})
	}
}
