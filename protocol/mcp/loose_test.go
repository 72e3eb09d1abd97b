package mcp_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

// loose are lists for answers to other requests than for a list.
func loose(limit int) *mcp.Lists { return &mcp.Lists{Keep: visible, Max: limit, Loose: true} }

func TestLoose(t *testing.T) {
	t.Parallel()
	list, filtered := result(`"tools":[{"name":"a"},{"name":"secret"}]`), result(`"tools":[{"name":"a"}]`)
	for _, tc := range []struct{ name, body, want string }{
		{"a list", list, filtered},
		{"a list among others", "[" + result(`"content":[]`) + "," + list + "]", "[" + result(`"content":[]`) + "," + filtered + "]"},
		{"an escaped list", `{"r\u0065sult":{"\u0074ools":[{"name":"secret"}]}}`, `{"r\u0065sult":{"\u0074ools":[]}}`},
		{"prompts", result(`"prompts":[{"name":"secret"}]`), result(`"prompts":[]`)},
		{"resources", result(`"resources":[{"uri":"secret:x"}]`), result(`"resources":[]`)},
		{"templates", result(`"resourceTemplates":[{"uriTemplate":"secret:{x}"}]`), result(`"resourceTemplates":[]`)},

		// What strict readers refuse, and what has nothing to filter.
		{"a call's result", result(`"content":[{"type":"text","text":"the \"tools\" of \"resources\""}]`), "same"},
		{"half a surrogate pair", result(`"content":[{"type":"text","text":"\ud83d"}],"structuredContent":{"tools":["\udc00"]}`), "same"},
		{"half of one in a name", result(`"structuredContent":{"tools":[],"\ud83d":1,"\ud83d\u0041":2}`), "same"},
		{"half of one at the end of a name", result(`"structuredContent":{"tools":[],"x\udc00":1,"\ud83dx":1}`), "same"},
		{"Latin-1", result("\"structuredContent\":{\"tools\":[\"\xe9\"]}"), "same"},
		{"a name twice", result(`"structuredContent":{"resources":1,"resources":2}`), "same"},
		{"150 levels", result(`"structuredContent":{"tools":` + nested(150) + `}`), "same"},
		{"a byte order mark", "\ufeff" + result(`"structuredContent":{"tools":[]}`), "same"},
		{"an escaped letter", result(`"content":[{"type":"text","text":"\u0041"}]`), "same"},
		{"capabilities", result(`"capabilities":{"tools":{}},"tools":{}`), "same"},
		{"no JSON", "<html>", "same"},
		{"nothing", "", "same"},
		{"larger than may be, and no list", result(`"structuredContent":{"tools":"` + strings.Repeat("x", 3000) + `"}`), "same"},
		{"an error", `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"result","data":{"tools":[{"name":"secret"}]}}}`, "same"},
	} {
		want := tc.want
		if want == "same" {
			want = tc.body
		}
		got, changed, err := loose(2000).Filter([]byte(tc.body))
		if err != nil || string(got) != want || changed != (want != tc.body) {
			t.Errorf("%s: got  %s, changed %t, %v\nwant %s", tc.name, got, changed, err, want)
		}
		if tc.body == "" || strings.HasPrefix(tc.body, "\ufeff") {
			continue // no event, or one with another beginning
		}
		var to bytes.Buffer
		events := loose(4000).Events(&to)
		if _, err := events.Write([]byte("data: " + tc.body + "\n\n")); err != nil || to.String() != "data: "+want+"\n\n" {
			t.Errorf("%s, as an event: got %s, %v\nwant %s", tc.name, to.String(), err, want)
		}
	}
}

// What may hold a list for some reader is refused.
func TestLooseRefuses(t *testing.T) {
	t.Parallel()
	list := result(`"tools":[{"name":"secret"}]`)
	for _, tc := range []struct {
		name, body string
		want       mcp.Rule
	}{
		{"NaN, which Python reads", result(`"x":NaN,"tools":[{"name":"secret"}]`), mcp.Syntax},
		{"a comment", result(`/**/"tools":[{"name":"secret"}]`), mcp.Syntax},
		{"data before a list", "x " + list, mcp.Envelope},
		{"data after a list", list + "x", mcp.Syntax},
		{"cut", list[:len(list)-1], mcp.Syntax},
		{"a list twice", result(`"tools":[],"tools":[{"name":"secret"}]`), mcp.Duplicate},
		{"a list and another result", `{"result":{"tools":[{"name":"secret"}]},"result":{}}`, mcp.Duplicate},
		{"another result and a list", `{"result":{},"r\u0065sult":{"tools":[{"name":"secret"}]}}`, mcp.Duplicate},
		{"a list with half a surrogate pair", result(`"tools":[{"name":"\ud83d"}]`), mcp.Encoding},
		{"NUL in a name", result(`"structuredContent":{"tools\u0000":[]},"resources":1`), mcp.Variant},
		{"an array in an array", "[[" + list + "]]", mcp.Envelope},
		{"1000 levels", result(`"x":` + nested(1000) + `,"tools":[]`), mcp.Depth},
		{"a list that is too large", result(`"tools":[{"name":"` + strings.Repeat("a", 3000) + `"}]`), mcp.Size},
	} {
		got, _, err := loose(2500).Filter([]byte(tc.body))
		if rule := ruleOf(t, err); rule != tc.want || got != nil {
			t.Errorf("%s: got %s, rule %q, want %q", tc.name, got, rule, tc.want)
		}
	}
}

