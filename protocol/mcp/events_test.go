package mcp_test

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

// stream filters parts, each with one Write.
func stream(limit int, parts ...string) (string, error) {
	var to bytes.Buffer
	events := (&mcp.Lists{Keep: visible, Max: limit}).Events(&to)
	for _, part := range parts {
		if n, err := events.Write([]byte(part)); err != nil || n != len(part) {
			return to.String(), err
		}
	}
	err := events.Close()
	return to.String(), err
}

func TestEvents(t *testing.T) {
	t.Parallel()
	list, filtered := result(`"tools":[{"name":"a"},{"name":"secret"}],"nextCursor":"c"`), result(`"tools":[{"name":"a"}],"nextCursor":"c"`)
	progress := `{"jsonrpc":"2.0","method":"notifications/progress","params":{"message":"tools"}}`
	for _, tc := range []struct{ name, text, want string }{
		{"a list", "event: message\nid: 7\ndata: " + list + "\n\n", "event: message\nid: 7\ndata: " + filtered + "\n\n"},
		{"a list without a type", "data:" + list + "\n\n", "data: " + filtered + "\n\n"},
		{"an empty type", "event:\ndata:" + list + "\n\n", "event:\ndata: " + filtered + "\n\n"},
		{"the id after the data", "data: " + list + "\nid: 7\nretry: 5\nx: y\n: z\n\n", "data: " + filtered + "\nid: 7\nretry: 5\nx: y\n: z\n\n"},
		{"CRLF", "id: 7\r\ndata: " + list + "\r\n\r\n", "id: 7\r\ndata: " + filtered + "\r\n\r\n"},
		{"CR", "id: 7\rdata: " + list + "\r\r", "id: 7\rdata: " + filtered + "\r\r"},
		{"byte order mark", "\ufeffdata: " + list + "\n\n", "\ufeffdata: " + filtered + "\n\n"},
		{"two byte order marks", "\ufeff\ufeffdata: " + list + "\n\n", "\ufeff\ufeffdata: " + filtered + "\n\n"},
		{"several lines", "data: {\"result\":\ndata:{\"tools\":[{\"name\":\"secret\"}]}\nid: 1\ndata: }\n\n", "data: {\"result\":\ndata: {\"tools\":[]}\ndata: }\nid: 1\n\n"},
		{"several events", "data: " + progress + "\n\ndata: " + list + "\n\ndata: " + progress + "\n\n", "data: " + progress + "\n\ndata: " + filtered + "\n\ndata: " + progress + "\n\n"},
		{"escaped names", "data: {\"r\\u0065sult\":{\"t\\u006fols\":[{\"name\":\"secret\"}]}}\n\n", "data: {\"r\\u0065sult\":{\"t\\u006fols\":[]}}\n\n"},
		{"of another type", "event: answer\ndata: " + list + "\n\n", "event: answer\ndata: " + filtered + "\n\n"},
		{"an array", "data: [" + list + "]\n\n", "data: [" + filtered + "]\n\n"},
		{"the end of the stream", "data: " + list + "\n", "data: " + filtered + "\n"},
		{"the end of the stream in a line", "data: " + list, "data: " + filtered},

		{"nothing", "", "same"},
		{"priming", "id: 1\ndata:\n\nid: 2\ndata: \n\nid:3\ndata\n\n", "same"},
		{"priming, of several lines", "id: 1\ndata:\ndata: \n\n", "same"},
		{"endpoint", "event: endpoint\ndata: /messages?sessionId=1\n\n", "same"},
		{"endpoint with the name of a list", "event: endpoint\ndata: /\"result\"/\"tools\"\n\n", "same"},
		{"broken JSON of another type", "event: log\ndata: {\"result\":{\"tools\":[\n\n", "same"},
		{"ping", "event: ping\ndata: now\n\n", "same"},
		{"comments", ": hello\n\n:\n: x\n", "same"},
		{"retry", "retry: 10\n\n", "same"},
		{"blank lines", "\n\r\n\r\n\n", "same"},
		{"progress", "event: message\ndata: " + progress + "\n\n", "same"},
		{"data as a later line", "data:\ndata: " + progress + "\n\n", "same"},
		{"fields that aren't data", "Data: " + list + "\n data: " + list + "\nid: " + list + "\n\n", "same"},
		{"an error", "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":1,\"message\":\"\"}}\n\n", "same"},
		{"a call's result", "data: " + result(`"content":[{"type":"text","text":"{\"tools\":[]}"}],"isError":false`) + "\n\n", "same"},
	} {
		want := tc.want
		if want == "same" {
			want = tc.text
		}
		if got, err := stream(1<<20, tc.text); err != nil || got != want {
			t.Errorf("%s: got %q, %v\nwant %q", tc.name, got, err, want)
		}
		// Wherever a text is cut, the stream is the same.
		for i := range tc.text {
			if got, err := stream(1<<20, tc.text[:i], tc.text[i:]); err != nil || got != want {
				t.Errorf("%s, cut at %d: got %q, %v\nwant %q", tc.name, i, got, err, want)
			}
		}
		if got, err := stream(1<<20, strings.Split(tc.text, "")...); err != nil || got != want {
			t.Errorf("%s, in bytes: got %q, %v\nwant %q", tc.name, got, err, want)
		}
	}
}

