package caddymcpauth_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/caddymcpauth"
)

// seenRequest is what the server behind the door gets.
type seenRequest struct {
	body    string
	length  int64
	header  http.Header
	trailer http.Header
	chunked bool
}

// recorder is a server that keeps the last request.
func recorder(seen *seenRequest) next {
	return func(w http.ResponseWriter, r *http.Request) error {
		body, err := io.ReadAll(r.Body)
		*seen = seenRequest{string(body), r.ContentLength, r.Header.Clone(), r.Trailer, len(r.TransferEncoding) > 0}
		_, _ = io.WriteString(w, "served")
		return err
	}
}

func TestMessageContent(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	var seen seenRequest
	s := serve(t, frontDoor(issuer.Issuer(), "tools get_*\nmax_body 1KiB"), recorder(&seen))
	token := issuer.Mint(nil)
	message := toolCall("get_x", `{ "a" : 1 }`)
	for _, tc := range []struct {
		name, method string
		headers      []string
		body         string
		status       int
	}{
		{"JSON", "POST", []string{"Content-Type", "application/json"}, message, 200},
		{"JSON in UTF-8", "POST", []string{"Content-Type", `Application/JSON; charset="UTF-8"`}, message, 200},
		{"identity", "POST", []string{"Content-Type", "application/json", "Content-Encoding", "Identity"}, message, 200},
		{"as large as may be", "POST", []string{"Content-Type", "application/json"}, message + strings.Repeat(" ", 1024-len(message)), 200},
		{"GET", "GET", nil, "", 200},
		{"DELETE", "DELETE", nil, "", 200},
		{"HEAD", "HEAD", nil, "", 200},

		{"no type", "POST", nil, message, 415},
		{"text", "POST", []string{"Content-Type", "text/plain"}, message, 415},
		{"a form", "POST", []string{"Content-Type", "application/x-www-form-urlencoded"}, message, 415},
		{"JSON and something", "POST", []string{"Content-Type", "application/json-rpc"}, message, 415},
		{"two types", "POST", []string{"Content-Type", "application/json", "Content-Type", "application/json"}, message, 415},
		{"two types in one line", "POST", []string{"Content-Type", "application/json, text/plain"}, message, 415},
		{"UTF-16", "POST", []string{"Content-Type", "application/json; charset=utf-16"}, message, 415},
		{"UTF-7", "POST", []string{"Content-Type", "application/json; charset=utf-7"}, message, 415},
		{"UTF-7 for those who don't know RFC 2231", "POST", []string{"Content-Type", "application/json; charset=utf-7; charset*=UTF-8''utf-8"}, message, 415},
		{"UTF-7 for those who don't know parts", "POST", []string{"Content-Type", "application/json; charset=utf-7; charset*0=utf-8"}, message, 415},
		{"UTF-7 within another parameter", "POST", []string{"Content-Type", `application/json; x="; charset=utf-7"`}, message, 415},
		{"two charsets", "POST", []string{"Content-Type", "application/json; charset=utf-8; charset=utf-16"}, message, 415},
		{"compressed", "POST", []string{"Content-Type", "application/json", "Content-Encoding", "gzip"}, message, 415},
		{"compressed twice", "POST", []string{"Content-Type", "application/json", "Content-Encoding", "identity, gzip"}, message, 415},
		{"compressed in a second line", "POST", []string{"Content-Type", "application/json", "Content-Encoding", "identity", "Content-Encoding", "br"}, message, 415},
		{"too large", "POST", []string{"Content-Type", "application/json"}, message + strings.Repeat(" ", 1025-len(message)), 413},
		{"nothing", "POST", []string{"Content-Type", "application/json"}, "", 400},
		{"header and body disagree", "POST", []string{"Content-Type", "application/json", "Mcp-Name", "other"}, message, 400},
		{"GET with a body", "GET", []string{"Content-Type", "application/json"}, message, 400},
		{"HEAD with a body", "HEAD", []string{"Content-Type", "application/json"}, message, 400},
		{"DELETE with a body", "DELETE", []string{"Content-Type", "application/json"}, message, 400},
		{"PUT", "PUT", []string{"Content-Type", "application/json"}, message, 405},
		{"PATCH", "PATCH", []string{"Content-Type", "application/json"}, message, 405},
		{"QUERY", "QUERY", []string{"Content-Type", "application/json"}, message, 405},
		{"post", "post", []string{"Content-Type", "application/json"}, message, 405},
		{"OPTIONS", "OPTIONS", nil, "", 405},
		{"TRACE", "TRACE", nil, "", 405},
	} {
		seen = seenRequest{}
		var body io.Reader
		if tc.body != "" {
			body = strings.NewReader(tc.body)
		}
		got := s.send(t, tc.method, "/mcp", body, append(tc.headers, bearer(token)...)...)
		if got.StatusCode != tc.status {
			t.Errorf("%s: got %d %s, want %d", tc.name, got.StatusCode, got.body, tc.status)
		}
		if tc.status == 200 && (seen.body != tc.body || seen.length != int64(len(tc.body))) {
			t.Errorf("%s: the server got %d bytes, %q", tc.name, seen.length, seen.body)
		}
		if tc.status != 200 && seen.header != nil {
			t.Errorf("%s: the server got the request", tc.name)
		}
		if allow := got.Header.Get("Allow"); (tc.status == 405) != (allow != "") {
			t.Errorf("%s: got Allow %q", tc.name, allow)
		}
	}
}

