package session_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/storetest"
)

// written returns what the client gets of a stream that the server sends in parts.
func (g got) written(t testing.TB, parts ...string) string {
	t.Helper()
	var to bytes.Buffer
	events := g.Events(t.Context(), &to)
	for _, part := range parts {
		if n, err := events.Write([]byte(part)); err != nil || n != len(part) {
			t.Fatalf("got %d, %v", n, err)
		}
	}
	_ = events.Close()
	return to.String()
}

func TestEvents(t *testing.T) {
	t.Parallel()
	s := newServer("key", storetest.New())
	mine := s.begin(t, alice, "s")
	tag := func(id string) string { return s.eventID(t, alice, mine, id) }
	endpoint := func(id string) string {
		text := s.stream(t, alice, "-", "event: endpoint\ndata: ?sessionId="+id+"\n\n")
		return strings.TrimSuffix(strings.TrimPrefix(text, "event: endpoint\ndata: ?sessionId="), "\n\n")
	}
	const data = `data: {"jsonrpc":"2.0","method":"notifications/x","params":{"id": 7}}` + "\n"
	for _, tc := range []struct{ name, text, want string }{
		{"an event", "event: message\nid: 7\n" + data + "\n", "event: message\nid: " + tag("7") + "\n" + data + "\n"},
		{"priming", "id: 7\ndata:\n\n", "id: " + tag("7") + "\ndata:\n\n"},
		{"priming with retry", "retry: 5\nid:7\ndata\n\n", "retry: 5\nid: " + tag("7") + "\ndata\n\n"},
		{"the id after the data", data + "id: 7\n\n", data + "id: " + tag("7") + "\n\n"},
		{"several events", "id: 1\n\nid: 2\n\n" + data + "\nid: 3\n\n", "id: " + tag("1") + "\n\nid: " + tag("2") + "\n\n" + data + "\nid: " + tag("3") + "\n\n"},
		{"two ids in one event", "id: 1\nid: 2\n\n", "id: " + tag("1") + "\nid: " + tag("2") + "\n\n"},
		{"CRLF", "id: 7\r\n" + data + "\r\n", "id: " + tag("7") + "\r\n" + data + "\r\n"},
		{"CR", "id: 7\r\rid: 8\r\r", "id: " + tag("7") + "\r\rid: " + tag("8") + "\r\r"},
		{"a byte order mark", "\ufeffid: 7\n\n", "\ufeffid: " + tag("7") + "\n\n"},
		{"odd characters", "id: ä=;\t:%\"\n\n", "id: " + tag("ä=;\t:%\"") + "\n\n"},
		{"blanks around", "id:  7 \n\n", "id: " + tag(" 7 ") + "\n\n"},
		{"dots", "id: a.b.\n\n", "id: " + tag("a.b.") + "\n\n"},
		{"what looks tagged", "id: 7.AAAAAAAAAAAAAAAAAAAAAA\n\n", "id: " + tag("7.AAAAAAAAAAAAAAAAAAAAAA") + "\n\n"},
		{"cut off by the end", "id: 7\n" + data, "id: " + tag("7") + "\n" + data},
		{"cut off in a line", data + "id: 7", data + "id: " + tag("7")},
		{"after a comment", ": x\nid: 7\n\n", ": x\nid: " + tag("7") + "\n\n"},
		{"large data after the id", "id: 7\ndata: " + strings.Repeat("x", 200_000) + "\n\nid: 8\n\n", "id: " + tag("7") + "\ndata: " + strings.Repeat("x", 200_000) + "\n\nid: " + tag("8") + "\n\n"},
		{"many lines after the id", "id: 7\n" + strings.Repeat(data, 2000) + "\nid: 8\n\n", "id: " + tag("7") + "\n" + strings.Repeat(data, 2000) + "\nid: " + tag("8") + "\n\n"},

		{"endpoint", "event: endpoint\ndata: /messages?sessionId=abc\n\n", "event: endpoint\ndata: /messages?sessionId=" + endpoint("abc") + "\n\n"},
		{"endpoint of the Python SDK", "event: endpoint\r\ndata: /messages/?session_id=abc\r\n\r\n", "event: endpoint\r\ndata: /messages/?session_id=" + endpoint("abc") + "\r\n\r\n"},
		{"endpoint, absolute, with more", "event:endpoint\ndata:https://h/m?a=b&sessionId=a%20b&c=d#f\n\n", "event:endpoint\ndata: https://h/m?a=b&sessionId=" + endpoint("a+b") + "&c=d#f\n\n"},
		{"endpoint, the type last", "data: ?sessionid=abc\nevent: endpoint\n\n", "data: ?sessionid=" + endpoint("abc") + "\nevent: endpoint\n\n"},
		{"endpoint with an id", "id: 1\nevent: endpoint\ndata: ?sessionId=abc\n\n", "id: " + tag("1") + "\nevent: endpoint\ndata: ?sessionId=" + endpoint("abc") + "\n\n"},
		{"endpoint with two", "event: endpoint\ndata: ?sessionId=a&session_id=b\n\n", "event: endpoint\ndata: ?sessionId=" + endpoint("a") + "&session_id=" + endpoint("b") + "\n\n"},

		{"nothing", "", "same"},
		{"no id", "event: message\n" + data + "\n", "same"},
		{"an empty id", "id\n\nid:\n\nid: \n\n", "same"},
		{"an id with a NUL", "id: a\x00b\n\n", "same"},
		{"other fields", "Id: 7\n id: 7\nids: 7\nidx\n:id: 7\ndata: id: 7\n\n", "same"},
		{"comments", ": id: 7\n\n:\n", "same"},
		{"an endpoint without a session", "event: endpoint\ndata: /messages\n\nevent: endpoint\ndata: /m?a=b\n\n", "same"},
		{"an endpoint with a broken escape", "event: endpoint\ndata: ?sessionId=%zz\n\n", "same"},
		{"an endpoint without a value", "event: endpoint\ndata: ?sessionId\n\n", "same"},
		{"another type", "event: message\ndata: ?sessionId=abc\n\nevent: endpoints\ndata: ?sessionId=abc\n\n", "same"},
		{"a type that doesn't last", "event: endpoint\nevent: message\ndata: ?sessionId=abc\n\n", "same"},
	} {
		want := tc.want
		if want == "same" {
			want = tc.text
		}
		g := s.ask(t, alice, mine, "-", "")
		if got := g.written(t, tc.text); got != want {
			t.Errorf("%s: got %.300q, want %.300q", tc.name, got, want)
		}
		if len(tc.text) > 1000 {
			continue
		}
		if got := g.written(t, strings.Split(tc.text, "")...); got != want && tc.text != "" {
			t.Errorf("%s, byte by byte: got %q, want %q", tc.name, got, want)
		}
		for i := range len(tc.text) {
			if got := g.written(t, tc.text[:i], tc.text[i:]); got != want {
				t.Errorf("%s, in two parts at %d: got %q, want %q", tc.name, i, got, want)
			}
		}
	}
}

