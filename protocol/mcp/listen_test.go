package mcp_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

// The result is the one of the schema, with the id as it came.
func TestListenResult(t *testing.T) {
	t.Parallel()
	for _, id := range []string{`1`, `-9007199254740993`, `"listen-1"`, `"\u000a\" é"`} {
		event := string(mcp.ListenResult(json.RawMessage(id)))
		data, ok := strings.CutPrefix(event, "data: ")
		data, ends := strings.CutSuffix(data, "\n\n")
		if !ok || !ends || strings.ContainsAny(data, "\r\n") {
			t.Errorf("%s: got %q, want one event of one line", id, event)
		}
		want := `{"jsonrpc":"2.0","id":` + id + `,"result":{"_meta":{"io.modelcontextprotocol/subscriptionId":` + id + `},"resultType":"complete"}}`
		if !reflect.DeepEqual(decoded(t, data), decoded(t, want)) {
			t.Errorf("%s: got %s, want %s", id, data, want)
		}
		if m, err := mcp.ReadEvent([]byte(event)); err != nil || m.Form != mcp.Response || string(m.ID) != id {
			t.Errorf("%s: read as %+v, %v", id, m, err)
		}
	}
}

func decoded(t *testing.T, text string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func TestReadEvent(t *testing.T) {
	t.Parallel()
	const notification = `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`
	const result = `{"jsonrpc":"2.0","id":1,"result":{}}`
	for _, tc := range []struct{ name, event, want string }{
		{"notification", "data: " + notification + "\n\n", "notification"},
		{"result", "data: " + result + "\n\n", "response"},
		{"error", `data: {"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no"}}` + "\n\n", "response"},
		{"without a blank", "data:" + result + "\n\n", "response"},
		{"with an id and a type", "id: 7\nevent: message\ndata: " + result + "\n\n", "response"},
		{"in two lines", "data: {\"jsonrpc\":\"2.0\",\ndata: \"id\":1,\"result\":{}}\n\n", "response"},
		{"carriage returns", "event: message\r\ndata: " + result + "\r\n\r\n", "response"},
		{"behind a comment", ": ping\ndata: " + result + "\n\n", "response"},

		{"comment", ": ping\n", "none"},
		{"empty line", "\n", "none"},
		{"no data", "id: 1\nretry: 5\n\n", "none"},
		{"empty data", "id: 1\ndata:\n\n", "none"},
		{"blank data", "data: \ndata:  \n\n", "none"},
		{"another type", "event: ping\ndata: " + result + "\n\n", "none"},
		{"field of a similar name", "datum: " + result + "\n\n", "none"},

		{"not JSON", "data: hello\n\n", "syntax"},
		{"cut off", "data: {\"jsonrpc\":\"2.0\",\"id\":1\n\n", "syntax"},
		{"batch", "data: [" + result + "]\n\n", "batch"},
		{"ambiguous", `data: {"jsonrpc":"2.0","id":1,"id":2,"result":{}}` + "\n\n", "duplicate"},
		{"result without an id", `data: {"jsonrpc":"2.0","result":{}}` + "\n\n", "id"},
	} {
		got := "none"
		m, err := mcp.ReadEvent([]byte(tc.event))
		if refused, ok := errors.AsType[*mcp.Error](err); ok {
			got = string(refused.Rule)
		} else if m != nil {
			got = map[mcp.Form]string{mcp.Request: "request", mcp.Notification: "notification", mcp.Response: "response"}[m.Form]
		}
		if got != tc.want {
			t.Errorf("%s: got %s (%v), want %s", tc.name, got, err, tc.want)
		}
	}
}

// Whatever is read is one JSON object that another reader finds in the event, too.
func FuzzReadEvent(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte("data: " + seed + "\n\n"))
	}
	f.Add([]byte("id: 1\nevent: message\r\ndata: {\"jsonrpc\":\"2.0\",\rdata:\"id\":1,\"result\":{}}\n\n"))
	f.Fuzz(func(t *testing.T, event []byte) {
		m, err := mcp.ReadEvent(event)
		if err != nil || m == nil {
			return
		}
		var data []string
		for line := range strings.SplitSeq(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(event)), "\n") {
			if name, value, _ := strings.Cut(line, ":"); name == "data" {
				data = append(data, strings.TrimPrefix(value, " "))
			}
		}
		var lenient struct{ Method string }
		if err := json.Unmarshal([]byte(strings.Join(data, "\n")), &lenient); err != nil || lenient.Method != m.Method {
			t.Errorf("%q: got the method %q, a lenient reader %q, %v", event, m.Method, lenient.Method, err)
		}
	})
}
