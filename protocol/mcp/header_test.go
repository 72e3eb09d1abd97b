package mcp_test

import (
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

// headers are "Name: value" lines.
func headers(lines ...string) http.Header {
	h := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h[name] = append(h[name], value)
	}
	return h
}

func encoded(text string) string {
	return "=?base64?" + base64.StdEncoding.EncodeToString([]byte(text)) + "?="
}

// ruleOf returns the rule that an error names.
func ruleOf(t *testing.T, err error) mcp.Rule {
	t.Helper()
	var refused *mcp.Error
	if err != nil && !errors.As(err, &refused) {
		t.Fatalf("got %v, want an *Error", err)
	}
	if refused == nil {
		return ""
	}
	if (refused.Rule == mcp.Header || refused.Rule == mcp.Argument) && (refused.Status != 400 || refused.Code != -32020 || string(refused.ID) != "1") {
		t.Errorf("got status %d, code %d, id %s", refused.Status, refused.Code, refused.ID)
	}
	return refused.Rule
}

func TestCheckHeaders(t *testing.T) {
	t.Parallel()
	const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}`
	tool, accented := call(`{"name":"delete_x",`+meta+`}`), call(`{"name":"café"}`)
	resource, task := request("resources/read", `{"uri":"file:///a"}`), request("tasks/get", `{"taskId":"t1"}`)
	list, response := request("tools/list", `{}`), `{"jsonrpc":"2.0","id":1,"result":{}}`
	completion := request("completion/complete", `{"ref":{"type":"ref/prompt","name":"p"}}`)
	for _, tc := range []struct {
		name, body string
		header     http.Header
		accepted   bool
	}{
		{"none", tool, nil, true},
		{"both", tool, headers("Mcp-Method: tools/call", "Mcp-Name: delete_x", "Mcp-Protocol-Version: 2026-07-28"), true},
		{"encoded", tool, headers("Mcp-Name: " + encoded("delete_x")), true},
		{"encoded UTF-8", accented, headers("Mcp-Name: " + encoded("café")), true},
		{"UTF-8 as it is, as the Go SDK sends it", accented, headers("Mcp-Name: café"), true},
		{"URI", resource, headers("Mcp-Method: resources/read", "Mcp-Name: file:///a"), true},
		{"task", task, headers("Mcp-Name: t1"), true},
		{"completion", completion, headers("Mcp-Method: completion/complete", "Mcp-Name: p"), true},
		{"no name", list, headers("Mcp-Method: tools/list"), true},
		{"notification", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, headers("Mcp-Method: notifications/initialized"), true},
		{"old version, no version in the body", list, headers("Mcp-Protocol-Version: 2025-06-18"), true},
		{"encoded sentinel", call(`{"name":"=?base64?eA==?="}`), headers("Mcp-Name: " + encoded("=?base64?eA==?=")), true},

		{"other method", tool, headers("Mcp-Method: tools/list"), false},
		{"other method, old version", list, headers("Mcp-Method: tools/call", "Mcp-Protocol-Version: 2025-06-18"), false},
		{"method in capitals", tool, headers("Mcp-Method: Tools/Call"), false},
		{"method twice", tool, headers("Mcp-Method: tools/call", "Mcp-Method: tools/call"), false},
		{"method twice in one line", tool, headers("Mcp-Method: tools/call, tools/call"), false},
		{"method encoded", tool, headers("Mcp-Method: " + encoded("tools/call")), false},
		{"method empty", tool, headers("Mcp-Method: "), false},
		{"method of a response", response, headers("Mcp-Method: tools/call"), false},
		{"empty method of a response", response, headers("Mcp-Method: "), false},
		{"other name", tool, headers("Mcp-Name: get_x"), false},
		{"name in capitals", tool, headers("Mcp-Name: Delete_X"), false},
		{"name twice", tool, headers("Mcp-Name: delete_x", "Mcp-Name: delete_x"), false},
		{"two names", tool, headers("Mcp-Name: delete_x", "Mcp-Name: get_x"), false},
		{"two names in one line", tool, headers("Mcp-Name: delete_x, get_x"), false},
		{"name empty", tool, headers("Mcp-Name: "), false},
		{"name where there is none", list, headers("Mcp-Name: delete_x"), false},
		{"empty name where there is none", list, headers("Mcp-Name: "), false},
		{"name of a response", response, headers("Mcp-Name: "), false},
		{"encoded other name", tool, headers("Mcp-Name: " + encoded("get_x")), false},
		{"encoded twice", tool, headers("Mcp-Name: " + encoded(encoded("delete_x"))), false},
		{"encoding in capitals", tool, headers("Mcp-Name: =?BASE64?ZGVsZXRlX3g=?="), false},
		{"encoding in capitals, and the name so", call(`{"name":"=?BASE64?ZGVsZXRlX3g=?="}`), headers("Mcp-Name: =?BASE64?ZGVsZXRlX3g=?="), false},
		{"name that looks encoded, not encoded", call(`{"name":"=?base64?eA==?="}`), headers("Mcp-Name: =?base64?eA==?="), false},
		{"no end of the encoding", call(`{"name":"=?base64?eA=="}`), headers("Mcp-Name: =?base64?eA=="), false},
		{"no padding", tool, headers("Mcp-Name: =?base64?ZGVsZXRlX3g?="), false},
		{"padding cut", call(`{"name":"x"}`), headers("Mcp-Name: =?base64?eA=?="), false},
		{"other tail", call(`{"name":"x"}`), headers("Mcp-Name: =?base64?eB==?="), false},
		{"URL alphabet", call(`{"name":"???"}`), headers("Mcp-Name: =?base64?Pz8_?="), false},
		{"line break", call(`{"name":"x"}`), headers("Mcp-Name: =?base64?eA\n==?="), false},
		{"blank", call(`{"name":"x"}`), headers("Mcp-Name: =?base64? eA==?="), false},
		{"base64 of Latin-1", accented, headers("Mcp-Name: " + encoded("caf\xe9")), false},
		{"Latin-1", accented, headers("Mcp-Name: caf\xe9"), false},
		{"RFC 2047", call(`{"name":"x"}`), headers("Mcp-Name: =?utf-8?B?eA==?="), false},
		{"version", tool, headers("Mcp-Protocol-Version: 2025-06-18"), false},
		{"version twice", tool, headers("Mcp-Protocol-Version: 2026-07-28", "Mcp-Protocol-Version: 2026-07-28"), false},
	} {
		m, err := mcp.Read([]byte(tc.body))
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		if m.Form == mcp.Notification {
			m.ID = []byte("1")
		}
		if rule := ruleOf(t, m.CheckHeaders(tc.header)); (rule == "") != tc.accepted || !tc.accepted && rule != mcp.Header {
			t.Errorf("%s: got %q, want accepted %t", tc.name, rule, tc.accepted)
		}
	}
}

func TestCheckParams(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, arguments string
		header          http.Header
		accepted        bool
	}{
		{"none", `{"amount":1}`, headers("Mcp-Method: tools/call"), true},
		{"integer", `{"amount":42}`, headers("Mcp-Param-Amount: 42"), true},
		{"integer, spelled otherwise", `{"amount":42.0}`, headers("Mcp-Param-Amount: 42"), true},
		{"text", `{"region":"us-west1"}`, headers("Mcp-Param-Region: us-west1"), true},
		{"escaped text", `{"region":"\u00fc"}`, headers("Mcp-Param-Region: " + encoded("ü")), true},
		{"boolean", `{"dry_run":true}`, headers("Mcp-Param-Dry-Run: true"), true},
		{"nested", `{"to":{"account":"a"},"note":"x"}`, headers("Mcp-Param-Account: a"), true},
		{"the outermost counts", `{"to":{"account":"b"},"account":"a"}`, headers("Mcp-Param-Account: a"), true},
		{"the outermost counts, in any order", `{"account":"a","to":{"account":"b"}}`, headers("Mcp-Param-Account: a"), true},
		{"several", `{"a":1,"b":"x"}`, headers("Mcp-Param-A: 1", "Mcp-Param-B: x"), true},
		{"a large integer as it is", `{"a":9007199254740993}`, headers("Mcp-Param-A: 9007199254740993"), true},
		// It may stand for an argument of another name, which the tool's schema says.
		{"no such argument", `{"tenant_id":"x"}`, headers("Mcp-Param-Customer: x"), true},
		{"no such argument, and none", ``, headers("Mcp-Param-Customer: x"), true},
		{"in an array", `{"list":[{"a":1}]}`, headers("Mcp-Param-A: 1"), true},

		{"other integer", `{"amount":1000000}`, headers("Mcp-Param-Amount: 1"), false},
		{"2^53+1", `{"a":9007199254740993}`, headers("Mcp-Param-A: 9007199254740992"), false},
		{"fraction", `{"a":1.5}`, headers("Mcp-Param-A: 1"), false},
		{"integer as text", `{"a":"1"}`, headers("Mcp-Param-A: 1.0"), false},
		{"1e400", `{"a":1e400}`, headers("Mcp-Param-A: 1"), false},
		{"other text", `{"region":"us"}`, headers("Mcp-Param-Region: eu"), false},
		{"text in another case", `{"region":"us"}`, headers("Mcp-Param-Region: US"), false},
		{"twisted", `{"region":"us"}`, headers("Mcp-Param-Region: =?base64?dXM?="), false},
		{"twice", `{"region":"us"}`, headers("Mcp-Param-Region: us", "Mcp-Param-Region: us"), false},
		{"in two spellings", `{"region":"us"}`, headers("Mcp-Param-Region: us", "Mcp-Param-Re_gion: us"), false},
		{"boolean as text", `{"a":true}`, headers("Mcp-Param-A: True"), false},
		{"null", `{"a":null}`, headers("Mcp-Param-A: null"), false},
		{"object", `{"a":{}}`, headers("Mcp-Param-A: {}"), false},
		{"array", `{"a":["x"]}`, headers("Mcp-Param-A: x"), false},
		{"no such argument that a rule reads", `{"a":1}`, headers("Mcp-Param-Amount: 1"), false},
		{"no such member that a rule reads", `{"a":1}`, headers("Mcp-Param-Max-Depth: 1"), false},
		{"in an array, and a rule reads it", `{"list":[{"amount":1}]}`, headers("Mcp-Param-Amount: 1"), false},
		{"no arguments", ``, headers("Mcp-Param-Amount: 1"), false},
		{"arguments that are none", `[]`, headers("Mcp-Param-B: 1"), false},
		{"empty", `{"a":"x"}`, headers("Mcp-Param-A: "), false},
		{"no name", `{"a":"x"}`, headers("Mcp-Param-: x"), false},
		{"the outermost is another", `{"to":{"account":"a"},"account":"b"}`, headers("Mcp-Param-Account: a"), false},
		{"two of one name", `{"from":{"account":"a"},"to":{"account":"b"}}`, headers("Mcp-Param-Account: a"), false},
		{"one of two wrong", `{"a":1,"b":"x"}`, headers("Mcp-Param-A: 1", "Mcp-Param-B: y"), false},
	} {
		rules := mcp.NewLookup([]string{"amount"}, nil).And(mcp.NewLookup([]string{"amount"}, []string{"max_depth"}))
		m := &mcp.Message{ID: []byte("1"), Arguments: []byte(tc.arguments)}
		if rule := ruleOf(t, m.CheckParams(tc.header, rules)); (rule == "") != tc.accepted || !tc.accepted && rule != mcp.Argument {
			t.Errorf("%s: got %q, want accepted %t", tc.name, rule, tc.accepted)
		}
	}
}

func TestRemoveAliases(t *testing.T) {
	t.Parallel()
	kept := headers("Mcp-Method: a", "Mcp-Name: a", "Mcp-Param-A: a", "Mcp-Param-A_b: a", "Mcp-Protocol-Version: a", "Mcp-Session-Id: a", "Mcp: a", "X-Mcp-Name: a", "Accept: a")
	h := maps.Clone(kept)
	for _, alias := range []string{"Mcp_name", "Mcp.Name", "mcp-name", "Mcpname", "Mcp--Name", "Mcp_Method", "Mcp-Method-", "Mcp_Param_A", "Mcp.Param-A", "Mcp-Param_A", "Mcpparam_A", "mcp-param-a", "Mcp-Parameter", "Mcp_protocol_version"} {
		h[alias] = []string{"x"}
	}
	mcp.RemoveAliases(h)
	got, want := slices.Sorted(maps.Keys(h)), slices.Sorted(maps.Keys(kept))
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// A reader that decodes whatever looks encoded finds the name that was judged.
func FuzzCheckHeaders(f *testing.F) {
	for _, seed := range []string{"delete_x", "=?base64?eA==?=", "=?BASE64?eA==?=", "=?base64?eB==?=", "café", "=?utf-8?B?eA==?=", ""} {
		f.Add("x", seed)
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, name, header string) {
		m := &mcp.Message{ID: []byte("1"), Method: "tools/call", Kind: mcp.Tool, Name: name}
		if m.CheckHeaders(http.Header{"Mcp-Name": {header}}) != nil {
			return
		}
		read := header
		if parts := strings.Split(header, "?"); len(parts) > 3 && strings.HasPrefix(header, "=?") && strings.HasSuffix(header, "?=") {
			text := strings.NewReplacer("-", "+", "_", "/", "=", "").Replace(parts[2])
			decoded, err := base64.RawStdEncoding.DecodeString(text)
			if err != nil {
				t.Fatalf("%q: %v", header, err)
			}
			read = string(decoded)
		}
		if read != name {
			t.Errorf("%q: judged as %q, read as %q", header, name, read)
		}
	})
}

// Servers read parameters in several ways, and in UTF-7 a body is another message.
func TestIsJSON(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]bool{
		`application/json`:                  true,
		`Application/JSON; Charset="UTF-8"`: true,
		`application/json;charset=utf-8;`:   true,

		``:                                 false,
		`text/json`:                        false,
		`application/json-rpc`:             false,
		`application/json; charset=utf-7`:  false,
		`application/json; charset=utf-16`: false,
		`application/json; charset`:        false,
		`application/json; charset=utf-7; charset*=UTF-8''utf-8`: false,
		`application/json; charset*=UTF-8''utf-8; charset=utf-7`: false,
		`application/json; charset=utf-7; charset*0=utf-8`:       false,
		`application/json; charset*=UTF-8''utf-8`:                false,
		`application/json; charset=utf-8; charset=utf-7`:         false,
		`application/json; x="; charset=utf-7"`:                  false,
		`application/json; charset=utf-8; x=1`:                   false,
		`application/json;; charset=utf-7`:                       false,
		`application/json, text/plain; charset=utf-8`:            false,
	} {
		if got := mcp.IsJSON(value); got != want {
			t.Errorf("%s: got %t", value, got)
		}
	}
}
