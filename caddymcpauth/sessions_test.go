package caddymcpauth_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

// stateful is an MCP server that begins a session with each initialize, and otherwise
// says what it got.
func stateful(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if strings.Contains(string(body), `"initialize"`) {
		w.Header().Set("Mcp-Session-Id", "s1")
		w.Header().Set("Set-Cookie", "lb=1")
		w.Header().Set("Content-Type", "application/json")
		_, err = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
		return err
	}
	if id := r.Header.Get("Mcp-Session-Id"); id != "" {
		w.Header().Set("Mcp-Session-Id", id)
	}
	_, err = fmt.Fprintf(w, "%s|%s|%s", r.Header.Get("Mcp-Session-Id"), r.Header.Get("Last-Event-Id"), r.URL.RawQuery)
	return err
}

// begin begins a session and returns the client's id of it. The token is empty for a
// caller who hasn't signed in.
func (s *site) begin(t *testing.T, token string) string {
	t.Helper()
	got := s.asUser(t, "POST", "/mcp", token, rpc("initialize", "{}"))
	id := got.Header.Get("Mcp-Session-Id")
	if got.StatusCode != 200 || !strings.HasPrefix(id, "s1.") {
		t.Fatalf("got %d %q %s", got.StatusCode, id, got.body)
	}
	return id
}

func (s *site) asUser(t *testing.T, method, path, token, body string, headers ...string) answer {
	t.Helper()
	headers = append([]string{"Accept", "application/json, text/event-stream"}, headers...)
	if token != "" {
		headers = append(headers, bearer(token)...)
	}
	if method != "POST" {
		return s.do(t, method, path, headers...)
	}
	return s.send(t, method, path, strings.NewReader(body), append(headers, "Content-Type", "application/json")...)
}

// Bob doesn't get into Alice's session, nor does a caller without a token, in any way
// that a session can be used.
func TestSessionsAreBound(t *testing.T) {
	t.Parallel()
	issuer, other := newIssuer(t), newIssuer(t)
	const hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" // of "test"
	for name, options := range map[string]string{"without rules": "", "with rules": "tools *", "lazy": "anonymous"} {
		s := serve(t, frontDoor(issuer.Issuer()+" {\njwt\nstatic {\nkey ci "+hash+"\n}\n}\nissuer "+other.Issuer(), options), stateful)
		user := func(sub string) string { return issuer.Mint(map[string]any{"sub": sub}) }
		owners := map[string]string{
			"alice":                        user("alice"),
			"bob":                          user("bob"),
			"alice of another issuer":      other.Mint(map[string]any{"sub": "alice"}),
			"an API key":                   "test",
			"a client on its own behalf":   issuer.Mint(map[string]any{"sub": "service", "client_id": "service"}),
			"alice with another client":    issuer.Mint(map[string]any{"sub": "alice", "client_id": "other"}),
			"alice with a token to come":   issuer.Mint(map[string]any{"sub": "alice", "jti": "next"}),
			"nobody, with no token at all": "",
		}
		same := func(a, b string) bool { return a == b || strings.HasPrefix(a, "alice with") && b == "alice" }
		for owner, token := range owners {
			if token == "" || strings.HasPrefix(owner, "alice with") {
				continue // the first user takes over what began without a token
			}
			mine := s.begin(t, token)
			for caller, token := range owners {
				if token == "" && options != "anonymous" {
					continue
				}
				for _, method := range []string{"POST", "GET", "DELETE"} {
					got := s.asUser(t, method, "/mcp", token, rpc("ping", "{}"), "Mcp-Session-Id", mine)
					switch {
					case same(caller, owner):
						if got.StatusCode != 200 || got.body != "s1||" || got.Header.Get("Mcp-Session-Id") != mine && method != "DELETE" {
							t.Errorf("%s: the session of %s: %s %s got %d %s, %q", name, owner, caller, method, got.StatusCode, got.body, got.Header.Get("Mcp-Session-Id"))
						}
					case got.StatusCode != 404 || got.Header.Get("WWW-Authenticate")+got.Header.Get("Mcp-Session-Id") != "" || !strings.Contains(got.body, `"code":404`):
						t.Errorf("%s: the session of %s: %s %s got %d %s", name, owner, caller, method, got.StatusCode, got.body)
					}
					if caller == owner || token == "" {
						continue
					}
					if got := s.asUser(t, method, "/mcp", token, rpc("ping", "{}"), "Mcp-Session-Id", "s1"); got.StatusCode != 404 {
						t.Errorf("%s: the server's own id: %s got %d", name, method, got.StatusCode)
					}
				}
			}
		}
	}
}

