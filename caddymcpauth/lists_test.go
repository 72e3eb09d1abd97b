package caddymcpauth_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// listing rules hide what is secret.
const hiding = "tools *secret* nobody\ntools *\nmax_body 64KiB\nsessions off"

const (
	fullList = `{"jsonrpc":"2.0","id":7,"result":{"tools":[{"name":"a"}, {"name":"secret"}],"nextCursor":"c"}}`
	ownList  = `{"jsonrpc":"2.0","id":7,"result":{"tools":[{"name":"a"}],"nextCursor":"c"}}`
)

// answers is a server that answers with a status, headers, and a body in parts.
func answers(status int, headers []string, parts ...string) next {
	return func(w http.ResponseWriter, r *http.Request) error {
		_, _ = io.Copy(io.Discard, r.Body)
		for i := 0; i < len(headers); i += 2 {
			w.Header().Add(headers[i], headers[i+1])
		}
		if status > 0 {
			w.WriteHeader(status)
		}
		for _, part := range parts {
			if _, err := io.WriteString(w, part); err != nil {
				// As reverse_proxy does.
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
		}
		return nil
	}
}

func zipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.String()
}

func TestListsAnswers(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	token := issuer.Mint(nil)
	const unchecked = `{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"The server's answer could not be checked."}}`
	isJSON, isStream := []string{"Content-Type", "application/json"}, []string{"Content-Type", "text/event-stream; charset=utf-8"}
	for _, tc := range []struct {
		name   string
		server next
		status int
		want   string
	}{
		{"JSON", answers(200, isJSON, fullList), 200, ownList},
		{"JSON without a status", answers(0, isJSON, fullList), 200, ownList},
		{"JSON in parts", answers(200, isJSON, fullList[:20], fullList[20:21], fullList[21:]), 200, ownList},
		{"without a type", answers(200, nil, fullList), 200, ownList},
		{"a stale length and validators", answers(200, []string{"Content-Type", "application/json", "Content-Length", "97", "Etag", `"x"`, "Last-Modified", "Mon, 30 Nov 2026 00:00:00 GMT", "Accept-Ranges", "bytes", "Digest", "x"}, fullList), 200, ownList},
		{"identity", answers(200, []string{"Content-Type", "application/json", "Content-Encoding", "identity"}, fullList), 200, ownList},
		{"a stream", answers(200, isStream, "event: message\nid: 1\ndata: "+fullList+"\n\n"), 200, "event: message\nid: 1\ndata: " + ownList + "\n\n"},
		{"a stream in parts, with progress", answers(200, isStream, ": x\n\nid: 0\ndata:\n\ndata: {\"method\":\"notifications/progress\"}\n", "\ndata: "+fullList[:30], fullList[30:]+"\n\n"), 200, ": x\n\nid: 0\ndata:\n\ndata: {\"method\":\"notifications/progress\"}\n\ndata: " + ownList + "\n\n"},
		{"an array", answers(200, isJSON, "["+fullList+"]"), 200, "[" + ownList + "]"},
		{"an error", answers(200, isJSON, `{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"m"}}`), 200, `{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"m"}}`},
		{"nothing", answers(200, isJSON), 200, ""},
		{"not even a status", answers(0, nil), 200, ""},
		{"a page that says so", answers(404, []string{"Content-Type", "text/plain"}, "not found"), 404, "not found"},
		{"accepted", answers(202, nil), 202, ""},
		{"the wrong version", answers(400, isJSON, `{"jsonrpc":"2.0","id":7,"error":{"code":-32022,"message":"m","data":{"supported":["2026-07-28"]}}}`), 400, `{"jsonrpc":"2.0","id":7,"error":{"code":-32022,"message":"m","data":{"supported":["2026-07-28"]}}}`},
		{"no content", answers(204, nil), 204, ""},

		{"a list that isn't 200", answers(404, isJSON, fullList), 404, ""},
		{"a list that is accepted", answers(202, isJSON, fullList), 202, ""},
		{"a part of a list", answers(206, isJSON, fullList), 206, ""},
		{"a stream that isn't 200", answers(404, isStream, "data: "+fullList+"\n\n"), 404, "data: " + ownList + "\n\n"},
		{"a compressed list that isn't 200", answers(404, []string{"Content-Type", "application/json", "Content-Encoding", "gzip"}, zipped(fullList)), 404, ""},
		{"a long page", answers(500, []string{"Content-Type", "text/html"}, strings.Repeat("x", 5000)), 500, ""},
		{"a page larger than may be", answers(500, []string{"Content-Type", "text/html"}, strings.Repeat("x", 50000), strings.Repeat("x", 50000)), 500, ""},
		{"compressed", answers(200, []string{"Content-Type", "application/json", "Content-Encoding", "gzip"}, zipped(fullList)), 502, unchecked},
		{"a compressed stream", answers(200, []string{"Content-Type", "text/event-stream", "Content-Encoding", "br"}, "x"), 502, unchecked},
		{"two types", answers(200, []string{"Content-Type", "text/plain", "Content-Type", "text/event-stream"}, fullList), 502, unchecked},
		{"not JSON", answers(200, []string{"Content-Type", "text/html"}, "<html>"), 502, unchecked},
		{"a broken list", answers(200, isJSON, fullList[:len(fullList)-1]), 502, unchecked},
		{"a list twice", answers(200, isJSON, `{"result":{"tools":[],"tools":[{"name":"secret"}]}}`), 502, unchecked},
		{"larger than may be", answers(200, isJSON, fullList[:20], strings.Repeat(" ", 70_000), fullList[20:]), 502, unchecked},
		{"a stream of something else", answers(200, isStream, "data: {}\n\ndata: secret\n\n"), 200, "data: {}\n\n"},
		{"a stream with a broken list", answers(200, isStream, "data: {}\n\n", "data: "+fullList[1:]+"\n\n", "data: {}\n\n"), 200, "data: {}\n\n"},
	} {
		s := serve(t, frontDoor(issuer.Issuer(), hiding), tc.server)
		got := s.post(t, token, rpc("tools/list", `{}`))
		if got.StatusCode != tc.status || got.body != tc.want {
			t.Errorf("%s: got %d %q, want %d %q", tc.name, got.StatusCode, got.body, tc.status, tc.want)
		}
		if got.Header.Get("Etag")+got.Header.Get("Last-Modified")+got.Header.Get("Accept-Ranges")+got.Header.Get("Digest") != "" {
			t.Errorf("%s: got %v", tc.name, got.Header)
		}
		if got.body == "" && got.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: nothing is encoded", tc.name)
		}
	}
}

