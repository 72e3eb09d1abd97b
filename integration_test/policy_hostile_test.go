package integration_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// judgedSite is a front door with rules before a server of the test's.
const judgedSite = `
	mcp_auth SITE/mcp {
		issuer ISSUER
		tools     delete_* *secret* nobody
		tools     transfer          when ` + "`arguments.amount > 0 && arguments.amount <= 1000`" + `
		tools     costly            when ` + "`arguments.list.all(a, arguments.list.all(b, arguments.list.all(c, a + b + c >= 0)))`" + `
		tools     get_* list_* add
		prompts   hello
		resources file:///secret/*  nobody
		resources file:///*
	}
	reverse_proxy BEHIND
`

// behindDoor is an MCP server that keeps what it gets, and answers as it is told.
type behindDoor struct {
	*httptest.Server
	mu     sync.Mutex
	got    []*http.Request
	bodies []string
	answer http.HandlerFunc
}

func startBehindDoor(t *testing.T) *behindDoor {
	t.Helper()
	b := &behindDoor{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		b.mu.Lock()
		b.got, b.bodies = append(b.got, r), append(b.bodies, string(body))
		answer := b.answer
		b.mu.Unlock()
		if answer != nil {
			answer(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	}))
	t.Cleanup(b.Close)
	return b
}

// take returns the requests since it was called last.
func (b *behindDoor) take() ([]*http.Request, []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	got, bodies := b.got, b.bodies
	b.got, b.bodies = nil, nil
	return got, bodies
}

func (b *behindDoor) answers(answer http.HandlerFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = answer
}

// fill puts the server into a site.
func (b *behindDoor) fill(site string) string { return strings.ReplaceAll(site, "BEHIND", b.URL) }

// versions are clients of HTTP/1.1, 2 and 3.
func (c *caddyServer) versions(t *testing.T) map[string]*http.Client {
	t.Helper()
	h1 := &http.Transport{TLSClientConfig: c.tls(), DisableCompression: true, ExpectContinueTimeout: testkit.Patience}
	h2 := &http.Transport{TLSClientConfig: c.tls(), DisableCompression: true, ForceAttemptHTTP2: true}
	h3 := &http3.Transport{TLSClientConfig: c.tls(), DisableCompression: true}
	t.Cleanup(func() {
		h1.CloseIdleConnections()
		h2.CloseIdleConnections()
		h3.Close()
	})
	return map[string]*http.Client{
		"HTTP/1.1": {Transport: h1, Timeout: testkit.Patience},
		"HTTP/2.0": {Transport: h2, Timeout: testkit.Patience},
		"HTTP/3.0": {Transport: h3, Timeout: testkit.Patience},
	}
}

// tell sends a message, and returns the answer.
func (c *caddyServer) tell(t *testing.T, client *http.Client, token, method, body string, headers ...string) answer {
	t.Helper()
	resp := c.ask(t, client, token, method, body, headers...)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("reading the answer: %v", err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

func (c *caddyServer) ask(t *testing.T, client *http.Client, token, method, body string, headers ...string) *http.Response {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, c.URL+"/mcp", reader)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header["Content-Type"] = []string{"application/json"}
	own := map[string]bool{}
	for i := 0; i < len(headers); i += 2 {
		if !own[headers[i]] {
			delete(req.Header, headers[i])
		}
		own[headers[i]] = true
		req.Header[headers[i]] = append(req.Header[headers[i]], headers[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %.100s: %v", method, body, err)
	}
	return resp
}

func callOfTool(name, arguments string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%s,"arguments":%s}}`, name, arguments)
}

func readOf(uri string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"%s"}}`, uri)
}

