package whoami

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

const (
	initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`
	call       = `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"whoami"}}`
	unknown    = `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"whois"}}`
	batch      = `[` + call + `,{"jsonrpc":"2.0","id":3,"method":"ping"}]`
)

// modern returns a request of revision 2026-07-28 and later.
func modern(revision, method, params string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":2,"method":%q,"params":{%s"_meta":{`+
		`"io.modelcontextprotocol/protocolVersion":%q,"io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"},`+
		`"io.modelcontextprotocol/clientCapabilities":{}}}}`, method, params, revision)
}

func TestPOST(t *testing.T) {
	t.Parallel()
	h, _ := provision(t, `{}`)
	url := serve(t, frontDoor(h))

	modernCall := modern("2026-07-28", "tools/call", `"name":"whoami",`)
	modernHeader := []string{"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "whoami"}
	// oversized is otherwise a good call.
	oversized := strings.Replace(call, `"whoami"`, `"whoami","arguments":{"x":"`+strings.Repeat("x", maxBody)+`"}`, 1)

	for _, tc := range []struct {
		name   string
		body   string
		header []string
		status int
		want   string // in the body
	}{
		{"2025-03-26: initialize", initialize, nil, 200, `"protocolVersion":"2025-06-18"`},
		{"2025-03-26: call", call, nil, 200, `"sub":"alice"`},
		{"2025-03-26: batch", batch, nil, 200, `"sub":"alice"`},
		{"2025-03-26: notification", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, nil, 202, ""},
		{"2025-06-18: call", call, []string{"MCP-Protocol-Version", "2025-06-18"}, 200, `"sub":"alice"`},
		{"2025-06-18: batch", batch, []string{"MCP-Protocol-Version", "2025-06-18"}, 400, "batching"},
		{"2025-11-25: call", call, []string{"MCP-Protocol-Version", "2025-11-25"}, 200, `"sub":"alice"`},
		{"2025-11-25: foreign session", call, []string{"MCP-Protocol-Version", "2025-11-25", "Mcp-Session-Id", "x"}, 200, `"sub":"alice"`},
		{"2025-11-25: unknown tool", unknown, []string{"MCP-Protocol-Version", "2025-11-25"}, 200, `-32602`},
		{"2026-07-28: call", modernCall, modernHeader, 200, `"sub":"alice"`},
		{
			"2026-07-28: discover", modern("2026-07-28", "server/discover", ""),
			[]string{"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "server/discover"},
			200, `"2025-03-26"`,
		},
		{
			"2026-07-28: method differs", modernCall,
			[]string{"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "ping", "Mcp-Name", "whoami"},
			400, "-32020",
		},
		{"2026-07-28: method missing", modernCall, []string{"MCP-Protocol-Version", "2026-07-28"}, 400, "-32020"},
		{
			"2026-07-28: name differs", modernCall,
			[]string{"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "other"},
			400, "-32020",
		},
		{"2026-07-28: version only in the body", modernCall, nil, 400, "-32020"},
		{
			"2026-07-28: unknown method", modern("2026-07-28", "nonsense", ""),
			[]string{"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "nonsense"},
			404, "-32601",
		},
		{
			"later revision", modern("2099-01-01", "tools/call", `"name":"whoami",`),
			[]string{"MCP-Protocol-Version", "2099-01-01", "Mcp-Method", "tools/call", "Mcp-Name", "whoami"},
			400, "-32022",
		},
		{"unknown revision", call, []string{"MCP-Protocol-Version", "2025-01-01"}, 400, "Unsupported protocol version"},
		{"too large", oversized, nil, 413, ""},
		{"too large, modern", oversized, modernHeader, 413, ""},
		{"empty", "", nil, 400, ""},
		{"not JSON", "whoami", nil, 400, ""},
		{"not JSON-RPC", `{"name":"whoami"}`, nil, 400, ""},
		{"deep", strings.Repeat("[", 100_000), nil, 400, ""},
		{"form", call, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, ""},
		{"JSON only", call, []string{"Accept", "application/json"}, 400, "Accept"},
		{"resumption", call, []string{"Last-Event-ID", "x"}, 400, "Last-Event-ID"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			status, body := post(t, bearer("alice").client(), url, tc.body, tc.header...)
			if status != tc.status || !strings.Contains(body, tc.want) {
				t.Errorf("got %d %.300s, want %d and %q", status, body, tc.status, tc.want)
			}
			if strings.Contains(body, "token-of-alice") {
				t.Errorf("the answer shows the token: %s", body)
			}
		})
	}
}

// There is nothing to GET, or to DELETE, without sessions.
func TestOtherMethods(t *testing.T) {
	t.Parallel()
	h, _ := provision(t, `{"sse":"/sse"}`)
	for _, tc := range []struct{ method, path, allow string }{
		{"GET", "/mcp", "POST"},
		{"DELETE", "/mcp", "POST"},
		{"OPTIONS", "/", "POST"},
		{"HEAD", "/sse", "GET, POST"},
		{"PUT", "/sse", "GET, POST"},
		{"GET", "/sse/", "POST"},
		{"GET", "/SSE", "POST"},
	} {
		w := httptest.NewRecorder()
		frontDoor(h).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), tc.method, tc.path, nil))
		if got := w.Header().Get("Allow"); w.Code != http.StatusMethodNotAllowed || got != tc.allow {
			t.Errorf("%s %s: got %d, Allow %q, want 405, %q", tc.method, tc.path, w.Code, got, tc.allow)
		}
	}
}

// Through any proxy on the same machine, a public Host comes over loopback.
func TestPublicHostOverLoopback(t *testing.T) {
	t.Parallel()
	h, _ := provision(t, `{"sse":"/sse"}`)
	url := serve(t, frontDoor(h))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(call))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "mcp.example.com"
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("got %d, want 200", response.StatusCode)
	}
}

