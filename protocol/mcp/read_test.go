package mcp_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

// call is a tools/call with these params.
func call(params string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":` + params + `}`
}

// request is a request of a method with these params.
func request(method, params string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":` + params + `}`
}

// read says in one line what a message is.
func read(body string) string {
	m, err := mcp.Read([]byte(body))
	if err != nil {
		var refused *mcp.Error
		if !errors.As(err, &refused) {
			return err.Error()
		}
		return fmt.Sprintf("%d %d %s id=%s", refused.Status, refused.Code, refused.Rule, refused.ID)
	}
	form := map[mcp.Form]string{mcp.Request: "request", mcp.Notification: "notification", mcp.Response: "response"}[m.Form]
	text := fmt.Sprintf("%s id=%s", form, m.ID)
	for _, part := range []struct{ name, value string }{
		{"method", m.Method},
		{"kind", m.Kind.String()},
		{"name", m.Name},
		{"uris", strings.Join(m.URIs, ",")},
		{"arguments", string(m.Arguments)},
		{"version", m.Version},
	} {
		if part.value != "" {
			text += " " + part.name + "=" + part.value
		}
	}
	if m.Completes {
		text += " completes"
	}
	return text
}

func TestRead(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, body, want string }{
		{"call", call(`{"name":"get_x","arguments":{"a":[1]}}`), `request id=1 method=tools/call kind=tool name=get_x arguments={"a":[1]}`},
		{"blanks", " \n{\"jsonrpc\" :\t\"2.0\", \"id\":\"a\" ,\r\"method\":\"ping\" } ", `request id="a" method=ping`},
		{"any order", `{"params":{"arguments":{},"name":"x"},"method":"tools/call","id":-7,"jsonrpc":"2.0"}`, `request id=-7 method=tools/call kind=tool name=x arguments={}`},
		{"escapes", `{"\u006asonrpc":"2.0","id":"\u0061","method":"tools\/call","params":{"n\u0061me":"\ud83d\ude00\n\b\f\r\t\"\\x"}}`, `400 -32602 params id="\u0061"`},
		{"escaped name", call(`{"name":"\u0067et\ud83d\ude00"}`), `request id=1 method=tools/call kind=tool name=get😀`},
		{"id of 64 bits", `{"jsonrpc":"2.0","id":9223372036854775807,"method":"ping"}`, `request id=9223372036854775807 method=ping`},
		{"id raw as it came", `{"jsonrpc":"2.0","id":"\u0041\/é","method":"ping"}`, `request id="\u0041\/é" method=ping`},
		{"null arguments", call(`{"name":"x","arguments":null}`), `request id=1 method=tools/call kind=tool name=x`},
		{"empty name", call(`{"name":""}`), `request id=1 method=tools/call kind=tool`},
		{"prompt", request("prompts/get", `{"name":"p","arguments":{"a":"b"}}`), `request id=1 method=prompts/get kind=prompt name=p arguments={"a":"b"}`},
		{"resource", request("resources/read", `{"uri":"file:///a"}`), `request id=1 method=resources/read kind=resource name=file:///a`},
		{"subscription", request("resources/subscribe", `{"uri":"file:///a"}`), `request id=1 method=resources/subscribe kind=resource name=file:///a`},
		{"end of a subscription", request("resources/unsubscribe", `{"uri":"file:///a"}`), `request id=1 method=resources/unsubscribe kind=resource name=file:///a`},
		{"completion of a prompt", request("completion/complete", `{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":"b"}}`), `request id=1 method=completion/complete kind=prompt name=p completes`},
		{"completion of a template", request("completion/complete", `{"ref":{"type":"ref/resource","uri":"file:///{a}"}}`), `request id=1 method=completion/complete kind=resource name=file:///{a} completes`},
		{"listen", request("subscriptions/listen", `{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["file:///a","file:///\u0062"]}}`), `request id=1 method=subscriptions/listen uris=file:///a,file:///b`},
		{"listen to nothing", request("subscriptions/listen", `{"notifications":{}}`), `request id=1 method=subscriptions/listen`},
		{"listen without notifications", request("subscriptions/listen", `{}`), `request id=1 method=subscriptions/listen`},
		{"listen to null", request("subscriptions/listen", `{"notifications":{"resourceSubscriptions":null}}`), `request id=1 method=subscriptions/listen`},
		{"task", request("tasks/cancel", `{"taskId":"t"}`), `request id=1 method=tasks/cancel kind=task name=t`},
		{"tasks", request("tasks/list", `{}`), `request id=1 method=tasks/list kind=task`},
		{"unknown method of tasks", request("tasks/new", `{"taskId":"t"}`), `request id=1 method=tasks/new kind=task name=t`},
		{"unknown method", request("acme/export", `{"name":"x","Name":"y","arguments":[]}`), `request id=1 method=acme/export`},
		{"unknown method, arguments", request("acme/export", `{"arguments":{}}`), `request id=1 method=acme/export arguments={}`},
		{"version", request("ping", `{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","progressToken":1}}`), `request id=1 method=ping version=2026-07-28`},
		{"no version", request("ping", `{"_meta":null}`), `request id=1 method=ping`},
		{"notification", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, `notification id= method=notifications/initialized`},
		{"notification with params", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`, `notification id= method=notifications/cancelled`},
		{"result", `{"jsonrpc":"2.0","id":3,"result":{"roots":[]}}`, `response id=3`},
		{"error", `{"jsonrpc":"2.0","id":3,"error":{"code":-1,"message":"no"}}`, `response id=3`},
		{"further members", `{"jsonrpc":"2.0","id":3,"method":"ping","trace":1}`, `request id=3 method=ping`},
		{"names in other scripts", request("ping", `{`+strings.ReplaceAll(members(1000), "m", "é")+`}`), `request id=1 method=ping`},
		{"127 levels", call(`{"name":"x","arguments":` + nested(126) + `}`), `request id=1 method=tools/call kind=tool name=x arguments=` + nested(126)},
	} {
		if got := read(tc.body); got != tc.want {
			t.Errorf("%s: got %.200s, want %s", tc.name, got, tc.want)
		}
	}
}

// nested is an object with so many levels.
func nested(levels int) string {
	return strings.Repeat(`{"a":`, levels-1) + "{}" + strings.Repeat("}", levels-1)
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	const unread, invalid = "400 -32700 ", "400 -32600 "
	for _, tc := range []struct{ name, body, want string }{
		{"nothing", "", unread + "syntax id="},
		{"blanks", " \n", unread + "syntax id="},
		{"a word", "ping", unread + "syntax id="},
		{"a string", `"ping"`, invalid + "envelope id="},
		{"a number", `1`, invalid + "envelope id="},
		{"null", `null`, invalid + "envelope id="},
		{"a broken string", `"ping`, unread + "syntax id="},
		{"an empty object", `{}`, invalid + "envelope id="},
		{"cut", `{"jsonrpc":"2.0","id":1,"method":"ping"`, unread + "syntax id="},
		{"cut in a string", `{"jsonrpc":"2.0","id":1,"method":"pin`, unread + "syntax id="},
		{"cut after a name", `{"jsonrpc"`, unread + "syntax id="},
		{"no name", `{1:2}`, unread + "syntax id="},
		{"no value", `{"a":}`, unread + "syntax id="},
		{"comma at the end", `{"jsonrpc":"2.0","id":1,"method":"ping",}`, unread + "syntax id="},
		{"comma at the end of an array", call(`{"name":"x","arguments":{"a":[1,]}}`), unread + "syntax id="},
		{"no comma in an array", call(`{"name":"x","arguments":{"a":[1 2]}}`), unread + "syntax id="},
		{"no comma", `{"jsonrpc":"2.0" "id":1,"method":"ping"}`, unread + "syntax id="},
		{"comment", `{"jsonrpc":"2.0","id":1,"method":"ping"/* */}`, unread + "syntax id="},
		{"apostrophes", `{'jsonrpc':"2.0"}`, unread + "syntax id="},
		{"form feed", "{\f}", unread + "syntax id="},
		{"line break in a string", "{\"a\":\"\n\"}", unread + "syntax id="},
		{"NUL after the object", request("ping", "{}") + "\x00", unread + "syntax id="},
		{"trailing data", request("ping", "{}") + `x`, unread + "syntax id="},
		{"second object", request("ping", "{}") + request("ping", "{}"), unread + "syntax id="},
		{"line after line", request("ping", "{}") + "\n" + request("ping", "{}"), unread + "syntax id="},
		{"literal in capitals", request("ping", `{"a":True}`), unread + "syntax id="},
		{"NaN", request("ping", `{"a":NaN}`), unread + "syntax id="},
		{"number with a plus", request("ping", `{"a":+1}`), unread + "syntax id="},
		{"number with a leading zero", request("ping", `{"a":01}`), unread + "syntax id="},
		{"number without digits", request("ping", `{"a":-}`), unread + "syntax id="},
		{"number without a fraction", request("ping", `{"a":1.}`), unread + "syntax id="},
		{"number without an exponent", request("ping", `{"a":1e+}`), unread + "syntax id="},
		{"hexadecimal number", request("ping", `{"a":0x1}`), unread + "syntax id="},
		{"unknown escape", request("ping", `{"a":"\x41"}`), unread + "syntax id="},
		{"short escape", request("ping", `{"a":"\u00"}`), unread + "syntax id="},
		{"escape with other digits", request("ping", `{"a":"\u00g0"}`), unread + "syntax id="},
		{"escape at the end", `{"a":"\`, unread + "syntax id="},

		{"byte order mark", "\ufeff" + request("ping", "{}"), unread + "encoding id="},
		{"UTF-16", "\xff\xfe{\x00}\x00", unread + "encoding id="},
		{"UTF-16, big end first", "\xfe\xff\x00{\x00}", unread + "encoding id="},
		{"UTF-16 without a mark", "{\x00}\x00", unread + "syntax id="},
		{"Latin-1", call("{\"name\":\"caf\xe9\"}"), unread + "encoding id="},
		{"overlong UTF-8", call("{\"name\":\"\xc0\xaf\"}"), unread + "encoding id="},
		{"surrogate in UTF-8", call("{\"name\":\"\xed\xa0\x80\"}"), unread + "encoding id="},
		{"invalid UTF-8 after eight bytes", call("{\"name\":\"12345678901\xff\"}"), unread + "encoding id="},
		{"lone high surrogate", call(`{"name":"\ud800"}`), unread + "encoding id="},
		{"lone low surrogate", call(`{"name":"\udc00"}`), unread + "encoding id="},
		{"two high surrogates", call(`{"name":"\ud800\ud800"}`), unread + "encoding id="},
		{"high surrogate and a letter", call(`{"name":"\ud800\u0041"}`), unread + "encoding id="},

		{"200 levels", call(`{"name":"x","arguments":` + nested(200) + `}`), unread + "depth id="},
		{"one level too many", call(`{"name":"x","arguments":` + nested(127) + `}`), unread + "depth id="},
		{"a million levels", call(`{"name":"x","arguments":` + strings.Repeat("[", 1000000)), unread + "depth id="},

		{"duplicate", `{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}`, unread + "duplicate id="},
		{"duplicate, escaped", `{"jsonrpc":"2.0","id":1,"method":"ping","m\u0065thod":"tools/call"}`, unread + "duplicate id="},
		{"duplicate params", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"},"params":{"name":"b"}}`, unread + "duplicate id="},
		{"duplicate name", call(`{"name":"a","name":"b"}`), unread + "duplicate id="},
		{"duplicate argument", call(`{"name":"a","arguments":{"x":1,"x":2}}`), unread + "duplicate id="},
		{"duplicate in an array", call(`{"name":"a","arguments":{"x":[{"y":1,"y":1}]}}`), unread + "duplicate id="},
		{"duplicate among a thousand", call(`{"name":"a","arguments":{` + members(1000) + `,"m0":1}}`), unread + "duplicate id="},
		{"duplicate after a thousand", call(`{"name":"a","arguments":{` + members(1000) + `,"m999":1}}`), unread + "duplicate id="},

		{"Method", `{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}`, invalid + "variant id="},
		{"METHOD alone", `{"jsonrpc":"2.0","id":1,"METHOD":"tools/call"}`, invalid + "variant id="},
		{"Params", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"},"PARAMS":{"name":"b"}}`, invalid + "variant id="},
		{"Id", `{"jsonrpc":"2.0","id":1,"method":"ping","Id":2}`, invalid + "variant id="},
		{"Jsonrpc", `{"jsonrpc":"2.0","id":1,"method":"ping","Jsonrpc":"2.0"}`, invalid + "variant id="},
		{"Result", `{"jsonrpc":"2.0","id":1,"method":"ping","Result":{}}`, invalid + "variant id="},
		{"Kelvin sign, long s", `{"jsonrpc":"2.0","id":1,"method":"ping","re\u017fult":{}}`, invalid + "variant id="},
		{"full width", `{"jsonrpc":"2.0","id":1,"method":"ping","ｍethod":"tools/call"}`, invalid + "variant id="},
		{"zero width", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"me\u200bthod\":\"tools/call\"}", invalid + "variant id="},
		{"blank", `{"jsonrpc":"2.0","id":1,"method":"ping","method ":"tools/call"}`, invalid + "variant id="},
		{"NUL in a name", `{"jsonrpc":"2.0","id":1,"method":"ping","method\u0000x":"tools/call"}`, invalid + "variant id="},
		{"NUL in an argument's name", call(`{"name":"a","arguments":{"a\u0000":1}}`), invalid + "variant id="},
		{"Name", call(`{"name":"ok","Name":"secret"}`), invalid + "variant id=1"},
		{"Name alone", call(`{"Name":"secret"}`), invalid + "variant id=1"},
		{"Arguments", call(`{"name":"ok","arguments":{},"Arguments":{}}`), invalid + "variant id=1"},
		{"_META", call(`{"name":"ok","_META":{}}`), invalid + "variant id=1"},
		{"URI", request("resources/read", `{"uri":"a:b","URI":"a:c"}`), invalid + "variant id=1"},
		{"taskid", request("tasks/get", `{"taskId":"a","taskid":"b"}`), invalid + "variant id=1"},
		{"Ref", request("completion/complete", `{"ref":{"type":"ref/prompt","name":"p"},"Ref":{}}`), invalid + "variant id=1"},
		{"Type of a reference", request("completion/complete", `{"ref":{"type":"ref/prompt","name":"p","Type":"ref/resource"}}`), invalid + "variant id=1"},
		{"Notifications", request("subscriptions/listen", `{"notifications":{},"Notifications":{}}`), invalid + "variant id=1"},
		{"resourcesubscriptions", request("subscriptions/listen", `{"notifications":{"resourcesubscriptions":["a:b"]}}`), invalid + "variant id=1"},
		{"a long name", call(`{"name":"` + strings.Repeat("x", 9000) + `"}`), "400 -32602 params id=1"},
		{"a long URI", request("resources/read", `{"uri":"a:`+strings.Repeat("x", 9000)+`"}`), "400 -32602 params id=1"},
		{"a long URI in a subscription", request("subscriptions/listen", `{"notifications":{"resourceSubscriptions":["a:`+strings.Repeat("x", 9000)+`"]}}`), "400 -32602 params id=1"},
		{"a long template", request("completion/complete", `{"ref":{"type":"ref/resource","uri":"a:`+strings.Repeat("x", 9000)+`{x}"}}`), "400 -32602 params id=1"},
		{"a long method", request(strings.Repeat("x", 9000), "{}"), invalid + "envelope id=1"},
		{"resource_subscriptions, as pydantic takes it", request("subscriptions/listen", `{"notifications":{"resource_subscriptions":["a:b"]}}`), invalid + "variant id=1"},
		{"resource_subscriptions beside", request("subscriptions/listen", `{"notifications":{"resourceSubscriptions":["a:c"],"resource_subscriptions":["a:b"]}}`), invalid + "variant id=1"},
		{"Resource-Subscriptions", request("subscriptions/listen", `{"notifications":{"Resource-Subscriptions":["a:b"]}}`), invalid + "variant id=1"},
		{"task_id", request("tasks/get", `{"taskId":"a","task_id":"b"}`), invalid + "variant id=1"},
		{"__proto__ for params", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"},"__proto__":{"params":{}}}`, invalid + "variant id="},
		{"__proto__ for arguments", call(`{"name":"x","__proto__":{"arguments":{"amount":5000}}}`), invalid + "variant id="},
		{"__proto__ for a reference", request("completion/complete", `{"ref":{"type":"ref/prompt","name":"p","__proto__":{}}}`), invalid + "variant id="},
		{"__proto__ for subscriptions", request("subscriptions/listen", `{"notifications":{"__proto__":{"resourceSubscriptions":["a:b"]}}}`), invalid + "variant id="},
		{"__proto__, escaped", request("subscriptions/listen", `{"notifications":{"__pr\u006fto__":{"resourceSubscriptions":["a:b"]}}}`), invalid + "variant id="},
		{"protocolversion", request("ping", `{"_meta":{"io.modelcontextprotocol/protocolversion":"x"}}`), invalid + "variant id=1"},
		{"names that are work to fold", request("ping", `{`+strings.ReplaceAll(members(30000), "m", "éééé")+`}`), invalid + "variant id="},
		{"method in capitals", request("Tools/Call", `{"name":"x"}`), invalid + "variant id=1"},
		{"method with a blank", request("tools/call ", `{"name":"x"}`), invalid + "variant id=1"},
		{"method in full width", request("ｔools/call", `{"name":"x"}`), invalid + "variant id=1"},
		{"method with letters of no width", request("tools/\u00adcall", `{"name":"x"}`), invalid + "variant id=1"},
		{"notification in capitals", `{"jsonrpc":"2.0","method":"Notifications/initialized"}`, invalid + "variant id="},

		{"batch", `[` + request("ping", "{}") + `]`, invalid + "batch id="},
		{"empty batch", `[]`, invalid + "batch id="},

		{"no version", `{"id":1,"method":"ping"}`, invalid + "envelope id=1"},
		{"version 1", `{"jsonrpc":"1.0","id":1,"method":"ping"}`, invalid + "envelope id=1"},
		{"version as a number", `{"jsonrpc":2.0,"id":1,"method":"ping"}`, invalid + "envelope id=1"},
		{"method as a number", `{"jsonrpc":"2.0","id":1,"method":1}`, invalid + "envelope id=1"},
		{"method null", `{"jsonrpc":"2.0","id":1,"method":null,"result":{}}`, invalid + "envelope id=1"},
		{"method empty", `{"jsonrpc":"2.0","id":1,"method":""}`, invalid + "envelope id=1"},
		{"NUL in the method", request(`tools/call\u0000x`, `{"name":"x"}`), invalid + "envelope id=1"},
		{"method and result", `{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}`, invalid + "envelope id=1"},
		{"method and error", `{"jsonrpc":"2.0","id":1,"method":"ping","error":{}}`, invalid + "envelope id=1"},
		{"result and error", `{"jsonrpc":"2.0","id":1,"result":{},"error":{}}`, invalid + "envelope id=1"},
		{"result and params", `{"jsonrpc":"2.0","id":1,"result":{},"params":{}}`, invalid + "envelope id=1"},
		{"neither result nor error", `{"jsonrpc":"2.0","id":1}`, invalid + "envelope id=1"},
		{"result as an array", `{"jsonrpc":"2.0","id":1,"result":[]}`, invalid + "envelope id=1"},
		{"error as text", `{"jsonrpc":"2.0","id":1,"error":"no"}`, invalid + "envelope id=1"},

		{"request without an id", `{"jsonrpc":"2.0","method":"tools/call","params":{"name":"x"}}`, invalid + "id id="},
		{"response without an id", `{"jsonrpc":"2.0","result":{}}`, invalid + "id id="},
		{"notification with an id", `{"jsonrpc":"2.0","id":1,"method":"notifications/initialized"}`, invalid + "id id=1"},
		{"null", `{"jsonrpc":"2.0","id":null,"method":"ping"}`, invalid + "id id="},
		{"true", `{"jsonrpc":"2.0","id":true,"method":"ping"}`, invalid + "id id="},
		{"array", `{"jsonrpc":"2.0","id":[1],"method":"ping"}`, invalid + "id id="},
		{"object", `{"jsonrpc":"2.0","id":{"a":1},"method":"ping"}`, invalid + "id id="},
		{"fraction", `{"jsonrpc":"2.0","id":1.0,"method":"ping"}`, invalid + "id id="},
		{"exponent", `{"jsonrpc":"2.0","id":1e3,"method":"ping"}`, invalid + "id id="},
		{"minus zero", `{"jsonrpc":"2.0","id":-0,"method":"ping"}`, invalid + "id id="},
		{"large integer", `{"jsonrpc":"2.0","id":9223372036854775808,"method":"ping"}`, invalid + "id id="},
		{"1e400", `{"jsonrpc":"2.0","id":1e400,"method":"ping"}`, invalid + "id id="},
		{"long text", `{"jsonrpc":"2.0","id":"` + strings.Repeat("x", 2000) + `","method":"ping"}`, invalid + "id id="},

		{"params as an array", request("tools/call", `["x"]`), "400 -32602 params id=1"},
		{"params null", request("tools/call", `null`), "400 -32602 params id=1"},
		{"params as text", request("ping", `"x"`), "400 -32602 params id=1"},
		{"no params", `{"jsonrpc":"2.0","id":1,"method":"tools/call"}`, "400 -32602 params id=1"},
		{"no name", call(`{}`), "400 -32602 params id=1"},
		{"name null", call(`{"name":null}`), "400 -32602 params id=1"},
		{"name as a number", call(`{"name":1}`), "400 -32602 params id=1"},
		{"name in an array", call(`{"name":["x"]}`), "400 -32602 params id=1"},
		{"NUL in the name", call(`{"name":"delete_x\u0000"}`), "400 -32602 params id=1"},
		{"line break in the name", call(`{"name":"delete_x\n"}`), "400 -32602 params id=1"},
		{"arguments as an array", call(`{"name":"x","arguments":[]}`), "400 -32602 params id=1"},
		{"arguments as text", request("prompts/get", `{"name":"x","arguments":"{}"}`), "400 -32602 params id=1"},
		{"no URI", request("resources/read", `{"name":"x"}`), "400 -32602 params id=1"},
		{"URI as an object", request("resources/read", `{"uri":{}}`), "400 -32602 params id=1"},
		{"no task", request("tasks/get", `{}`), "400 -32602 params id=1"},
		{"task null", request("tasks/list", `{"taskId":null}`), "400 -32602 params id=1"},
		{"no reference", request("completion/complete", `{}`), "400 -32602 params id=1"},
		{"reference as text", request("completion/complete", `{"ref":"ref/prompt"}`), "400 -32602 params id=1"},
		{"reference to a tool", request("completion/complete", `{"ref":{"type":"ref/tool","name":"x"}}`), "400 -32602 params id=1"},
		{"reference without a name", request("completion/complete", `{"ref":{"type":"ref/prompt","uri":"x"}}`), "400 -32602 params id=1"},
		{"notifications as an array", request("subscriptions/listen", `{"notifications":[]}`), "400 -32602 params id=1"},
		{"one subscription", request("subscriptions/listen", `{"notifications":{"resourceSubscriptions":"a:b"}}`), "400 -32602 params id=1"},
		{"subscription to a number", request("subscriptions/listen", `{"notifications":{"resourceSubscriptions":["a:b",1]}}`), "400 -32602 params id=1"},
		{"1001 subscriptions", request("subscriptions/listen", `{"notifications":{"resourceSubscriptions":[`+strings.Repeat(`"a:b",`, 1000)+`"a:b"]}}`), "400 -32602 params id=1"},
		{"_meta as an array", request("ping", `{"_meta":[]}`), "400 -32602 params id=1"},
		{"version as a number", request("ping", `{"_meta":{"io.modelcontextprotocol/protocolVersion":2026}}`), "400 -32602 params id=1"},
	} {
		if got := read(tc.body); got != tc.want {
			t.Errorf("%s: got %.200s, want %s", tc.name, got, tc.want)
		}
	}
}

// Names are compared in different ways by their length and place. Of every length, one
// that is there twice is found, however it is spelled, and one that differs in a single
// byte is another name.
func TestNamesOfEveryLength(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 40; n++ {
		name := strings.Repeat("abcdefgh", 5)[:n]
		for _, tail := range []string{"}}}", `,"z":"` + strings.Repeat("z", 40) + `"}}}`} {
			twice := func(other string) string {
				return `{"jsonrpc":"2.0","id":1,"method":"x","params":{"` + name + `":1,"_meta":{"` + name + `":2,"` + other + `":3` + tail
			}
			for at := range n {
				escaped := name[:at] + fmt.Sprintf(`\u%04x`, name[at]) + name[at+1:]
				if got := read(twice(escaped)); !strings.Contains(got, "duplicate") {
					t.Errorf("%s and %s: got %s", name, escaped, got)
				}
				for _, other := range []string{name[:at] + "X" + name[at+1:], name[:at], name + "x"} {
					if got := read(twice(other)); strings.Contains(got, "duplicate") {
						t.Errorf("%s and %s: got %s", name, other, got)
					}
				}
			}
			if got := read(twice(name)); !strings.Contains(got, "duplicate") {
				t.Errorf("%s twice: got %s", name, got)
			}
		}
	}
}

// members are n members with different names.
func members(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"m%d":%d`, i, i)
	}
	return b.String()[1:]
}

// Nothing that a client sent is in what it is told.
func TestErrorsQuoteNothing(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"secret":`, `{"secret":1,"secret":2}`, call(`{"name":["secret"]}`), `["secret"]`, call(`{"name":"secret","Name":"secret"}`)} {
		if _, err := mcp.Read([]byte(body)); err == nil || strings.Contains(err.Error(), "secret") || err.Error() == "" {
			t.Errorf("%s: got %v", body, err)
		}
	}
}

// A thousand names of an object are compared in memory of their size.
func TestReadAllocates(t *testing.T) {
	body := []byte(call(`{"name":"x","arguments":{` + members(1000) + `}}`))
	if n := testing.AllocsPerRun(10, func() { _, _ = mcp.Read(body) }); n > 40 {
		t.Errorf("got %v allocations", n)
	}
	long := []byte(call(`{"name":"x","arguments":{"text":"` + strings.Repeat("x", 1<<20) + `"}}`))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _ = mcp.Read(long)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<10 {
		t.Errorf("a megabyte of one string takes %d bytes", n)
	}
}