// A refusal answers the message, as far as it was read, and is counted.
func TestSessionRefusals(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	resource := ownResource()
	s := serve(t, strings.Replace(frontDoor(issuer.Issuer(), "tools *"), testResource, resource, 1), stateful)
	user := func(sub string) string { return issuer.Mint(map[string]any{"sub": sub, "aud": resource}) }
	alice, bob := user("alice"), user("bob")
	mine := s.begin(t, alice)
	got := s.asUser(t, "POST", "/mcp", bob, `{"jsonrpc":"2.0","id":"x7","method":"tools/call","params":{"name":"a"}}`, "Mcp-Session-Id", mine)
	if want := `{"jsonrpc":"2.0","id":"x7","error":{"code":404,"message":"There is no such session. Start a new one."}}`; got.StatusCode != 404 || got.body != want {
		t.Errorf("got %d %s, want %s", got.StatusCode, got.body, want)
	}
	for name, headers := range map[string][]string{
		"two sessions": {"Mcp-Session-Id", mine, "Mcp-Session-Id", mine},
		"two events":   {"Last-Event-Id", mine, "Last-Event-Id", mine},
	} {
		if got := s.asUser(t, "POST", "/mcp", alice, rpc("ping", "{}"), headers...); got.StatusCode != 400 || !strings.Contains(got.body, "invalid_request") {
			t.Errorf("%s: got %d %s", name, got.StatusCode, got.body)
		}
	}
	// A scope comes first: the answer says nothing about the session.
	if got := s.asUser(t, "POST", "/mcp", issuer.Mint(nil), rpc("ping", "{}"), "Mcp-Session-Id", mine); got.StatusCode != 401 {
		t.Errorf("with a token of another resource: got %d", got.StatusCode)
	}
	if got := counts(t, s.config, "caddy_mcp_auth_decisions_total", resource)["decision=session resource=IT"]; got != 3 {
		t.Errorf("counted %v refusals, want 3", got)
	}
	if got := counts(t, s.config, "caddy_mcp_auth_sessions_total", resource); got["event=begun resource=IT"] != 1 || len(got) != 1 {
		t.Errorf("counted %v", got)
	}
}

