package integration_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

// keyDoor is a front door for two users with API keys.
var keyDoor = fmt.Sprintf(`
	mcp_auth SITE/mcp {
		issuer https://issuer.example {
			discovery off
			static {
				key alice %x
				key bob %x
			}
		}
		OPTIONS
	}
	encode
	reverse_proxy BEHIND
`, sha256.Sum256([]byte("key-of-alice")), sha256.Sum256([]byte("key-of-bob")))

func keyDoorTo(behind, options string) string {
	return strings.NewReplacer("BEHIND", behind, "OPTIONS", options).Replace(keyDoor)
}

const (
	initializeOld  = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`
	initializedOld = `{"jsonrpc":"2.0","method":"notifications/initialized"}`
	echoOld        = `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{"message":"hello"}}}`
)

// as sends a request with a user's key; "" stands for none.
func (c *caddyServer) as(user, method, path, body string, headers ...string) answer {
	c.t.Helper()
	headers = append(headers, "Content-Type", "application/json", "Accept", "application/json, text/event-stream", "Mcp-Protocol-Version", "2025-11-25")
	if user != "" {
		headers = append(headers, "Authorization", "Bearer key-of-"+user)
	}
	return c.do(method, path, body, headers...)
}

// begin begins a session and returns its id.
func (c *caddyServer) begin(user string) string {
	c.t.Helper()
	got := c.as(user, "POST", "/mcp", initializeOld)
	id := got.header.Get("Mcp-Session-Id")
	if got.status != 200 || !strings.Contains(id, ".") {
		c.t.Fatalf("got %d %q %s", got.status, id, got.body)
	}
	return id
}

// openLines opens a stream as a user and returns its lines. It is closed with the test.
func (c *caddyServer) openLines(t *testing.T, user, path string, headers ...string) *bufio.Scanner {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", c.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer key-of-"+user)
	r.Header.Set("Accept", "text/event-stream")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != 200 {
		t.Fatalf("%s: got %d", path, resp.StatusCode)
	}
	return bufio.NewScanner(resp.Body)
}

// until returns the first line that has text in it.
func until(t *testing.T, lines *bufio.Scanner, text string) string {
	t.Helper()
	for lines.Scan() {
		if strings.Contains(lines.Text(), text) {
			return lines.Text()
		}
	}
	t.Fatalf("the stream ended before %q: %v", text, lines.Err())
	return ""
}

// Bob doesn't get into Alice's session at the official server, by its id, by that of an
// event, or by the address of HTTP+SSE.
func TestSessionsAreBound(t *testing.T) {
	t.Parallel()
	needNode(t)
	behind := make(map[string]string)
	for _, transport := range []string{"streamableHttp", "sse"} {
		var server struct {
			Port int `json:"port"`
		}
		cmd := node(t.Context(), "", "everything.mjs", transport)
		cmd.Env = append(cmd.Env, "PORT=0")
		serve(t, cmd, &server)
		behind[transport] = fmt.Sprintf("127.0.0.1:%d", server.Port)
	}

	t.Run("Streamable HTTP", func(t *testing.T) {
		t.Parallel()
		c := startCaddy(t, keyDoorTo(behind["streamableHttp"], ""))
		hers, his := c.begin("alice"), c.begin("bob")
		if got := c.as("alice", "POST", "/mcp", initializedOld, "Mcp-Session-Id", hers); got.status != 202 {
			t.Fatalf("got %d %s", got.status, got.body)
		}
		got := c.as("alice", "POST", "/mcp", echoOld, "Mcp-Session-Id", hers)
		_, event, _ := strings.Cut(got.body, "id: ") // of the event before the answer
		event, _, _ = strings.Cut(event, "\n")
		if got.status != 200 || !strings.Contains(got.body, "Echo: hello") || strings.Count(event, ".") != 1 || got.header.Get("Mcp-Session-Id") != hers {
			t.Fatalf("got %d %q with the event %q", got.status, got.body, event)
		}
		raw := strings.Split(hers, ".")[0]
		for _, tc := range []struct {
			name, user, method string
			headers            []string
			want               int
		}{
			{"her session", "bob", "POST", []string{"Mcp-Session-Id", hers}, 404},
			{"her stream", "bob", "GET", []string{"Mcp-Session-Id", hers}, 404},
			{"the end of her session", "bob", "DELETE", []string{"Mcp-Session-Id", hers}, 404},
			{"her event", "bob", "GET", []string{"Mcp-Session-Id", his, "Last-Event-Id", event}, 404},
			{"her event without a session", "bob", "GET", []string{"Last-Event-Id", event}, 404},
			{"the server's own id", "bob", "POST", []string{"Mcp-Session-Id", raw}, 404},
			{"the server's own id under another name", "bob", "DELETE", []string{"Mcp_Session_Id", raw}, 400},
			{"two sessions", "bob", "DELETE", []string{"Mcp-Session-Id", his, "Mcp-Session-Id", hers}, 400},
			{"no token", "", "DELETE", []string{"Mcp-Session-Id", hers}, 401},
		} {
			if got := c.as(tc.user, tc.method, "/mcp", echoOld, tc.headers...); got.status != tc.want {
				t.Errorf("%s: got %d %.200s, want %d", tc.name, got.status, got.body, tc.want)
			}
		}
		c.logs(`"mcp_auth_refusal":"session"`)
		c.reload(keyDoorTo(behind["streamableHttp"], "tools *"))
		until(t, c.openLines(t, "alice", "/mcp", "Mcp-Session-Id", hers, "Last-Event-Id", event), "Echo: hello")
		if got := c.as("bob", "GET", "/mcp", "", "Mcp-Session-Id", his, "Last-Event-Id", event); got.status != 404 {
			t.Errorf("after a reload: got %d", got.status)
		}
		if got := c.as("alice", "DELETE", "/mcp", "", "Mcp-Session-Id", hers); got.status != 200 {
			t.Errorf("she ends it: got %d %s", got.status, got.body)
		}
		if got := c.as("bob", "POST", "/mcp", echoOld, "Mcp-Session-Id", his); got.status != 200 {
			t.Errorf("his own: got %d %s", got.status, got.body)
		}
	})

	t.Run("HTTP+SSE", func(t *testing.T) {
		t.Parallel()
		c := startCaddy(t, strings.Replace(keyDoorTo(behind["sse"], ""), "SITE/mcp", "SITE/sse", 1))
		lines := c.openLines(t, "alice", "/sse")
		until(t, lines, "event: endpoint")
		endpoint := strings.TrimPrefix(until(t, lines, "data: "), "data: ")
		path, query, ok := strings.Cut(endpoint, "?sessionId=")
		if !ok || strings.Count(query, ".") != 1 {
			t.Fatalf("got %q", endpoint)
		}
		raw := strings.Split(query, ".")[0]
		for _, address := range []string{endpoint, path + "?sessionId=" + raw, path + "?sessionId=" + raw + "&sessionid=x", "/sse?sessionId=" + query} {
			if got := c.as("bob", "POST", address, initializeOld); got.status != 404 && got.status != 400 {
				t.Errorf("%s: got %d %s", address, got.status, got.body)
			}
		}
		if got := c.as("alice", "POST", endpoint, initializeOld); got.status != 202 {
			t.Errorf("got %d %s", got.status, got.body)
		}
		until(t, lines, "protocolVersion")
	})
}

// A call goes on after its client has lost the connection, also if the configuration was
// replaced meanwhile; but not for another user.
func TestSessionsAreResumed(t *testing.T) {
	t.Parallel()
	needNode(t)
	var resumable struct {
		Port int `json:"port"`
	}
	cmd := node(t.Context(), "", "resumable.mjs")
	cmd.Env = append(cmd.Env, "PORT=0")
	serve(t, cmd, &resumable)
	site := keyDoorTo(fmt.Sprintf("127.0.0.1:%d", resumable.Port), "tools *")
	c := startCaddy(t, site)

	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	client := node(ctx, c.CA, "resume.mjs", c.URL+"/mcp", "key-of-alice", "key-of-bob")
	stdin, err := client.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := client.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	until(t, lines, "lost")
	c.reload(site + "\n# again")
	if _, err := io.WriteString(stdin, "go on\n"); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Session, Event, Text string
		Refused              int
		Error                any
	}
	lines.Scan()
	if err := json.Unmarshal(lines.Bytes(), &got); err != nil {
		t.Fatalf("%v: %s", err, lines.Text())
	}
	if err := client.Wait(); err != nil || got.Refused != 404 || got.Text != "completed" ||
		!strings.Contains(got.Session, ".") || !strings.Contains(got.Event, ".") {
		t.Errorf("got %+v, %v", got, err)
	}
}

// sessionServer is a server with sessions, of which there are several.
type sessionServer struct {
	*httptest.Server
	mu   sync.Mutex
	seen map[string]bool // the sessions that it was asked about
}

func startSessionServer(t *testing.T) *sessionServer {
	t.Helper()
	s := &sessionServer{seen: make(map[string]bool)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("Mcp-Session-Id")
		if id == "" {
			w.Header().Set("Mcp-Session-Id", rand.Text())
		} else {
			s.mu.Lock()
			s.seen[id] = true
			s.mu.Unlock()
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *sessionServer) host() string { return strings.TrimPrefix(s.URL, "http://") }

// Two Caddys on one storage know the same sessions, also those that began without a
// token, and after a restart. Behind them a session keeps its server.
func TestSessionsOfTwoCaddys(t *testing.T) {
	t.Parallel()
	servers := []*sessionServer{startSessionServer(t), startSessionServer(t)}
	site := keyDoorTo(servers[0].host()+" "+servers[1].host()+" {\nlb_policy header Mcp-Session-Id\n}", "anonymous")
	one, two := (&storageUnderTest{binary: caddyBinary}).startTwo(t, site)
	status := func(c *caddyServer, user, id string) int {
		return c.as(user, "DELETE", "/mcp", "", "Mcp-Session-Id", id).status
	}
	hers, early := one.begin("alice"), two.begin("")
	for _, tc := range []struct {
		name string
		at   *caddyServer
		user string
		id   string
		want int
	}{
		{"her session at the other", two, "alice", hers, 200},
		{"another user", two, "bob", hers, 404},
		{"without a token", two, "", hers, 404},
		{"begun without a token", one, "", early, 200},
		{"taken over at the other", one, "alice", early, 200},
		{"by another user, after that", two, "bob", early, 404},
		{"by another user, there", one, "bob", early, 404},
		{"without a token, after that", two, "", early, 404},
		{"by its user", two, "alice", early, 200},
	} {
		if got := status(tc.at, tc.user, tc.id); got != tc.want {
			t.Errorf("%s: got %d, want %d", tc.name, got, tc.want)
		}
	}
	two.kill()
	two.start(two.caddyfile(strings.ReplaceAll(site, "SITE", one.URL)))
	for user, want := range map[string]int{"alice": 200, "bob": 404, "": 404} {
		for _, id := range []string{early, hers} {
			if got := status(two, user, id); got != want {
				t.Errorf("%q after a restart: got %d, want %d", user, got, want)
			}
		}
	}

	for range 20 {
		id := one.begin("alice")
		for range 3 {
			for _, c := range []*caddyServer{one, two} {
				if got := c.as("alice", "POST", "/mcp", echoOld, "Mcp-Session-Id", id).status; got != 200 {
					t.Errorf("got %d", got)
				}
			}
		}
	}
	first, second := servers[0], servers[1]
	for id := range first.seen {
		if second.seen[id] || strings.Contains(id, ".") {
			t.Errorf("session %s was at both servers, or has a tag", id)
		}
	}
	if len(first.seen) < 2 || len(second.seen) < 2 || len(first.seen)+len(second.seen) != 22 {
		t.Errorf("the servers saw %d and %d sessions", len(first.seen), len(second.seen))
	}
}