// What isn't a list is as the server wrote it, and so is what no rule can hide.
func TestListsAreAllThatIsFiltered(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	token := issuer.Mint(nil)
	const result = `{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"\ud83d"}],"structuredContent":{"tools":[{"name":"secret"}]}}}`
	headers := []string{"Content-Type", "application/json", "Etag", "x"}
	s := serve(t, frontDoor(issuer.Issuer(), hiding), answers(200, headers, result))
	for _, message := range []string{toolCall("a", `{}`), rpc("prompts/list", `{}`), rpc("initialize", `{}`), `{"jsonrpc":"2.0","method":"notifications/x"}`} {
		if got := s.post(t, token, message); got.body != result || got.Header.Get("Etag") != "x" || got.ContentLength != int64(len(result)) {
			t.Errorf("%s: got %q, %v", message, got.body, got.Header)
		}
	}
	if got := s.do(t, "DELETE", "/mcp", bearer(token)...); got.body != result || got.Header.Get("Etag") != "x" {
		t.Errorf("DELETE: got %q", got.body)
	}
	if got := s.do(t, "HEAD", "/mcp", bearer(token)...); got.StatusCode != 200 || got.Header.Get("Etag") != "" {
		t.Errorf("HEAD: got %d %v", got.StatusCode, got.Header)
	}
	s = serve(t, frontDoor(issuer.Issuer(), "require claim sub user-1\nmethods x nobody"), answers(200, append(headers, "Content-Encoding", "zip"), fullList))
	for _, message := range []string{toolCall("a", `{}`), rpc("tools/list", `{}`)} {
		if got := s.post(t, token, message, "Accept-Encoding", "zip"); got.body != fullList || got.Header.Get("Etag") != "x" {
			t.Errorf("without rules for lists: %s: got %q", message, got.body)
		}
	}
}

// The stream of a GET has the answers of older revisions.
func TestListsOnStreams(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	token := issuer.Mint(nil)
	for _, tc := range []struct {
		name, kind, body, want string
		status                 int
	}{
		{"a list", "text/event-stream", "data: " + fullList + "\n\n", "data: " + ownList + "\n\n", 200},
		{"an endpoint", "text/event-stream", "event: endpoint\ndata: /messages?sessionId=1\n\n", "event: endpoint\ndata: /messages?sessionId=1\n\n", 200},
		{"a list as JSON", "application/json", fullList, ownList, 200},
		{"a page", "text/html", strings.Repeat("x", 100_000), strings.Repeat("x", 100_000), 200},
		{"a text", "", "hello", "hello", 200},
	} {
		s := serve(t, frontDoor(issuer.Issuer(), hiding), answers(200, []string{"Content-Type", tc.kind}, tc.body))
		if got := s.do(t, "GET", "/mcp", bearer(token)...); got.StatusCode != tc.status || got.body != tc.want {
			t.Errorf("%s: got %d %q, want %d %q", tc.name, got.StatusCode, got.body, tc.status, tc.want)
		}
	}
}