// What isn't JSON has no list, but may be for a person.
func TestLooseEvents(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"data: hello\n\n", "event: message\ndata: \"hello\"\n\n", "data: {\"result\":\n\n"} {
		var to bytes.Buffer
		if _, err := loose(1000).Events(&to).Write([]byte(text)); err != nil || to.String() != text {
			t.Errorf("%q: got %q, %v", text, to.String(), err)
		}
	}
}

// A large answer passes while no list may begin in it, wherever it is cut.
func TestPassage(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, text string
		refused    bool
	}{
		{"no list", result(`"content":"` + strings.Repeat("tools, \\\"resources\\\" ", 50) + `"`), false},
		{"a list", result(`"content":"` + strings.Repeat("x", 100) + `","tools":[]`), true},
		{"a list with the longest name", result(`"resourceTemplates":[]`), true},
		{"an escaped list", result(`"\u0074ools":[]`), true},
		{"nothing", "", false},
	} {
		for size := 1; size <= len(tc.text); size++ {
			var p mcp.Passage
			var err error
			for part := range bytesOf(tc.text, size) {
				if err = p.Check(part); err != nil {
					break
				}
			}
			if refused := err != nil; refused != tc.refused || refused && ruleOf(t, err) != mcp.Size {
				t.Errorf("%s, in parts of %d: got %v", tc.name, size, err)
			}
		}
	}
}

func bytesOf(text string, size int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for rest := []byte(text); len(rest) > 0; {
			n := min(size, len(rest))
			if !yield(rest[:n]) {
				return
			}
			rest = rest[n:]
		}
	}
}

// No reader finds what is hidden, whether it takes the first or the last of two
// members, and whatever it makes of what isn't Unicode.
func FuzzLoose(f *testing.F) {
	for _, seed := range []string{
		result(`"tools":[{"name":"a"},{"name":"secret"}]`), result(`"content":[],"structuredContent":{"tools":[{"name":"secret"}]}`),
		`{"result":{"tools":[{"name":"secret"}]},"result":{}}`, `[{"r\u0065sult":{"\u0074ools":[{"name":"secret"}]}}]`, result(`"x":"\ud83d","resources":[{"uri":"secret"}]`), "\ufeff{\"result\":{\"prompts\":[{\"name\":\"secret\"}],\"tools\":[],\"\xff\":[]}}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, changed, err := loose(1 << 20).Filter(bytes.Clone(body))
		if err != nil {
			return
		}
		if !changed && !bytes.Equal(got, body) {
			t.Fatalf("%q: got %q, unchanged", body, got)
		}
		got = bytes.TrimPrefix(got, []byte("\ufeff"))
		if answers := []json.RawMessage(nil); json.Unmarshal(got, &answers) == nil {
			for _, answer := range answers {
				checkNoSecret(t, body, answer)
			}
		}
		checkNoSecret(t, body, got)
	})
}

// checkNoSecret looks at all members of an answer, also at those that are there twice.
func checkNoSecret(t *testing.T, body, answer []byte) {
	t.Helper()
	for _, result := range membersOf(answer, "result") {
		for list, named := range map[string]string{"tools": "name", "prompts": "name", "resources": "uri", "resourceTemplates": "uriTemplate"} {
			for _, entries := range membersOf(result, list) {
				var entry []json.RawMessage
				if json.Unmarshal(entries, &entry) != nil {
					continue
				}
				for _, e := range entry {
					for _, name := range membersOf(e, named) {
						if text := ""; json.Unmarshal(name, &text) == nil && strings.Contains(text, "secret") {
							t.Fatalf("%q: there is %q in %q", body, text, answer)
						}
					}
				}
			}
		}
	}
}

// membersOf returns the values of a member of an object.
func membersOf(object []byte, name string) (values []json.RawMessage) {
	if !json.Valid(object) {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(object))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil
	}
	for dec.More() {
		member, err := dec.Token()
		if err != nil {
			return values
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return values
		}
		if member == name {
			values = append(values, value)
		}
	}
	return values
}
