package mcp_test

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

func BenchmarkRead(b *testing.B) {
	for name, body := range map[string]string{
		"1KB":            call(`{"name":"x","arguments":{"path":"/a/b","text":"` + strings.Repeat("lorem ipsum ", 75) + `","n":1}}`),
		"100KB":          call(`{"name":"x","arguments":{"rows":[` + strings.Repeat(`{"id":12345,"name":"someone","tags":["a","b"],"ok":true},`, 1800) + `null]}}`),
		"4MB":            call(`{"name":"x","arguments":{"text":"` + strings.Repeat("x", 4<<20) + `"}}`),
		"4MB escaped":    call(`{"name":"x","arguments":{"text":"` + strings.Repeat(`line\n`, 4<<20/6) + `"}}`),
		"4MB of UTF-8":   call(`{"name":"x","arguments":{"text":"` + strings.Repeat("日本語", 4<<20/9) + `"}}`),
		"400,000 names":  call(`{"name":"x","arguments":{` + members(400000) + `}}`),
		"odd names":      call(`{"name":"x",` + oddMembers(30000) + `}`),
		"4MB of objects": call(`{"name":"x","arguments":{"a":[` + strings.Repeat(`{},`, 4<<20/3) + `{}]}}`),
	} {
		b.Run(name, func(b *testing.B) {
			raw := []byte(body)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := mcp.Read(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// oddMembers are names that have to be folded.
func oddMembers(n int) string {
	var s strings.Builder
	for i := range n {
		fmt.Fprintf(&s, `,"é%d":0`, i)
	}
	return s.String()[1:]
}

func BenchmarkFilter(b *testing.B) {
	var tools strings.Builder
	for i := range 300 {
		fmt.Fprintf(&tools, `,{"name":"tool_%d","description":"%s","inputSchema":{"type":"object","properties":{"a":{"type":"string","description":"x"},"b":{"type":"integer"}},"required":["a"]}}`, i, strings.Repeat("does something ", 10))
	}
	text := result(`"tools":[` + tools.String()[1:] + `]`)
	body := make([]byte, len(text))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	lists := &mcp.Lists{Max: 1 << 20, Keep: func(_ mcp.Kind, name string, _ bool, _ json.RawMessage) bool { return name[len(name)-1] != '7' }}
	for b.Loop() {
		copy(body, text) // which is changed
		if _, _, err := lists.Filter(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEvents(b *testing.B) {
	text := []byte("event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":1,\"progress\":5,\"message\":\"halfway there\"}}\n\n")
	events := (&mcp.Lists{Keep: visible, Max: 1 << 20}).Events(io.Discard)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := events.Write(text); err != nil {
			b.Fatal(err)
		}
	}
}