// Handles are one's own in streams and queries too, and what a server could take for a
// handle doesn't get there.
func TestSessionHandles(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	s := serve(t, frontDoor(issuer.Issuer(), ""), func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != "GET" || r.Header.Get("Last-Event-Id") != "" || r.URL.RawQuery != "" {
			for name := range r.Header {
				if strings.Contains(name, "_") {
					t.Errorf("the server got %s", name)
				}
			}
			return stateful(w, r)
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, err := io.WriteString(w, "event: endpoint\ndata: /mcp?sessionId=q1\n\nid: e1\ndata:\n\n")
		return err
	})
	alice, bob := issuer.Mint(map[string]any{"sub": "alice"}), issuer.Mint(map[string]any{"sub": "bob"})
	stream := s.asUser(t, "GET", "/mcp", alice, "").body
	_, query, _ := strings.Cut(stream, "?")
	query, rest, _ := strings.Cut(query, "\n\nid: ")
	event, _, ok := strings.Cut(rest, "\ndata:\n\n")
	if !ok || !strings.HasPrefix(query, "sessionId=q1.") || !strings.HasPrefix(event, "e1.") {
		t.Fatalf("got %q", stream)
	}
	aliases := []string{"Mcp_Session_Id", "s1", "Last_Event_Id", "e1"}
	for _, tc := range []struct {
		name, method, path string
		headers            []string
		want               string
	}{
		{"an event", "GET", "/mcp", []string{"Last-Event-Id", event}, "|e1|"},
		{"an event, in lower case", "GET", "/mcp", []string{"last-event-id", event}, "|e1|"},
		{"a query", "POST", "/messages?" + query, nil, "||sessionId=q1"},
		{"a query on GET", "GET", "/messages?" + query, nil, "||sessionId=q1"},
	} {
		got := s.asUser(t, tc.method, tc.path, alice, rpc("ping", "{}"), append(tc.headers, aliases...)...)
		if got.StatusCode != 200 || got.body != tc.want {
			t.Errorf("%s: got %d %s, want %s", tc.name, got.StatusCode, got.body, tc.want)
		}
		if got := s.asUser(t, tc.method, tc.path, bob, rpc("ping", "{}"), tc.headers...); got.StatusCode != 404 {
			t.Errorf("%s: another user got %d %s", tc.name, got.StatusCode, got.body)
		}
	}
	for _, query := range []string{"sessionId=q1", "session_id=q1", "SessionID=q1"} {
		if got := s.asUser(t, "POST", "/messages?"+query, alice, rpc("ping", "{}")); got.StatusCode != 404 {
			t.Errorf("%s: got %d", query, got.StatusCode)
		}
	}
}

// A session that began without a token becomes that of the first user, at every Caddy on
// the storage.
func TestSessionTakeover(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Skip(err)
	}
	// Seen from here, the second storage is another one, with nothing kept in memory.
	one, two := serveOn(t, dir, frontDoor(issuer.Issuer(), "anonymous"), stateful), serveOn(t, link, frontDoor(issuer.Issuer(), "anonymous"), stateful)
	alice, bob := issuer.Mint(map[string]any{"sub": "alice"}), issuer.Mint(map[string]any{"sub": "bob"})
	early := one.begin(t, "")
	status := func(s *site, token string) int {
		return s.asUser(t, "GET", "/mcp", token, "", "Mcp-Session-Id", early).StatusCode
	}
	for _, s := range []*site{one, two} {
		if got := status(s, ""); got != 200 {
			t.Errorf("before: got %d", got)
		}
	}
	if got := one.asUser(t, "POST", "/mcp", alice, rpc("ping", "{}"), "Mcp-Session-Id", early); got.StatusCode != 200 || got.body != "s1||" || got.Header.Get("Mcp-Session-Id") != early {
		t.Errorf("the first user: got %d %s, %q", got.StatusCode, got.body, got.Header.Get("Mcp-Session-Id"))
	}
	for name, s := range map[string]*site{"here": one, "there": two, "after a reload": serveOn(t, dir, frontDoor(issuer.Issuer(), "anonymous"), stateful)} {
		if got := [3]int{status(s, bob), status(s, ""), status(s, alice)}; got != [3]int{404, 404, 200} {
			t.Errorf("%s: got %v", name, got)
		}
	}
	// The session of a user at one Caddy is that user's at the other.
	mine := two.begin(t, bob)
	for token, want := range map[string]int{bob: 200, alice: 404, "": 404} {
		if got := one.asUser(t, "DELETE", "/mcp", token, "", "Mcp-Session-Id", mine); got.StatusCode != want {
			t.Errorf("there: got %d, want %d", got.StatusCode, want)
		}
	}
	// Without the option, sessions that began before are taken over all the same.
	eager := serveOn(t, dir, frontDoor(issuer.Issuer(), ""), stateful)
	if got := [2]int{status(eager, bob), status(eager, alice)}; got != [2]int{404, 200} {
		t.Errorf("no longer anonymous: got %v", got)
	}
}

