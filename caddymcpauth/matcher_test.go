package caddymcpauth

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

func TestNarrowKinds(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, matcher, want string }{
		{"none", `{}`, ""},
		{"path", `{"path":["/mcp*"]}`, ""},
		{"path and host", `{"path":["/mcp*"],"host":["a"]}`, ""},
		{"path_regexp", `{"path_regexp":{"pattern":"^/mcp"}}`, ""},
		{"not a path", `{"not":[{"path":["/public*"]},{"path_regexp":{"pattern":"x"}}]}`, ""},
		{"method", `{"path":["/mcp*"],"method":["POST"]}`, "method"},
		{"header", `{"path":["/mcp*"],"header":{"X-Api":["*"]}}`, "header"},
		{"a tool", `{"mcp_tool":{"names":["get_*"]}}`, "mcp_tool"},
		{"a tool in an expression", `{"expression":"path('/mcp*') && mcp_tool('get_*')"}`, "expression"},
		{"header_regexp", `{"header_regexp":{"X":{"pattern":"y"}}}`, "header_regexp"},
		{"query", `{"query":{"a":["b"]}}`, "query"},
		{"remote_ip", `{"remote_ip":{"ranges":["10.0.0.0/8"]}}`, "remote_ip"},
		{"client_ip", `{"client_ip":{"ranges":["10.0.0.0/8"]}}`, "client_ip"},
		{"protocol", `{"protocol":"https"}`, "protocol"},
		{"vars", `{"vars":{"{x}":["y"]}}`, "vars"},
		{"file", `{"file":{}}`, "file"},
		{"tls", `{"tls":{}}`, "tls"},
		{"of another", `{"geoip":{}}`, "geoip"},
		{"not a method", `{"path":["/mcp*"],"not":[{"method":["OPTIONS"]}]}`, "method"},
		{"not not a header", `{"not":[{"not":[{"header":{"A":["b"]}}]}]}`, "header"},
		{"two", `{"path":["/mcp*"],"method":["POST"],"header":{}}`, "header method"},
		{"expression about the path", `{"expression":"path('/mcp*')"}`, ""},
		{"expression with a placeholder for the path", `{"expression":{"expr":"{http.request.uri.path}.startsWith('/mcp')"}}`, ""},
		{"expression with path_regexp", `{"expression":"path_regexp('^/mcp') || path('/x*')"}`, ""},
		{"expression with a method", `{"expression":"path('/mcp*') && method('POST')"}`, "expression"},
		{"expression with a placeholder", `{"expression":"{http.request.method} == 'POST'"}`, "expression"},
		{"expression with a short placeholder", `{"expression":"path('/mcp*') && {header.X} == 'y'"}`, "expression"},
		{"expression with an address", `{"expression":{"expr":"!remote_ip ('10.0.0.0/8')"}}`, "expression"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var matcher caddy.ModuleMap
			if err := json.Unmarshal([]byte(tc.matcher), &matcher); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(narrowKinds(matcher), " "); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