// The server is asked for a whole list, as it is.
func TestListsAreAskedForPlainly(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	var seen http.Header
	s := serve(t, frontDoor(issuer.Issuer(), hiding), func(w http.ResponseWriter, r *http.Request) error {
		seen = r.Header.Clone()
		_, err := io.WriteString(w, fullList)
		return err
	})
	s.post(t, issuer.Mint(nil), rpc("tools/list", `{}`), "Accept-Encoding", "gzip, br", "Range", "bytes=0-", "If-None-Match", "x", "If-Modified-Since", "x", "If-Range", "x")
	if encoding := seen["Accept-Encoding"]; len(encoding) != 1 || encoding[0] != "identity" {
		t.Errorf("got Accept-Encoding %q", encoding)
	}
	for _, name := range []string{"Range", "If-None-Match", "If-Modified-Since", "If-Range"} {
		if seen.Get(name) != "" {
			t.Errorf("%s is handed on", name)
		}
	}
}

// Lists are one caller's since 2026-07-28, and where they say for how long.
func TestListsArePrivate(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	token := issuer.Mint(nil)
	for _, tc := range []struct{ name, version, list, want string }{
		{"required", "2026-07-28", `{"result":{"tools":[]}}`, `{"result":{"tools":[],"cacheScope":"private","ttlMs":0}}`},
		{"public", "2026-07-28", `{"result":{"tools":[],"ttlMs":9,"cacheScope":"public"}}`, `{"result":{"tools":[],"ttlMs":0,"cacheScope":"private"}}`},
		{"an older version", "2025-11-25", `{"result":{"tools":[]}}`, `{"result":{"tools":[]}}`},
		{"public all the same", "2025-11-25", `{"result":{"cacheScope":"public","tools":[]}}`, `{"result":{"cacheScope":"private","tools":[]}}`},
		{"no date", "9", `{"result":{"tools":[]}}`, `{"result":{"tools":[]}}`},
	} {
		s := serve(t, frontDoor(issuer.Issuer(), hiding), answers(200, []string{"Content-Type", "application/json"}, tc.list))
		if got := s.post(t, token, rpc("tools/list", `{}`), "Mcp-Protocol-Version", tc.version); got.body != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, got.body, tc.want)
		}
	}
}

// An event gets to the client before there is another.
func TestListsDontDelayEvents(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	token := issuer.Mint(nil)
	for _, message := range []string{"", rpc("tools/list", `{}`), toolCall("a", `{}`)} {
		next := make(chan string)
		s := serve(t, frontDoor(issuer.Issuer(), hiding), func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Content-Type", "text/event-stream")
			flush := http.NewResponseController(w).Flush
			if err := flush(); err != nil {
				t.Errorf("flushing headers: %v", err)
			}
			for text := range next {
				_, _ = io.WriteString(w, text)
				if err := flush(); err != nil {
					t.Errorf("flushing: %v", err)
				}
			}
			return nil
		})
		method, body := "GET", io.Reader(nil)
		if message != "" {
			method, body = "POST", strings.NewReader(message)
		}
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/mcp", body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		lines := bufio.NewReader(resp.Body)
		for _, text := range []string{": hello\n", "data: {}\n\n", "id: 1\ndata:\n\n"} {
			next <- text
			for range strings.Count(text, "\n") {
				if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(text, line) {
					t.Errorf("%s %s: after %q: got %q, %v", method, message, text, line, err)
				}
			}
		}
		close(next)
	}
}

// A handler that fails or gives up before it has answered is not covered up.
func TestListsOfHandlersThatFail(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	token := issuer.Mint(nil)
	s := serve(t, frontDoor(issuer.Issuer(), hiding), func(w http.ResponseWriter, _ *http.Request) error {
		_, _ = io.WriteString(w, fullList[:30])
		return errors.New("the server is away")
	})
	if got := s.post(t, token, rpc("tools/list", `{}`)); got.StatusCode != 500 || got.body != "" {
		t.Errorf("an error: got %d %q", got.StatusCode, got.body)
	}
	s = serve(t, frontDoor(issuer.Issuer(), hiding), func(w http.ResponseWriter, _ *http.Request) error {
		if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("hijacked: %v", err)
		}
		_, _ = io.WriteString(w, fullList[:30])
		panic(http.ErrAbortHandler)
	})
	r, _ := http.NewRequestWithContext(t.Context(), "POST", s.URL+"/mcp", strings.NewReader(rpc("tools/list", `{}`)))
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	if resp, err := client.Do(r); err == nil {
		t.Errorf("a panic: got %d", resp.StatusCode)
		resp.Body.Close()
	}
}