// hostileRequests are requests that no server behind may see, in every version of HTTP.
func hostileRequests() map[string]struct {
	method, body string
	headers      []string
} {
	type request = struct {
		method, body string
		headers      []string
	}
	cases := make(map[string]request)
	message := func(name, body string, headers ...string) { cases[name] = request{"POST", body, headers} }
	good := callOfTool(`"get_x"`, `{}`)

	message("a tool for nobody", callOfTool(`"delete_x"`, `{}`))
	for name, tool := range map[string]string{
		"capitals": `"Delete_x"`, "blank before": `" delete_x"`, "blank after": `"delete_x "`, "escaped": `"\u0064elete_x"`, "NUL": `"delete_x\u0000"`, "full width": `"ｄelete_x"`,
		"zero width": `"de\u200blete_x"`, "soft hyphen": `"delete\u00ad_x"`, "long s": `"li\u017ft_secret"`, "tab": `"delete_x\t"`, "array": `["delete_x"]`, "object": `{"a":"delete_x"}`, "null": `null`, "number": `1`, "nothing that a line names": `"export"`,
	} {
		message("a tool for nobody, "+name, callOfTool(tool, `{}`))
	}
	message("duplicate name", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_x","name":"delete_x"}}`)
	message("name in capitals", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_x","Name":"delete_x"}}`)
	message("folded name", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_x","ｎame":"delete_x"}}`)
	message("name cut by NUL", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_x","name\u0000":"delete_x"}}`)
	message("duplicate method", `{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"delete_x"}}`)
	message("method in capitals", `{"jsonrpc":"2.0","id":1,"method":"ping","METHOD":"tools/call","params":{"name":"delete_x"}}`)
	message("duplicate params", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_x"},"params":{"name":"delete_x"}}`)
	message("method spelled otherwise", `{"jsonrpc":"2.0","id":1,"method":"Tools/Call","params":{"name":"delete_x"}}`)
	message("unknown method", `{"jsonrpc":"2.0","id":1,"method":"tools/execute","params":{"name":"get_x"}}`)
	message("trailing data", good+callOfTool(`"delete_x"`, `{}`))
	message("trailing NUL", good+"\x00")
	message("byte order mark", "\ufeff"+good)
	message("UTF-16", "\xff\xfe"+strings.Join(strings.Split(good, ""), "\x00")+"\x00")
	message("lone surrogate", callOfTool(`"get_\ud800"`, `{}`))
	message("lone surrogate in arguments", callOfTool(`"get_x"`, `{"a":"\udc00"}`))
	message("invalid UTF-8", callOfTool("\"get_\xff\"", `{}`))
	message("200 levels", callOfTool(`"get_x"`, strings.Repeat(`{"a":`, 200)+"1"+strings.Repeat("}", 200)))
	message("100,000 levels", strings.Repeat("[", 100_000))
	message("5 MiB", callOfTool(`"get_x"`, `{"a":"`+strings.Repeat("x", 5<<20)+`"}`))
	message("batch", "["+good+"]")
	message("batch of two", "["+good+","+callOfTool(`"delete_x"`, `{}`)+"]")
	message("no id", `{"jsonrpc":"2.0","method":"tools/call","params":{"name":"get_x"}}`)
	for name, id := range map[string]string{"null": "null", "true": "true", "fraction": "1.5", "exponent": "1e2", "1e400": "1e400", "array": "[1]", "object": "{}", "minus zero": "-0"} {
		message("id "+name, strings.Replace(good, `"id":1`, `"id":`+id, 1))
	}
	message("params as an array", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["get_x"]}`)
	message("result and method", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_x"},"result":{}}`)
	message("nothing", " ")
	message("not JSON", "name=get_x")

	message("text", good, "Content-Type", "text/plain")
	message("no type", good, "Content-Type", "")
	message("two types", good, "Content-Type", "application/json", "Content-Type", "text/plain")
	message("two types in a line", good, "Content-Type", "application/json, text/plain")
	message("UTF-16 by its type", good, "Content-Type", "application/json; charset=utf-16")
	message("encoded", good, "Content-Encoding", "gzip")
	message("encoded with identity", good, "Content-Encoding", "identity, gzip")

	for _, version := range []string{"", "2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28", "nonsense"} {
		in := func(headers ...string) []string {
			if version == "" {
				return headers
			}
			return append(headers, "Mcp-Protocol-Version", version)
		}
		message("lying Mcp-Method, version "+version, good, in("Mcp-Method", "tools/list")...)
		message("lying Mcp-Name, version "+version, good, in("Mcp-Name", "delete_x")...)
		message("Mcp-Name twice, version "+version, good, in("Mcp-Name", "get_x", "Mcp-Name", "get_x")...)
		message("Mcp-Method twice, version "+version, good, in("Mcp-Method", "tools/call", "Mcp-Method", "tools/call")...)
	}
	message("lying Mcp-Name, encoded", good, "Mcp-Name", "=?base64?ZGVsZXRlX3g=?=")
	message("Mcp-Name twisted", good, "Mcp-Name", "=?BASE64?Z2V0X3g=?=")
	message("Mcp-Name without padding", good, "Mcp-Name", "=?base64?Z2V0X3g?=")
	message("Mcp-Name encoded twice", good, "Mcp-Name", "=?base64?PT9iYXNlNjQ/WjJWMFgzZz0/PQ==?=")
	message("Mcp-Name of a list", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, "Mcp-Name", "get_x")
	message("lying Mcp-Param", callOfTool(`"transfer"`, `{"amount":5}`), "Mcp-Param-Amount", "6")
	message("Mcp-Param twice", callOfTool(`"transfer"`, `{"amount":5}`), "Mcp-Param-Amount", "5", "Mcp-Param-Amount", "5")
	message("Mcp-Param of an argument that isn't there", callOfTool(`"transfer"`, `{"a":5}`), "Mcp-Param-Amount", "5")

	for name, arguments := range map[string]string{
		"too much": `{"amount":1001}`, "less than nothing": `{"amount":-1e300}`, "more than a float": `{"amount":1e400}`, "2^53+1": `{"amount":9007199254740993}`, "text": `{"amount":"5"}`, "nothing": `{}`, "null": `{"amount":null}`,
		"folded sibling": `{"amount":1,"Amount":1e6}`, "deeper folded sibling": `{"amount":1,"to":[{"a":1,"A":2}]}`, "sibling of no width": `{"amount":1,"amount\u200b":1e6}`, "duplicate": `{"amount":1,"amount":1e6}`,
	} {
		message("an argument: "+name, callOfTool(`"transfer"`, arguments))
	}
	message("an expression that costs too much", callOfTool(`"costly"`, `{"list":[`+strings.Repeat("1,", 3000)+`1]}`))

	for _, uri := range []string{
		"file:///secret/a", "FILE:///secret/a", "file:///SECRET/../secret/a", "file:///public/../secret/a", "file:///public/%2e%2e/secret/a", "file:///%73ecret/a", "file:///secret%2Fa", "file:///secret%2fa", "file:////secret/a", "file:///./secret/a", "file:/secret/a", "file:secret/a", "file://localhost/secret/a",
		"file:///public/..;/secret/a", "file:///secret/a#x", "file:///secret/a?x", "file:///%252e/secret/a", `file:///public\\..\\secret\\a`, "file:///secret/a ", " file:///secret/a", "file:///secret/a\\u0000", "file:///secret/\\u00e4", "file:///secret%5Ca", "file:///%C0%AE%C0%AE/secret/a", "File:///secret/a", "http://x/secret", "file:///secret//a",
	} {
		message("a resource: "+uri, readOf(uri))
	}
	message("a template", `{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/resource","uri":"file:///secret/{a}"},"argument":{"name":"a","value":""}}}`)
	message("a completion", `{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"other"},"argument":{"name":"a","value":""}}}`)
	message("a subscription", `{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"file:///secret/a"}}`)
	message("a subscription of several", `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["file:///a","file:///secret/a"]}}}`)

	cases["PUT"] = request{"PUT", good, nil}
	cases["PATCH"] = request{"PATCH", good, nil}
	cases["QUERY"] = request{"QUERY", good, nil}
	cases["GET with a body"] = request{"GET", good, nil}
	cases["DELETE with a body"] = request{"DELETE", good, nil}
	return cases
}

// Nothing gets past the rules by being said in another way, in any version of HTTP.
func TestPolicyHostileRequests(t *testing.T) {
	t.Parallel()
	f, behind := startFakeIssuer(t), startBehindDoor(t)
	c := startCaddy(t, behind.fill(f.fill(judgedSite)))
	token := f.token(c, nil)
	for version, client := range c.versions(t) {
		t.Run(version, func(t *testing.T) {
			for name, tc := range hostileRequests() {
				if len(tc.body) > 1<<20 && version == "HTTP/1.1" {
					// The connection ends with the refusal, which a client that is still sending
					// may not see.
					tc.headers = append(tc.headers, "Expect", "100-continue")
				}
				got := c.tell(t, client, token, tc.method, tc.body, tc.headers...)
				if seen, bodies := behind.take(); len(seen) > 0 {
					t.Errorf("%s: the server got %.200s", name, bodies)
				}
				completion := got.status == 200 && strings.Contains(got.body, `"values":[]`)
				if !completion && !strings.Contains(got.body, `"error"`) || got.status == 401 || got.status >= 500 {
					t.Errorf("%s: got %d %.200s", name, got.status, got.body)
				}
			}
			// What is sent well arrives, byte for byte.
			for _, body := range []string{
				" {\"params\" : {\"arguments\":{\"a\":\"\\u00e9 é\"},\"name\":\"get_x\"},\n\"id\":\"\\u0061\",\"method\":\"tools\\u002fcall\",\"jsonrpc\":\"2.0\"} ",
				callOfTool(`"transfer"`, `{"amount":5}`), callOfTool(`"get_x"`, `{"text":"`+strings.Repeat("x", 3<<20)+`"}`), readOf("file:///public/a"), `{"jsonrpc":"2.0","method":"notifications/initialized"}`,
			} {
				got := c.tell(t, client, token, "POST", body, "Mcp_Name", "delete_x", "X-Http-Method-Override", "PUT")
				seen, bodies := behind.take()
				if got.status != 200 || len(seen) != 1 || bodies[0] != body {
					t.Fatalf("%.100s: got %d %.100s, the server %d requests", body, got.status, got.body, len(seen))
				}
				if r := seen[0]; r.ContentLength != int64(len(body)) || r.Header.Get("Mcp_name")+r.Header.Get("Mcp_Name")+r.Header.Get("X-Http-Method-Override") != "" {
					t.Errorf("the server got %d bytes and %v", r.ContentLength, r.Header)
				}
			}
		})
	}
}

// What only a socket sends.
func TestPolicyRawRequests(t *testing.T) {
	t.Parallel()
	f, behind := startFakeIssuer(t), startBehindDoor(t)
	c := startCaddy(t, behind.fill(f.fill(judgedSite)))
	token := f.token(c, nil)
	good, bad := callOfTool(`"get_x"`, `{}`), callOfTool(`"delete_x"`, `{}`)
	chunk := func(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }
	chunked := "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
	length := func(text string) string { return fmt.Sprintf("Content-Length: %d\r\n", len(text)) }
	isJSON := "Content-Type: application/json\r\n"
	for _, tc := range []struct{ name, line, headers, body, want string }{
		{"plain", "POST /mcp HTTP/1.1", isJSON + length(good), good, good},
		{"in chunks", "POST /mcp HTTP/1.1", chunked, chunk(good[:7]) + chunk(good[7:]) + "0\r\n\r\n", good},
		{"with trailers", "POST /mcp HTTP/1.1", chunked + "Trailer: Mcp-Name, X-A\r\n", chunk(good) + "0\r\nMcp-Name: delete_x\r\nX-A: b\r\n\r\n", good},
		{"with aliases", "POST /mcp HTTP/1.1", isJSON + length(good) + "mcp_name: delete_x\r\nMcp.Name: delete_x\r\nmcp_method: x\r\nMcp_Param_A: x\r\nContent_Type: text/plain\r\nContent_Length: 5\r\nTransfer_Encoding: chunked\r\n", good, good},
		{"with other methods", "POST /mcp HTTP/1.1", isJSON + length(good) + "X-HTTP-Method-Override: DELETE\r\nX_HTTP_METHOD: PUT\r\nX-Method-Override: PATCH\r\n", good, good},
		{"with an upgrade", "POST /mcp HTTP/1.1", isJSON + length(good) + "Connection: Upgrade\r\nUpgrade: h2c\r\n", good, good},
		{"a WebSocket", "GET /mcp HTTP/1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", "no upgrade"},
		{"expecting to be asked", "POST /mcp HTTP/1.1", isJSON + length(good) + "Expect: 100-continue\r\n", good, good},

		{"a bad tool in chunks", "POST /mcp HTTP/1.1", chunked, chunk(bad[:70]) + chunk(bad[70:]) + "0\r\n\r\n", ""},
		{"two lengths", "POST /mcp HTTP/1.1", isJSON + length(good) + length(bad), bad, ""},
		{"a length and chunks", "POST /mcp HTTP/1.1", chunked + length(good), chunk(bad) + "0\r\n\r\n", ""},
		{"two Content-Types", "POST /mcp HTTP/1.1", isJSON + "content-type: application/json\r\n" + length(good), good, ""},
		{"a folded header", "POST /mcp HTTP/1.1", isJSON + length(good) + "Mcp-Name: get_x\r\n delete_x\r\n", good, ""},
		{"a body of a GET", "GET /mcp HTTP/1.1", isJSON + length(bad), bad, ""},
		{"chunks of a GET", "GET /mcp HTTP/1.1", chunked, chunk(bad) + "0\r\n\r\n", ""},
		{"no body of a DELETE, in chunks", "DELETE /mcp HTTP/1.1", chunked, "0\r\n\r\n", ""},
		{"method in small letters", "post /mcp HTTP/1.1", isJSON + length(good), good, ""},
		{"a WebSocket with a body", "GET /mcp HTTP/1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + length(bad), bad, ""},
		{"larger than may be, by its length alone", "POST /mcp HTTP/1.1", isJSON + "Content-Length: 5000000\r\n", "", ""},
	} {
		conn, err := tls.Dial("tcp", c.Host, c.tls())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(testkit.Patience))
		fmt.Fprintf(conn, "%s\r\nHost: %s\r\nAuthorization: Bearer %s\r\n%s\r\n%s", tc.line, c.Host, token, tc.headers, tc.body)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		for err == nil && resp.StatusCode == http.StatusContinue {
			resp, err = http.ReadResponse(bufio.NewReader(conn), nil)
		}
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			conn.Close()
			continue
		}
		seen, bodies := behind.take()
		switch {
		case tc.want == "" && (len(seen) > 0 || resp.StatusCode != 200 && resp.StatusCode < 400): // 200 has an error in JSON-RPC
			t.Errorf("%s: got %d, the server got %q", tc.name, resp.StatusCode, bodies)
		case tc.want == "no upgrade" && (resp.StatusCode == 101 || len(seen) != 1 || seen[0].Header.Get("Upgrade") != ""):
			t.Errorf("%s: got %d", tc.name, resp.StatusCode)
		case tc.want == good && (resp.StatusCode != 200 || len(seen) != 1 || bodies[0] != good):
			t.Errorf("%s: got %d, the server got %q", tc.name, resp.StatusCode, bodies)
		}
		for _, r := range seen {
			if len(r.Trailer) > 0 || tc.want == good && (r.ContentLength != int64(len(good)) || len(r.TransferEncoding) > 0) {
				t.Errorf("%s: the server got length %d, trailers %v", tc.name, r.ContentLength, r.Trailer)
			}
			for name := range r.Header {
				for _, gone := range []string{"_", ".", "Override", "X-Http-Method", "Trailer", "Upgrade", "Expect"} {
					if strings.Contains(name, gone) {
						t.Errorf("%s: the server got %s", tc.name, name)
					}
				}
			}
		}
		conn.Close()
	}
}