// Of an event that is too large to be held, what comes first is tagged.
func TestLargeEvents(t *testing.T) {
	t.Parallel()
	s := newServer("key", storetest.New())
	mine := s.begin(t, alice, "s")
	tagged := s.eventID(t, alice, mine, "7")
	large := strings.Repeat("x", 100_000)
	for _, tc := range []struct {
		name  string
		parts []string
		want  string
	}{
		{"the id first", []string{"id: 7\ndata: " + large, large, "\n\nid: 7\n\n"}, "id: " + tagged + "\ndata: " + large + large + "\n\nid: " + tagged + "\n\n"},
		{"CRLF", []string{"id: 7\r\ndata: " + large + "\r", "\n\r", "\nid: 7\r\n\r\n"}, "id: " + tagged + "\r\ndata: " + large + "\r\n\r\nid: " + tagged + "\r\n\r\n"},
		{"lines", []string{"id: 7\n", strings.Repeat("data: x\n", 10_000), "data: x\n", "\nid: 7\n\n"}, "id: " + tagged + "\n" + strings.Repeat("data: x\n", 10_001) + "\nid: " + tagged + "\n\n"},
		{"the id last", []string{"data: " + large, "\nid: 7\n", "\nid: 7\n\n"}, "data: " + large + "\nid: 7\n\nid: " + tagged + "\n\n"},
		{"the id cut by the limit", []string{"data: " + large + "\ni", "d: 7\n\nid: 7\n\n"}, "data: " + large + "\nid: 7\n\nid: " + tagged + "\n\n"},
	} {
		if got := s.ask(t, alice, mine, "-", "").written(t, tc.parts...); got != tc.want {
			t.Errorf("%s: got %d bytes, ending in %.100q, want %d", tc.name, len(got), got[max(0, len(got)-100):], len(tc.want))
		}
	}
}

// The answer that begins a session has events of that session.
func TestEventsOfANewSession(t *testing.T) {
	t.Parallel()
	s := newServer("key", storetest.New())
	g := s.ask(t, nobody, "-", "-", "")
	early, _, err := g.Session(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	event := strings.TrimSuffix(strings.TrimPrefix(g.written(t, "id: 1\n\n"), "id: "), "\n\n")
	if g := s.ask(t, nobody, early, event, ""); g.err != nil || g.event != "1" {
		t.Errorf("got %q, %v", g.event, g.err)
	}
	// Without a session, nobody's events can't be resumed from.
	if got := s.ask(t, nobody, "-", "-", "").written(t, "id: 1\n\n"); got != "id: 1\n\n" {
		t.Errorf("without a session: got %q", got)
	}
}

// FuzzEvents checks that a stream keeps everything but its handles, however it is cut.
func FuzzEvents(f *testing.F) {
	f.Add("event: endpoint\ndata: /m?sessionId=1\n\nid: 7\ndata: x\n\n", uint16(9))
	f.Add("\ufeffid:\r\rid: \x00\n\n:\nid", uint16(3))
	s := newServer("key", storetest.New())
	f.Fuzz(func(t *testing.T, text string, at uint16) {
		g := s.ask(t, alice, "-", "-", "")
		whole := g.written(t, text)
		cut := min(int(at), len(text))
		if parts := g.written(t, text[:cut], text[cut:]); parts != whole {
			t.Errorf("in two parts at %d: got %q, want %q", cut, parts, whole)
		}
		without := func(text string) (kept []string) {
			for _, line := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
				line = strings.TrimLeft(line, "\ufeff")
				if !strings.HasPrefix(line, "id:") && !strings.HasPrefix(line, "data:") {
					kept = append(kept, line)
				}
			}
			return kept
		}
		if got, want := strings.Join(without(whole), "\n"), strings.Join(without(text), "\n"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if strings.Count(whole, "\n") != strings.Count(text, "\n") || strings.Count(whole, "\r") != strings.Count(text, "\r") {
			t.Errorf("%q: got %q", text, whole)
		}
	})
}
