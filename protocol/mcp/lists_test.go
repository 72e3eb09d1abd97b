package mcp_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

// visible keeps what isn't called secret.
func visible(_ mcp.Kind, name string, _ bool, _ json.RawMessage) bool {
	return !strings.Contains(name, "secret")
}

func result(members string) string {
	return `{"jsonrpc":"2.0","id":1,"result":{` + members + `}}`
}

func TestFilter(t *testing.T) {
	t.Parallel()
	plain := &mcp.Lists{Keep: visible, Max: 1 << 20}
	private := &mcp.Lists{Keep: visible, Max: 1 << 20, Private: true}
	schemes := &mcp.Lists{Keep: visible, Max: 1 << 20, Schemes: func(tool string) string {
		if tool == "none" {
			return ""
		}
		return `["` + tool + `"]`
	}}
	for _, tc := range []struct {
		name       string
		lists      *mcp.Lists
		body, want string
	}{
		{"all stay", plain, result(`"tools":[{"name":"a"}, {"name":"b"}]`), "same"},
		{"an empty list", plain, result(`"tools":[ ],"nextCursor":"c"`), "same"},
		{"null, as Go writes it", plain, result(`"tools":null`), "same"},
		{"the first goes", plain, result(`"tools":[ {"name":"secret"} , {"name":"b"}, {"name":"c"} ]`), result(`"tools":[ {"name":"b"}, {"name":"c"} ]`)},
		{"the last goes", plain, result(`"tools":[ {"name":"a"} , {"name":"secret"}  ]`), result(`"tools":[ {"name":"a"}  ]`)},
		{"some in between go", plain, result(`"tools":[{"name":"a"},{"name":"secret1"}, {"name":"secret2"} ,{"name":"b"},{"name":"secret"},{"name":"c"}]`), result(`"tools":[{"name":"a"} ,{"name":"b"},{"name":"c"}]`)},
		{"all go, the cursor stays", plain, result(`"tools":[{"name":"secret"},{"name":"secret2"}],"nextCursor":"c"`), result(`"tools":[],"nextCursor":"c"`)},
		{"escaped name", plain, result(`"tools":[{"name":"\u0073ecret"},{"name":"b"}]`), result(`"tools":[{"name":"b"}]`)},
		{"escaped member", plain, result(`"\u0074ools":[{"n\u0061me":"secret"},{"name":"b"}]`), result(`"\u0074ools":[{"name":"b"}]`)},
		{"title and order of members", plain, result(`"tools":[{"title":"x","inputSchema":{"name":"secret"},"name":"a"},{"title":"a","name":"secret"}],"x":[1, 2]`), result(`"tools":[{"title":"x","inputSchema":{"name":"secret"},"name":"a"}],"x":[1, 2]`)},
		{"prompts", plain, result(`"prompts":[{"name":"secret"},{"name":"b"}]`), result(`"prompts":[{"name":"b"}]`)},
		{"resources", plain, result(`"resources":[{"name":"a","uri":"file:///secret"},{"name":"secret","uri":"b:c"}]`), result(`"resources":[{"name":"secret","uri":"b:c"}]`)},
		{"templates", plain, result(`"resourceTemplates":[{"name":"a","uriTemplate":"secret:{x}"},{"uriTemplate":"b:{c}"}]`), result(`"resourceTemplates":[{"uriTemplate":"b:{c}"}]`)},
		{"two lists", plain, result(`"tools":[{"name":"secret"}],"prompts":[{"name":"b"},{"name":"secret"}]`), result(`"tools":[],"prompts":[{"name":"b"}]`)},
		{"entries that nobody could judge", plain, result(`"tools":[1,null,"secret",[{"name":"a"}],{},{"name":1},{"Name":"a"},{"name":"b"}]`), result(`"tools":[{"name":"b"}]`)},
		{"a list deeper down", plain, result(`"content":[{"tools":[{"name":"secret"}]}],"structuredContent":{"tools":[{"name":"secret"}]}`), "same"},
		{"capabilities", plain, result(`"capabilities":{"tools":{"listChanged":true}}`), "same"},
		{"not a list", plain, result(`"tools":{"name":"secret"},"resources":"secret"`), "same"},
		{"outside of the result", plain, `{"jsonrpc":"2.0","id":1,"tools":[{"name":"secret"}]}`, "same"},
		{"a result that isn't an object", plain, `{"jsonrpc":"2.0","id":1,"result":[{"tools":[{"name":"secret"}]}]}`, "same"},
		{"an error", plain, `{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"x"}}`, "same"},
		{"a request of the server", plain, `{"jsonrpc":"2.0","id":1,"method":"roots/list"}`, "same"},
		{"an array of answers", plain, ` [` + result(`"tools":[{"name":"secret"}]`) + `, ` + result(`"prompts":[{"name":"secret"},{"name":"b"}]`) + `,{"jsonrpc":"2.0","method":"notifications/x"}]`, ` [` + result(`"tools":[]`) + `, ` + result(`"prompts":[{"name":"b"}]`) + `,{"jsonrpc":"2.0","method":"notifications/x"}]`},
		{"an empty array", plain, `[]`, "same"},

		{
			"schemes", schemes, result(`"tools":[{"name":"secret"},{"name":"a" }, {"name":"none","securitySchemes":1}]`),
			result(`"tools":[{"name":"a" ,"securitySchemes":["a"],"_meta":{"securitySchemes":["a"]}}, {"name":"none","securitySchemes":1}]`),
		},
		{
			"schemes that the server has", schemes, result(`"tools":[{"securitySchemes":[{"type":"noauth"}],"_meta":{"a":1, "securitySchemes" : {} },"name":"a"}]`),
			result(`"tools":[{"securitySchemes":["a"],"_meta":{"a":1, "securitySchemes" : ["a"] },"name":"a"}]`),
		},
		{
			"schemes under an escaped name", schemes, result(`"tools":[{"s\u0065curitySchemes":1,"\u005fmeta":{},"name":"a"}]`),
			result(`"tools":[{"s\u0065curitySchemes":["a"],"\u005fmeta":{"securitySchemes":["a"]},"name":"a"}]`),
		},
		{"schemes, and _meta is a text", schemes, result(`"tools":[{"name":"a","_meta":"b"}]`), result(`"tools":[{"name":"a","_meta":{"securitySchemes":["a"]},"securitySchemes":["a"]}]`)},
		{"schemes are of tools", schemes, result(`"prompts":[{"name":"a"}],"resources":[{"uri":"a:b"}]`), "same"},

		{"cached for all", plain, result(`"cacheScope":"public","ttlMs": 60000,"tools":[{"name":"a"}]`), result(`"cacheScope":"private","ttlMs": 0,"tools":[{"name":"a"}]`)},
		{"cached for all, written after", plain, result(`"tools":[{"name":"secret"}],"ttlMs":60000 , "cacheScope":"public"`), result(`"tools":[],"ttlMs":0 , "cacheScope":"private"`)},
		{"cached for one", plain, result(`"cacheScope":"private","ttlMs":0,"tools":[{"name":"a"}]`), "same"},
		{"cached in an odd way", plain, result(`"cacheScope":null,"ttlMs":{},"tools":[]`), result(`"cacheScope":"private","ttlMs":0,"tools":[]`)},
		{"cached, no list", plain, result(`"cacheScope":"public","ttlMs":60000,"contents":[]`), "same"},
		{"required", private, result(`"tools":[{"name":"a"}] `), result(`"tools":[{"name":"a"}] ,"cacheScope":"private","ttlMs":0`)},
		{"required, one is there", private, result(`"ttlMs":5,"tools":[{"name":"secret"}]`), result(`"ttlMs":0,"tools":[],"cacheScope":"private"`)},
		{"required, both are there", private, result(`"ttlMs":5,"tools":[],"cacheScope":"public"`), result(`"ttlMs":0,"tools":[],"cacheScope":"private"`)},
		{"required, null", private, result(`"tools":null`), result(`"tools":null,"cacheScope":"private","ttlMs":0`)},
		{"required, no list", private, result(`"contents":[]`), "same"},
	} {
		want := tc.want
		if want == "same" {
			want = tc.body
		}
		got, changed, err := tc.lists.Filter([]byte(tc.body))
		if err != nil || string(got) != want || changed != (want != tc.body) {
			t.Errorf("%s: got  %s, changed %t, %v\nwant %s", tc.name, got, changed, err, want)
		}
	}
}

func TestFilterRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, body string
		want       mcp.Rule
	}{
		{"nothing", "", mcp.Envelope},
		{"text", "Internal Server Error", mcp.Envelope},
		{"HTML", "<html>", mcp.Envelope},
		{"a number", "1", mcp.Envelope},
		{"an array of numbers", "[1]", mcp.Envelope},
		{"an array in an array", "[[" + result(`"tools":[]`) + "]]", mcp.Envelope},
		{"cut", result(`"tools":[{"name":"a"}`)[:50], mcp.Syntax},
		{"two answers", result(`"tools":[]`) + result(`"tools":[]`), mcp.Syntax},
		{"a comma at the end", result(`"tools":[{"name":"a"},]`), mcp.Syntax},
		{"a list twice", result(`"tools":[],"tools":[{"name":"secret"}]`), mcp.Duplicate},
		{"a result twice", `{"result":{},"result":{"tools":[{"name":"secret"}]}}`, mcp.Duplicate},
		{"a name twice", result(`"tools":[{"name":"a","name":"secret"}]`), mcp.Duplicate},
		{"Latin-1", result("\"tools\":[{\"name\":\"\xe9\"}]"), mcp.Encoding},
		{"byte order mark", "\ufeff" + result(`"tools":[]`), mcp.Encoding},
		{"compressed", "\x1f\x8b\x08\x00", mcp.Encoding},
		{"too deep", result(`"tools":[{"name":"a","inputSchema":` + nested(200) + `}]`), mcp.Depth},
		{"too large", result(`"tools":[{"name":"` + strings.Repeat("a", 2000) + `"}]`), mcp.Size},
	} {
		got, _, err := (&mcp.Lists{Keep: visible, Max: 2000}).Filter([]byte(tc.body))
		rule := ruleOf(t, err)
		if rule != tc.want || got != nil {
			t.Errorf("%s: got %s, rule %q, want %q", tc.name, got, rule, tc.want)
		}
		if refused, ok := err.(*mcp.Error); ok && (refused.Status != 502 || refused.Code != -32603) {
			t.Errorf("%s: got status %d, code %d", tc.name, refused.Status, refused.Code)
		}
	}
}