// An event is written as soon as it is complete, and comments earlier.
func TestEventsDontWait(t *testing.T) {
	t.Parallel()
	var to bytes.Buffer
	events := (&mcp.Lists{Keep: visible, Max: 1 << 20}).Events(&to)
	for _, step := range []struct{ text, want string }{
		{": hello\n", ": hello\n"},
		{"id: 1\ndata:\n\n", "id: 1\ndata:\n\n"},
		{"data: {", ""},
		{"}\n", ""},
		{"\n", "data: {}\n\n"},
		{"data: {}\r\n\r", "data: {}\r\n\r"},
		{"\n: x\r", "\n: x\r"},
		{"\ndata: {}\n\ndata: {}\n", "\ndata: {}\n\n"},
		{"\nretry: 1\n\nid", "data: {}\n\nretry: 1\n\n"},
	} {
		to.Reset()
		if _, err := events.Write([]byte(step.text)); err != nil || to.String() != step.want {
			t.Errorf("after %q: got %q, %v, want %q", step.text, to.String(), err, step.want)
		}
	}
}

func TestEventsRefuses(t *testing.T) {
	t.Parallel()
	list := result(`"tools":[{"name":"secret"}]`)
	for _, tc := range []struct {
		name, text string
		want       mcp.Rule
	}{
		{"text", "data: hello\n\n", mcp.Syntax},
		{"text as a message", "event: message\ndata: hello\n\n", mcp.Syntax},
		{"text whose type is another first", "event: ping\nevent: message\ndata: hello\n\n", mcp.Syntax},
		{"a string", "data: \"hello\"\n\n", mcp.Syntax},
		{"text with a list", "data: x " + list + "\n\n", mcp.Envelope},
		{"a broken list", "data: " + list + "}\n\n", mcp.Syntax},
		{"a list twice", "data: " + result(`"tools":[],"tools":[{"name":"secret"}]`) + "\n\n", mcp.Duplicate},
		{"a list twice, of another type", "event: x\ndata: " + result(`"tools":[],"tools":[{"name":"secret"}]`) + "\n\n", mcp.Duplicate},
		{"a byte order mark later", "data: {}\n\ndata: \ufeff{}\n\n", mcp.Syntax},
		{"a large list", "data: " + result(`"tools":[{"name":"secret","x":"`+strings.Repeat("x", 2000)+`"}]`) + "\n\n", mcp.Size},
		{"a list in a large event", "data: " + result(`"x":"`+strings.Repeat("x", 2000)+`","tools":[{"name":"secret"}]`) + "\n\n", mcp.Size},
		{"an escaped list in a large event", "data: " + result(`"x":"`+strings.Repeat("x", 2000)+`","t\u006fols":[{"name":"secret"}]`) + "\n\n", mcp.Size},
		{"at the end of the stream", "data: hello", mcp.Syntax},
	} {
		for name, parts := range map[string][]string{"whole": {"data: {}\n\n" + tc.text}, "in bytes": strings.Split("data: {}\n\n"+tc.text, "")} {
			got, err := stream(1000, parts...)
			if rule := ruleOf(t, err); rule != tc.want || strings.Contains(got, "secret") || strings.Contains(got, "hello") || !strings.HasPrefix(got, "data: {}\n\n") {
				t.Errorf("%s, %s: got %q, rule %q, want %q", tc.name, name, got, rule, tc.want)
			}
		}
	}
}

// An event that is too large to be judged passes while no list begins in it, and
// what follows is judged.
func TestEventsPassLargeEvents(t *testing.T) {
	t.Parallel()
	large := "id: 5\ndata: " + result(`"content":[{"type":"image","data":"`+strings.Repeat("x", 3000)+`"}]`)
	list, filtered := result(`"tools":[{"name":"secret"}]`), result(`"tools":[]`)
	for _, end := range []string{"\n", "\r\n", "\r"} {
		text := strings.ReplaceAll(large+"\n\ndata: "+list+"\n\n", "\n", end)
		want := strings.ReplaceAll(large+"\n\ndata: "+filtered+"\n\n", "\n", end)
		for _, size := range []int{1, 7, 999, 1001, 3000, len(large), len(large) + 1, len(large) + 2} {
			var parts []string
			for rest := text; rest != ""; {
				n := min(size, len(rest))
				parts, rest = append(parts, rest[:n]), rest[n:]
			}
			if got, err := stream(1000, parts...); err != nil || got != want {
				t.Errorf("line ends %q, parts of %d: got %q, %v", end, size, got, err)
			}
		}
	}
}

