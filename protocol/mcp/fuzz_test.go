package mcp_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

// seeds are texts near the rules.
var seeds = []string{
	`{}`, `[]`, `""`, `null`, `-0.5e+10`, `{"a":{"a":[1,{"b":null}]}}`, `{"a":1,"\u0061":2}`, `{"a":1}{}`, "{\"\xff\":0}", `"\ud83d\ude00"`, `"\ud83d"`,
	`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"a":1},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`,
	`{"jsonrpc":"2.0","id":"a","method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"x"}}}`,
	`{"jsonrpc":"2.0","id":"a","method":"resources/read","params":{"uri":"file:///a","Uri":"x"}}`,
	`{"jsonrpc":"2.0","method":"notifications/x"}`, `{"jsonrpc":"2.0","id":1,"result":{}}`, "\"" + strings.Repeat("x", 20) + "\x7fé\\n\"", `{"a":1e400}`,
}

// jsontext is strict in the same things, except for the depth and NUL in names.
func FuzzScan(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		rule := mcp.Scan(text)
		dec := jsontext.NewDecoder(bytes.NewReader(text))
		value, err := dec.ReadValue()
		value = value.Clone()
		if err == nil {
			if _, more := dec.ReadToken(); !errors.Is(more, io.EOF) {
				err = errors.New("more")
			}
		}
		if rule == mcp.Depth || rule == mcp.Variant && bytes.Contains(text, []byte(`\u0000`)) {
			return
		}
		if (rule == "") != (err == nil) {
			t.Fatalf("%q: got %q, jsontext says %v", text, rule, err)
		}
		if rule != "" {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("%q: accepted, encoding/json says it is invalid", text)
		}
		if value.Kind() != '"' {
			return
		}
		var want string
		if err := json.Unmarshal(value, &want); err != nil {
			t.Fatal(err)
		}
		if got := mcp.Unquote(value); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	})
}

// A careless reader finds in a message what was read here.
func FuzzRead(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := mcp.Read(body)
		if err != nil {
			if m != nil {
				t.Error("a message and an error")
			}
			return
		}
		// encoding/json takes names in any letter case.
		var lenient struct {
			ID     json.RawMessage
			Method string
			Params struct {
				Name, URI, TaskID json.RawMessage
				Arguments         json.RawMessage
				Ref               struct{ Type, Name, URI json.RawMessage }
				Notifications     struct{ ResourceSubscriptions json.RawMessage }
			}
		}
		err = json.Unmarshal(body, &lenient)
		known := m.Kind != mcp.NoKind
		var typed *json.UnmarshalTypeError
		if errors.As(err, &typed) && !known {
			return // ref and notifications mean nothing in other methods
		}
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if lenient.Method != m.Method || string(lenient.ID) != string(m.ID) {
			t.Errorf("%q: got %s %s, a lenient reader %s %s", body, m.Method, m.ID, lenient.Method, lenient.ID)
		}
		if m.Arguments != nil && m.Method != "" && string(lenient.Params.Arguments) != string(m.Arguments) {
			t.Errorf("%q: got arguments %s, a lenient reader %s", body, m.Arguments, lenient.Params.Arguments)
		}
		p := lenient.Params
		raw := map[string]json.RawMessage{
			"tools/call": p.Name, "prompts/get": p.Name, "resources/read": p.URI, "resources/subscribe": p.URI, "resources/unsubscribe": p.URI,
			"tasks/get": p.TaskID, "tasks/cancel": p.TaskID,
		}[m.Method]
		if m.Method == "completion/complete" {
			raw = p.Ref.Name
			if m.Kind == mcp.Resource {
				raw = p.Ref.URI
			}
		}
		if raw == nil {
			return
		}
		var name string
		if err := json.Unmarshal(raw, &name); err != nil || name != m.Name {
			t.Errorf("%q: got the name %q, a lenient reader %s", body, m.Name, raw)
		}
	})
}