// A message is handed on as one whose length is known, without what could make
// another of it. It comes in bytes, with trailers.
func TestMessageIsHandedOn(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	var seen seenRequest
	s := serve(t, frontDoor(issuer.Issuer(), "tools get_*"), recorder(&seen))
	message := toolCall("get_x", `{"a":1}`)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(testPatience))
	fmt.Fprintf(conn, "POST /mcp HTTP/1.1\r\nHost: mcp.example.com\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nTrailer: X-After\r\n"+
		"X-HTTP-Method-Override: DELETE\r\nX_Http_Method: PUT\r\nX-Method-Override: GET\r\nMcp_Name: debug_x\r\nMcp.Method: x\r\nContent_Type: text/plain\r\nContent_Length: 3\r\nX-Kept: yes\r\n"+
		"Connection: Upgrade, keep-alive\r\nUpgrade: websocket\r\n\r\n", issuer.Mint(nil))
	for i := range message {
		fmt.Fprintf(conn, "1\r\n%s\r\n", message[i:i+1])
	}
	fmt.Fprint(conn, "0\r\nX-After: x\r\nMcp-Name: x\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("got %v, %v", resp, err)
	}
	if seen.body != message || seen.length != int64(len(message)) || seen.chunked || len(seen.trailer) > 0 {
		t.Errorf("got %+v", seen)
	}
	for name := range seen.header {
		if !slices.Contains([]string{"Accept-Encoding", "Content-Type", "Content-Length", "X-Kept", "Connection"}, name) {
			t.Errorf("%s is handed on: %q", name, seen.header[name])
		}
	}
	if seen.header.Get("Content-Type") != "application/json" || seen.header.Get("X-Kept") != "yes" || strings.Contains(strings.ToLower(seen.header.Get("Connection")), "upgrade") {
		t.Errorf("got %v", seen.header)
	}
}

// In HTTP/3 the length of no body isn't known, and in neither version that of one.
func TestBodiesOfUnknownLength(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		body   io.Reader
		status int
	}{
		{"none", strings.NewReader(""), 0},
		{"some", strings.NewReader("x"), 400},
		{"cut", iotest.ErrReader(errors.New("the client is gone")), 400},
	} {
		for _, method := range []string{"GET", "HEAD", "DELETE"} {
			r := &http.Request{Method: method, Header: http.Header{}, ContentLength: -1, Body: io.NopCloser(tc.body), ProtoMajor: 3}
			if got := caddymcpauth.CheckVerb(r); got != tc.status {
				t.Errorf("%s, %s: got %d, want %d", tc.name, method, got, tc.status)
			}
			if tc.status == 0 && (r.ContentLength != 0 || r.Body != http.NoBody) {
				t.Errorf("%s, %s: handed on with length %d", tc.name, method, r.ContentLength)
			}
			if tc.name == "some" {
				tc.body = strings.NewReader("x")
			}
		}
	}
}

// A message is nobody's once its request is over, for its memory has the next one by
// then.
func TestMessageIsOver(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	bodies := make(chan io.ReadCloser, 1)
	s := serve(t, frontDoor(issuer.Issuer(), "tools get_*"), func(w http.ResponseWriter, r *http.Request) error {
		if again, err := r.GetBody(); err != nil {
			t.Error(err)
		} else if body, err := io.ReadAll(again); err != nil || len(body) == 0 {
			t.Errorf("read again: got %q, %v", body, err)
		}
		_, err := r.Body.Read(make([]byte, 10))
		bodies <- r.Body
		return err
	})
	token := issuer.Mint(nil)
	for range 3 {
		if got := s.post(t, token, toolCall("get_x", `{}`)); got.StatusCode != 200 {
			t.Fatalf("got %d", got.StatusCode)
		}
		if got, err := io.ReadAll(<-bodies); !errors.Is(err, http.ErrBodyReadAfterClose) || len(got) > 0 {
			t.Errorf("after the request: got %q, %v", got, err)
		}
	}
}

// Without a rule about messages nothing is read or refused.
func TestNoRulesNoBody(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	for options, status := range map[string]int{"": 200, "require claim groups acme": 200, "tools x": 415} {
		read := false
		s := serve(t, frontDoor(issuer.Issuer(), options), func(w http.ResponseWriter, r *http.Request) error {
			body, err := io.ReadAll(r.Body)
			read = string(body) == "anything"
			return err
		})
		got := s.send(t, "POST", "/mcp", strings.NewReader("anything"), append([]string{"X-HTTP-Method-Override", "PUT"}, bearer(issuer.Mint(map[string]any{"groups": []string{"acme"}}))...)...)
		if got.StatusCode != status || read != (status == 200) {
			t.Errorf("%q: got %d %s, read by the server: %t", options, got.StatusCode, got.body, read)
		}
	}
}

// A body is read only behind a good token.
func TestNoTokenNoBody(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	s := serve(t, frontDoor(issuer.Issuer(), "tools x"), nil)
	for token, status := range map[string]string{"": "401", "Authorization: Bearer x\r\n": "401"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(testPatience))
		fmt.Fprintf(conn, "POST /mcp HTTP/1.1\r\nHost: mcp.example.com\r\n%sContent-Type: application/json\r\nContent-Length: 4000000\r\n\r\n", token)
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.Contains(line, status) {
			t.Errorf("got %q, %v, want %s", line, err, status)
		}
	}
}