// failing is a writer whose connection is gone after some writes.
type failing struct{ left int }

var errGone = errors.New("gone")

func (f *failing) Write(p []byte) (int, error) {
	if f.left--; f.left < 0 {
		return 0, errGone
	}
	return len(p), nil
}

func TestEventsOfAWriterThatFails(t *testing.T) {
	t.Parallel()
	list := "data: " + result(`"tools":[{"name":"secret"}]`) + "\n\n"
	text := "data: {}\n\n" + list + "data: {}\n\n"
	for left := range 3 {
		events := (&mcp.Lists{Keep: visible, Max: 1000}).Events(&failing{left: left})
		if _, err := events.Write([]byte(text)); !errors.Is(err, errGone) {
			t.Errorf("after %d writes: got %v", left, err)
		}
		if _, err := events.Write([]byte(text)); !errors.Is(err, errGone) {
			t.Errorf("after %d writes: got %v the second time", left, err)
		}
		if err := events.Close(); !errors.Is(err, errGone) {
			t.Errorf("after %d writes: got %v from Close", left, err)
		}
	}
	events := (&mcp.Lists{Keep: visible, Max: 1000}).Events(io.Discard)
	if err := events.Close(); err != nil {
		t.Error(err)
	}
}

// event is an event as a client sees it.
type event struct{ id, kind, data string }

// parse reads a stream as the standard says, all at once.
func parse(text string) (list []event) {
	text = strings.TrimPrefix(text, "\ufeff")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	var e event
	hasData := false
	lines := strings.Split(text, "\n")
	for _, line := range lines[:len(lines)-1] {
		if line == "" {
			if hasData {
				e.data = strings.TrimSuffix(e.data, "\n")
				list = append(list, e)
			}
			e, hasData = event{id: e.id}, false
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.kind = value
		case "data":
			e.data += value + "\n"
			hasData = true
		}
	}
	return list
}

func FuzzEvents(f *testing.F) {
	list := result(`"tools":[{"name":"a"},{"name":"secret"}]`)
	for _, seed := range []string{"data: " + list + "\n\n", "id: 1\r\ndata:\r\n\r\n: x\r\ndata: {\"result\":\r\ndata: {\"tools\":[{\"name\":\"secret\"}]}}\r\n\r\n", "\ufeffdata: {}\r\rdata: " + list + "\r\r", "event: x\ndata: " + list + "\n\n", "event: message\ndata: x\n\n"} {
		for _, size := range []uint8{1, 3, 200} {
			f.Add(seed, size)
		}
	}
	f.Fuzz(func(t *testing.T, text string, size uint8) {
		whole, wholeErr := stream(1<<20, text)
		var parts []string
		for rest := text; rest != ""; {
			n := min(int(size)+1, len(rest))
			parts, rest = append(parts, rest[:n]), rest[n:]
		}
		if got, err := stream(1<<20, parts...); got != whole || (err == nil) != (wholeErr == nil) {
			t.Fatalf("%q: got %q, %v, in parts of %d %q, %v", text, whole, wholeErr, size, got, err)
		}
		got, want := parse(whole), parse(text)
		if wholeErr != nil {
			want = want[:min(len(got), len(want))]
		}
		if len(got) != len(want) {
			t.Fatalf("%q: got %q", text, whole)
		}
		for i := range want {
			wanted, wantErr := decode([]byte(want[i].data))
			have, haveErr := decode([]byte(got[i].data))
			if strings.TrimSpace(want[i].data) == "" || wantErr != nil || haveErr != nil || !isMessage(wanted) {
				if got[i] != want[i] {
					t.Errorf("%q: got %q, want %q", text, got[i], want[i])
				}
				continue
			}
			before, _ := decode([]byte(want[i].data))
			wanted = naive(wanted)
			if !reflect.DeepEqual(without(have), without(wanted)) || reflect.DeepEqual(before, wanted) && got[i] != want[i] || got[i].id != want[i].id || got[i].kind != want[i].kind {
				t.Errorf("%q: got %q, want %q", text, got[i], wanted)
			}
		}
	})
}

func isMessage(v any) bool {
	switch v.(type) {
	case []any, map[string]any:
		return true
	}
	return false
}

// without takes out what naive always adds and the stream only changes.
func without(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = without(v[i])
		}
	case map[string]any:
		if result, ok := v["result"].(map[string]any); ok {
			delete(result, "cacheScope")
			delete(result, "ttlMs")
		}
	}
	return v
}