// What is added to an answer is bounded, too.
func TestFilterAdds(t *testing.T) {
	t.Parallel()
	body := result(`"tools":[{"name":"a"}` + strings.Repeat(`,{"name":"a"}`, 20) + `]`)
	long := `["` + strings.Repeat("x", 50) + `"]`
	lists := &mcp.Lists{Keep: visible, Max: 2000, Schemes: func(string) string { return long }}
	if got, _, err := lists.Filter([]byte(body)); got != nil || ruleOf(t, err) != mcp.Size {
		t.Errorf("got %s, %v", got, err)
	}
}

// Keep is told what an entry is.
func TestFilterAsks(t *testing.T) {
	t.Parallel()
	var asked []string
	lists := &mcp.Lists{Max: 1 << 20, Keep: func(kind mcp.Kind, name string, template bool, item json.RawMessage) bool {
		asked = append(asked, fmt.Sprintf("%s %s %t %s", kind, name, template, item))
		return true
	}}
	body := result(`"tools":[{"name":"\u0061"}],"prompts":[{"name":"b", "x":1}],"resources":[{"uri":"c:d"}],"resourceTemplates":[{"uriTemplate":"e:{f}"}]`)
	if _, _, err := lists.Filter([]byte(body)); err != nil {
		t.Fatal(err)
	}
	want := []string{`tool a false {"name":"\u0061"}`, `prompt b false {"name":"b", "x":1}`, `resource c:d false {"uri":"c:d"}`, `resource e:{f} true {"uriTemplate":"e:{f}"}`}
	if !reflect.DeepEqual(asked, want) {
		t.Errorf("got %q, want %q", asked, want)
	}
}

