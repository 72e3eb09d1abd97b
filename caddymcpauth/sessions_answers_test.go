package caddymcpauth_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// What isn't about sessions passes as it is.
func TestSessionsLeaveAnswersAlone(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	token := issuer.Mint(nil)
	const modern, old = "2026-07-28", "2025-11-25"
	stream := "id: 1\ndata: x\n\n"
	var encodings []string
	for _, tc := range []struct {
		name, version string
		header        []string // of the answer
		body          string
		same          bool
	}{
		{"JSON", old, []string{"Content-Type", "application/json", "Content-Length", fmt.Sprint(len(stream))}, stream, true},
		{"a text", old, []string{"Content-Type", "text/plain"}, stream, true},
		{"a type that begins alike", old, []string{"Content-Type", "text/event-streams"}, stream, true},
		{"a compressed stream", old, []string{"Content-Type", "text/event-stream", "Content-Encoding", "zip"}, stream, true},
		{"a stream of a revision without sessions", modern, []string{"Content-Type", "text/event-stream"}, stream, true},
		{"a stream", old, []string{"Content-Type", "text/event-stream"}, stream, false},
		{"a stream with a length", old, []string{"Content-Type", "text/event-stream;charset=utf-8", "Content-Length", fmt.Sprint(len(stream))}, stream, false},
		{"a stream of no revision", "", []string{"Content-Type", "Text/Event-Stream"}, stream, false},
	} {
		s := serve(t, frontDoor(issuer.Issuer(), ""), func(w http.ResponseWriter, r *http.Request) error {
			encodings = append(encodings, r.Header.Get("Accept-Encoding"))
			for i := 0; i < len(tc.header); i += 2 {
				w.Header().Set(tc.header[i], tc.header[i+1])
			}
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusOK)
			_, err := io.Copy(w, strings.NewReader(tc.body))
			return err
		})
		got := s.asUser(t, "POST", "/mcp", token, rpc("ping", "{}"), "Mcp-Protocol-Version", tc.version, "Accept-Encoding", "zip")
		if (got.body == tc.body) != tc.same || got.StatusCode != 200 {
			t.Errorf("%s: got %d %q", tc.name, got.StatusCode, got.body)
		}
	}
	for _, encoding := range encodings {
		if encoding != "zip" {
			t.Errorf("without a session, the server is asked for %q", encoding)
		}
	}
	// What is in a session has to be read.
	encoding := ""
	s := serve(t, frontDoor(issuer.Issuer(), ""), func(w http.ResponseWriter, r *http.Request) error {
		encoding = r.Header.Get("Accept-Encoding")
		return stateful(w, r)
	})
	mine := s.begin(t, token)
	for _, method := range []string{"POST", "GET"} {
		s.asUser(t, method, "/mcp", token, rpc("ping", "{}"), "Mcp-Session-Id", mine, "Accept-Encoding", "zip", "Mcp-Protocol-Version", modern)
		if encoding != "identity" {
			t.Errorf("%s in a session: the server is asked for %q", method, encoding)
		}
	}
	// The revision doesn't open another user's session.
	if got := s.asUser(t, "POST", "/mcp", issuer.Mint(map[string]any{"sub": "bob"}), rpc("ping", "{}"), "Mcp-Session-Id", mine, "Mcp-Protocol-Version", modern); got.StatusCode != 404 {
		t.Errorf("another user of a revision without sessions: got %d", got.StatusCode)
	}
}

// Events are not delayed, and neither are headers.
func TestSessionsDontDelayEvents(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	next := make(chan string)
	s := serve(t, frontDoor(issuer.Issuer(), "tools *"), func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Type", "text/event-stream")
		control := http.NewResponseController(w)
		if err := control.Flush(); err != nil { // before a status
			return err
		}
		for text := range next {
			if _, err := io.WriteString(w, text); err != nil {
				return err
			}
			if err := control.Flush(); err != nil {
				return err
			}
		}
		return nil
	})
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/mcp", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+issuer.Mint(nil))
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for _, text := range []string{": hello\n", "id: 1\ndata:\n\n", "data: {}\n\n", "event: endpoint\ndata: ?sessionId=1\n\n"} {
		next <- text
		for want := range strings.Lines(text) {
			line, err := lines.ReadString('\n')
			if err != nil || !strings.HasPrefix(line, strings.TrimSuffix(want, "\n")) {
				t.Errorf("after %q: got %q, %v", text, line, err)
			}
		}
	}
	close(next)
}

// Two doors in a row each take their own tag off.
func TestSessionsBehindTwoDoors(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	inner := serve(t, frontDoor(issuer.Issuer(), ""), stateful)
	outer := serve(t, frontDoor(issuer.Issuer(), "forward_token"), func(w http.ResponseWriter, r *http.Request) error {
		inner.config.handler(stateful).ServeHTTP(w, r)
		return nil
	})
	token := issuer.Mint(nil)
	mine := outer.begin(t, token)
	if got := outer.asUser(t, "GET", "/mcp", token, "", "Mcp-Session-Id", mine); got.body != "s1||" || strings.Count(mine, ".") != 2 || got.Header.Get("Mcp-Session-Id") != mine {
		t.Errorf("got %q for %q", got.body, mine)
	}
}

// With `sessions off` everything passes as it is.
func TestSessionsOff(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	s := serve(t, frontDoor(issuer.Issuer(), "sessions off"), stateful)
	got := s.asUser(t, "POST", "/mcp", issuer.Mint(nil), rpc("initialize", "{}"))
	if id := got.Header.Get("Mcp-Session-Id"); id != "s1" {
		t.Errorf("got %q", id)
	}
	got = s.asUser(t, "POST", "/mcp?sessionId=q", issuer.Mint(nil), rpc("ping", "{}"), "Mcp-Session-Id", "s", "Last-Event-Id", "e")
	if got.body != "s|e|sessionId=q" {
		t.Errorf("got %q", got.body)
	}
	for _, value := range []string{"on", "no"} {
		if _, err := provision(t, json.RawMessage(`[{"handle":[{"handler":"mcp_auth_guard"},{"handler":"mcp_auth","resource":"`+testResource+`","issuers":[{"issuer":"`+issuer.Issuer()+`"}],"sessions":"`+value+`"}]}]`)); err == nil || !strings.Contains(err.Error(), "can only be bound or off") {
			t.Errorf("%s: got %v", value, err)
		}
	}
}

func TestExplainSessions(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	for options, want := range map[string]string{"": "sessions            bound", "sessions bound": "sessions            bound", "sessions off": "sessions            off"} {
		_, out, _ := explain(t, "http://mcp.example.com {\n"+frontDoor(issuer.Issuer(), options)+"\n}\n", issuer.Mint(nil))
		if !strings.Contains(out, want) {
			t.Errorf("%q: got\n%s\nwant in it %q", options, out, want)
		}
	}
}