// A client that listens for changes nonetheless is told at once that there
// will be none, whatever revision it claims: no such stream stays open to hold
// up a shutdown. Its Connection field would be malformed in HTTP/2 and HTTP/3.
func TestListenEndsAtOnce(t *testing.T) {
	t.Parallel()
	h, _ := provision(t, `{}`)
	server := httptest.NewUnstartedServer(frontDoor(h))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)

	const notifications = `"notifications":{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true,"resourceSubscriptions":["x:y"]},`
	for _, tc := range []struct {
		name, body string
		header     []string
		want       string
	}{
		{
			"modern", modern("2026-07-28", "subscriptions/listen", notifications),
			[]string{"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "subscriptions/listen"},
			"notifications/subscriptions/acknowledged",
		},
		{
			"legacy", `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{` + strings.TrimSuffix(notifications, ",") + `}}`,
			[]string{"MCP-Protocol-Version", "2025-06-18"},
			`"id":1`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, strings.NewReader(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Accept", "application/json, text/event-stream")
			for i := 0; i < len(tc.header); i += 2 {
				r.Header.Set(tc.header[i], tc.header[i+1])
			}
			response, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			var body bytes.Buffer
			if _, err := body.ReadFrom(response.Body); err != nil {
				t.Fatalf("the stream stays open: %v", err)
			}
			if response.ProtoMajor != 2 || response.StatusCode != http.StatusOK || !strings.Contains(body.String(), tc.want) {
				t.Errorf("got HTTP/%d, %d %s, want HTTP/2, 200 and %q", response.ProtoMajor, response.StatusCode, body.String(), tc.want)
			}
		})
	}
}

// Whatever sends the header first, there is no Connection field in it.
func TestConnectionFieldIsStripped(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]func(w *responseWriter) error{
		"WriteHeader": func(w *responseWriter) error { w.WriteHeader(http.StatusOK); return nil },
		"Write":       func(w *responseWriter) error { _, err := w.Write([]byte("x")); return err },
		"ReadFrom":    func(w *responseWriter) error { _, err := w.ReadFrom(strings.NewReader("x")); return err },
		"Flush":       func(w *responseWriter) error { return http.NewResponseController(w).Flush() },
	} {
		recorder := httptest.NewRecorder()
		w := &responseWriter{&caddyhttp.ResponseWriterWrapper{ResponseWriter: recorder}}
		w.Header().Set("Connection", "keep-alive")
		if err := send(w); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := recorder.Result().Header.Values("Connection"); len(got) > 0 { //nolint:bodyclose // a recorder's
			t.Errorf("%s: got Connection %q, want none", name, got)
		}
		if name == "Flush" && !recorder.Flushed {
			t.Error("Flush doesn't get through")
		}
	}
}

// bodies is what the fuzzers start from.
var bodies = []string{
	initialize, call, unknown, batch, "", "null", "[]", "[null]", `{"jsonrpc":"2.0"}`,
	`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":null}`,
	`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[]}`,
	`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"x"}}`,
	`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":null}`,
	`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true}}}`,
	`{"jsonrpc":"2.0","id":{},"method":"ping"}`,
	`{"jsonrpc":"2.0","id":1,"result":{}}`,
	`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`,
	`[` + call + `,{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}]`,
	`[` + call + `,` + call + `]`,
	`{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{}}`,
	`{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"debug"}}`,
	`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"x:y"}}`,
	modern("2026-07-28", "tools/call", `"name":"whoami",`),
	modern("2026-07-28", "server/discover", ""),
	strings.ReplaceAll(modern("2026-07-28", "tools/call", `"name":"whoami",`), `{}`, `null`),
}

// FuzzServeHTTP checks that no request makes the handler fail, panic, or wait
// for something that never happens.
func FuzzServeHTTP(f *testing.F) {
	for _, body := range bodies {
		f.Add([]byte(body), "", "", "")
		f.Add([]byte(body), "2025-11-25", "", "")
		f.Add([]byte(body), "2026-07-28", "tools/call", "whoami")
	}
	h, _ := provision(f, `{"sse":"/sse"}`)
	handler := frontDoor(h)
	f.Fuzz(func(t *testing.T, body []byte, revision, method, name string) {
		for _, path := range []string{"/mcp", "/sse?sessionid=x"} {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			r := httptest.NewRequestWithContext(ctx, http.MethodPost, path, bytes.NewReader(body))
			r.Header = http.Header{
				"Authorization": {"Bearer token-of-alice"},
				"Content-Type":  {"application/json"},
				"Accept":        {"application/json, text/event-stream"},
			}
			for i, value := range []string{revision, method, name} {
				if value != "" {
					r.Header[[]string{"Mcp-Protocol-Version", "Mcp-Method", "Mcp-Name"}[i]] = []string{value}
				}
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if ctx.Err() != nil {
				t.Fatalf("%s: no answer in time", path)
			}
			if !slices.Contains([]int{200, 202, 400, 404, 413, 415}, w.Code) {
				t.Errorf("%s: got status %d: %s", path, w.Code, w.Body)
			}
			if strings.Contains(w.Body.String(), "token-of-alice") && !bytes.Contains(body, []byte("token-of-alice")) {
				t.Errorf("%s: the answer shows the token: %s", path, w.Body)
			}
		}
	})
}