func TestIsRefusal(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, body string
		want       bool
	}{
		{"nothing", "", true},
		{"a line", "Not Found\n", true},
		{"a JSON-RPC error", `{"jsonrpc":"2.0","id":null,"error":{"code":-32022,"message":"x"}}`, true},
		{"a long JSON-RPC error", `{"jsonrpc":"2.0","id":null,"error":{"code":-32022,"message":"` + strings.Repeat("x", 5000) + `"}}`, true},
		{"an error that names a list", `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m","data":{"result":"result","tools":[]}}}`, true},
		{"a list", result(`"tools":[{"name":"secret"}]`), false},
		{"a list and an error", `{"error":{},"result":{"tools":[{"name":"secret"}]}}`, false},
		{"a list, hidden", `{"r\u0065sult":{"t\u006fols":[{"name":"secret"}]}}`, false},
		{"an array of lists", `[` + result(`"tools":[{"name":"secret"}]`) + `]`, false},
		{"a list as an event", "data: " + result(`"tools":[{"name":"secret"}]`) + "\n\n", false},
		{"a long page", strings.Repeat("x", 2000), false},
		{"a long object", `{"a":"` + strings.Repeat("x", 2000) + `"}`, false},
		{"a broken error", `{"error":{"message":"` + strings.Repeat("x", 2000), false},
	} {
		if got := mcp.IsRefusal([]byte(tc.body)); got != tc.want {
			t.Errorf("%s: got %t", tc.name, got)
		}
	}
}

// naive filters as one would who doesn't care for speed or bytes.
func naive(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = naive(v[i])
		}
	case map[string]any:
		result, ok := v["result"].(map[string]any)
		if !ok {
			return v
		}
		found := false
		for list, named := range map[string]string{"tools": "name", "prompts": "name", "resources": "uri", "resourceTemplates": "uriTemplate"} {
			value, there := result[list]
			entries, ok := value.([]any)
			found = found || ok || there && value == nil
			if !ok {
				continue
			}
			stay := []any{}
			for _, entry := range entries {
				object, _ := entry.(map[string]any)
				if name, ok := object[named].(string); ok && !strings.Contains(name, "secret") {
					stay = append(stay, entry)
				}
			}
			result[list] = stay
		}
		if found {
			result["cacheScope"], result["ttlMs"] = "private", json.Number("0")
		}
	}
	return v
}

// withSchemes gives the tools of filtered answers their securitySchemes, as the
// fuzz test has them.
func withSchemes(v any) any {
	answers, batch := v.([]any)
	if !batch {
		answers = []any{v}
	}
	for _, answer := range answers {
		object, _ := answer.(map[string]any)
		result, _ := object["result"].(map[string]any)
		tools, _ := result["tools"].([]any)
		for _, tool := range tools {
			meta, ok := tool.(map[string]any)["_meta"].(map[string]any)
			if !ok {
				meta = make(map[string]any)
			}
			schemes := []any{json.Number("1")}
			meta["securitySchemes"] = schemes
			tool.(map[string]any)["_meta"], tool.(map[string]any)["securitySchemes"] = meta, schemes
		}
	}
	return v
}

// decode reads JSON exactly.
func decode(text []byte) (v any, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	err = dec.Decode(&v)
	return v, err
}

func FuzzFilter(f *testing.F) {
	for _, seed := range []string{
		result(`"tools":[{"name":"a"},{"name":"secret"} , {"name":"b"}],"nextCursor":"c"`), result(`"prompts":[{"name":"secret"}],"ttlMs":7,"cacheScope":"public"`),
		result(`"resources":[{"uri":"a:b"},1],"resourceTemplates":[{"uriTemplate":"secret"}]`), `[` + result(`"tools":null`) + `,{"method":"x"}]`, `{"error":{}}`, result(`"tools":[{"_meta":{"x":{}, "securitySchemes":1},"name":"a","securitySchemes":[]},{"_meta":{ },"name":"b"},{"_meta":null,"name":"c"}]`), `{"\u0072esult":{"t\u006fols":[{"name":"s\u0065cret"}]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		filtered, _, err := (&mcp.Lists{Keep: visible, Max: 1 << 20, Private: true}).Filter(bytes.Clone(body))
		if err != nil {
			return
		}
		with := &mcp.Lists{Keep: visible, Max: 1 << 20, Private: true, Schemes: func(string) string { return "[1]" }}
		if more, _, err := with.Filter(bytes.Clone(body)); err == nil {
			want, _ := decode(filtered)
			want = withSchemes(want)
			if got, err := decode(more); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%q with schemes: got %q, %v, want %v", body, more, err, want)
			}
		}
		want, err := decode(body)
		if err != nil {
			t.Fatalf("%q: accepted: %v", body, err)
		}
		want = naive(want)
		if got, err := decode(filtered); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %q, %v, want %v", body, filtered, err, want)
		}
	})
}