// serveOn is serve with a folder for the storage.
func serveOn(t *testing.T, dir, body string, behind next) *site {
	t.Helper()
	routes, err := adapt(body)
	if err != nil {
		t.Fatal(err)
	}
	c, err := provisionOn(t, dir, routes)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(c.handler(behind))
	t.Cleanup(server.Close)
	return &site{c, server}
}

// While the storage is away, no session is handed out or let in unbound; what has no
// session doesn't notice. When it is back, sessions work. After that, it may go.
func TestSessionsWithoutStorage(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, issuer *oauthtest.Server) {
		root := filepath.Join(t.TempDir(), "storage")
		if err := os.WriteFile(root, nil, 0o600); err != nil { // where a folder should be
			t.Fatal(err)
		}
		routes, err := adapt(frontDoor(issuer.Issuer(), ""))
		if err != nil {
			t.Fatal(err)
		}
		c, err := provisionOn(t, root, routes)
		if err != nil {
			t.Fatal(err)
		}
		alice := issuer.Mint(map[string]any{"sub": "alice", "exp": time.Now().Add(time.Hour).Unix()})
		events := func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Content-Type", "text/event-stream")
			_, err := io.WriteString(w, "id: 1\n\n")
			return err
		}
		proxy := func(w http.ResponseWriter, r *http.Request) error {
			if err := stateful(w, r); err != nil {
				panic(http.ErrAbortHandler)
			}
			return nil
		}
		ask := func(behind next, method, session string) (got *httptest.ResponseRecorder, aborted bool) {
			body := rpc("ping", "{}")
			if session == "new" {
				body, session = rpc("initialize", "{}"), ""
			}
			r := httptest.NewRequestWithContext(t.Context(), method, "/mcp", strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+alice)
			if session != "" {
				r.Header.Set("Mcp-Session-Id", session)
			}
			got = httptest.NewRecorder()
			defer func() { aborted = recover() != nil }()
			c.handler(behind).ServeHTTP(got, r)
			return got, false
		}
		for range 2 {
			for name, behind := range map[string]next{"a server": stateful, "a proxy": proxy} {
				got, aborted := ask(behind, "POST", "new")
				if got.Code != 503 || aborted || got.Header().Get("Retry-After") == "" || got.Header().Get("Mcp-Session-Id")+got.Header().Get("Set-Cookie") != "" || strings.Contains(got.Body.String(), "result") {
					t.Errorf("%s begins a session: got %d (%t) %v %s", name, got.Code, aborted, got.Header(), got.Body)
				}
			}
			if got, _ := ask(stateful, "POST", "s1.AAAAAAAAAAAAAAAAAAAAAA"); got.Code != 503 {
				t.Errorf("a session: got %d", got.Code)
			}
			if got, _ := ask(stateful, "POST", ""); got.Code != 200 || got.Body.String() != "||" {
				t.Errorf("no session: got %d %s", got.Code, got.Body)
			}
			if got, aborted := ask(events, "GET", ""); got.Body.Len() > 0 || !aborted {
				t.Errorf("a stream with ids: got %q, aborted %t", got.Body, aborted)
			}
		}
		if err := os.Remove(root); err != nil {
			t.Fatal(err)
		}
		if got, _ := ask(stateful, "POST", "new"); got.Code != 503 {
			t.Errorf("a moment later: got %d", got.Code)
		}
		time.Sleep(5 * time.Second)
		got, _ := ask(stateful, "POST", "new")
		mine := got.Header().Get("Mcp-Session-Id")
		if got.Code != 200 || mine == "" {
			t.Fatalf("the storage is back: got %d", got.Code)
		}
		if err := os.RemoveAll(root); err != nil {
			t.Fatal(err)
		}
		if c, err = provisionOn(t, root, routes); err != nil { // a reload
			t.Fatal(err)
		}
		if got, _ := ask(stateful, "DELETE", mine); got.Code != 200 {
			t.Errorf("the storage is away again: got %d %s", got.Code, got.Body)
		}
	})
}
