package routing_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/routing"
)

// What is JSON, and what is a module, have the same parts.
func TestParts(t *testing.T) {
	t.Parallel()
	handlers := []string{
		`{"handler":"static_response","body":"x"}`,
		`{"handler":"subroute","routes":[{},{}]}`,
		`{"handler":"subroute","errors":{"routes":[{}]}}`,
		`{"handler":"invoke","name":"other"}`,
	}
	var raw, loaded caddyhttp.Route
	for i, module := range []caddyhttp.MiddlewareHandler{new(caddyhttp.StaticResponse), new(caddyhttp.Subroute), new(caddyhttp.Subroute), new(caddyhttp.Invoke)} {
		raw.HandlersRaw = append(raw.HandlersRaw, json.RawMessage(handlers[i]))
		if err := json.Unmarshal([]byte(handlers[i]), module); err != nil {
			t.Fatal(err)
		}
		loaded.Handlers = append(loaded.Handlers, module)
	}
	for name, route := range map[string]caddyhttp.Route{"JSON": raw, "modules": loaded} {
		parts, err := routing.Parts(route)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var names, invoked []string
		var inside []int
		for _, p := range parts {
			names, invoked = append(names, p.Name), append(invoked, p.Invokes)
			for _, list := range p.Routes {
				inside = append(inside, len(list))
			}
			if (p.Module == nil) != (name == "JSON") {
				t.Errorf("%s: %s has the module %v", name, p.Name, p.Module)
			}
		}
		if want := []string{"static_response", "subroute", "subroute", "invoke"}; !slices.Equal(names, want) {
			t.Errorf("%s: got the names %q, want %q", name, names, want)
		}
		if want := []string{"", "", "", "other"}; !slices.Equal(invoked, want) {
			t.Errorf("%s: got the invoked routes %q, want %q", name, invoked, want)
		}
		// The first has two routes, the second none, and one for errors.
		if want := []int{2, 0, 1}; !slices.Equal(inside, want) {
			t.Errorf("%s: got %v routes inside, want %v", name, inside, want)
		}
		var response struct{ Body string }
		if err := parts[0].Decode(&response); err != nil || response.Body != "x" {
			t.Errorf("%s: got %+v, %v", name, response, err)
		}
	}
}

func TestPartsErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, handler, want string }{
		{"no object", `[]`, "handler: "},
		{"no name", `{}`, "handler without a name"},
		{"name in capitals", `{"Handler":"subroute"}`, "handler without a name"},
		{"name that is no text", `{"handler":1}`, "handler without a name"},
		{"subroute without routes", `{"handler":"subroute","routes":{}}`, "subroute: "},
		{"invoke of a number", `{"handler":"invoke","name":1}`, "invoke: "},
	} {
		_, err := routing.Parts(caddyhttp.Route{HandlersRaw: []json.RawMessage{json.RawMessage(tc.handler)}})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want in it %q", tc.name, err, tc.want)
		}
	}
	type stranger struct{ caddyhttp.MiddlewareHandler }
	if _, err := routing.Parts(caddyhttp.Route{Handlers: []caddyhttp.MiddlewareHandler{stranger{}}}); err == nil {
		t.Error("a handler that is no module: got no error")
	}
}
