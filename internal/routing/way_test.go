package routing_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/adapttest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/routing"
)

// fromJSON returns the routes of a server of which only the JSON is there, as while
// Caddy provisions its first handler.
func fromJSON(t testing.TB, config string) (*routing.Tree, error) {
	t.Helper()
	server := new(caddyhttp.Server)
	if err := json.Unmarshal([]byte(config), server); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.WithValue(t.Context(), caddyhttp.ServerCtxKey, server)})
	t.Cleanup(cancel)
	return routing.New(ctx, server)
}

// beforeProvisioning is treeOf for a site that isn't provisioned yet.
func beforeProvisioning(t testing.TB, site string) *routing.Tree {
	t.Helper()
	raw, _, err := adapttest.Adapt("https://mcp.example.com {\nmcp_auth_guard\n" + site + "\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Apps struct {
			HTTP struct {
				Servers map[string]json.RawMessage `json:"servers"`
			} `json:"http"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(raw, &config); err != nil {
		t.Fatal(err)
	}
	tree, err := fromJSON(t, string(config.Apps.HTTP.Servers["srv0"]))
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// names returns the names of the handlers on a way, but for those that the adapter
// adds.
func names(way *routing.Way) string {
	var list []string
	for _, h := range way.Handlers {
		if h.Name != "subroute" && h.Name != "mcp_auth_guard" {
			list = append(list, h.Name)
		}
	}
	return strings.Join(list, " ")
}

// The way of a request is the same before its handlers are provisioned and after.
func TestWay(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, site, target string
		// The handlers on the way, and the path at its end.
		handlers, path   string
		answered, failed bool
	}{
		{"a door", "mcp_auth /mcp* " + door + proxy, "/mcp", "mcp_auth reverse_proxy", "/mcp", true, false},
		{"beside a door", "mcp_auth /mcp* " + door + proxy, "/x", "reverse_proxy", "/x", true, false},
		{"nothing", "respond /x 204", "/y", "", "/y", false, false},
		{"one of two", "handle /mcp* {\nmcp_auth " + door + proxy + "}\nhandle {\nrespond 404\n}", "/mcp/x", "mcp_auth reverse_proxy", "/mcp/x", true, false},
		{"the other of two", "handle /mcp* {\nmcp_auth " + door + proxy + "}\nhandle {\nrespond 404\n}", "/x", "static_response", "/x", true, false},
		{"a rewrite", "rewrite /v1 /mcp\nmcp_auth /mcp* " + door + proxy, "/v1", "rewrite mcp_auth reverse_proxy", "/mcp", true, false},
		{"a prefix", "handle_path /v1/* {\n" + proxy + "}", "/v1/mcp", "rewrite reverse_proxy", "/mcp", true, false},
		{"a variable", "vars a b\n@m vars a b\nrespond @m 204", "/x", "vars static_response", "/x", true, false},
		{"a map", "map {path} {a} {\n/x b\ndefault c\n}\n@m vars {a} b\nrespond @m 204", "/x", "map static_response", "/x", true, false},
		{"a map, another value", "map {path} {a} {\n/x b\ndefault c\n}\n@m vars {a} b\nrespond @m 204", "/y", "map", "/y", false, false},
		{"a header", "request_header X-A b\n@m header X-A b\nrespond @m 204", "/x", "headers static_response", "/x", true, false},
		{"forward_auth", "route {\nforward_auth 127.0.0.1:9 {\nuri /verify\n}\n" + proxy + "}", "/x", "reverse_proxy reverse_proxy", "/x", true, false},
		{"a proxy with pages for errors", "route {\nreverse_proxy 127.0.0.1:9 {\n@e status 5xx\nhandle_response @e {\nrespond 502\n}\n}\n" + proxy + "}", "/x", "reverse_proxy", "/x", true, false},
		{"files", "route {\nfile_server\n" + proxy + "}", "/x", "file_server", "/x", true, false},
		{"files, or else", "route {\nfile_server {\npass_thru\n}\n" + proxy + "}", "/x", "file_server reverse_proxy", "/x", true, false},
		{"metrics", "route {\nmetrics /x\nrespond 204\n}", "/x", "metrics", "/x", true, false},
		{"a handler that is unknown", "encode gzip\nrespond 204", "/x", "encode static_response", "/x", true, false},
		{"an error", "error /x 404", "/x", "error", "/x", false, true}, // the guard stands in the error routes
		{"an error with a page", "error /x 404\nhandle_errors {\nrespond oops\n}", "/x", "error static_response", "/x", true, true},
		{"an error after a rewrite", "rewrite /x /y\nerror /y 404\nhandle_errors {\nrespond /y oops\n}", "/x", "rewrite error", "/x", false, true},
		{"an error with another status", "error /x 404\nhandle_errors 404 {\nrespond oops\n}", "/y", "", "/y", false, false},
		{"an error twice", "error /x 404\nhandle_errors {\nerror 500\n}", "/x", "error error", "/x", false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for state, tree := range map[string]*routing.Tree{"provisioned": treeOf(t, tt.site), "before": beforeProvisioning(t, tt.site)} {
				r := request(t, "/before")
				header := r.Header.Clone()
				way := tree.Way(r, tt.target)
				if names(way) != tt.handlers || way.Path != tt.path || way.Answered != tt.answered || way.Failed != tt.failed {
					t.Errorf("%s: got %q to %s, answered %t, failed %t; want %q to %s, %t, %t",
						state, names(way), way.Path, way.Answered, way.Failed, tt.handlers, tt.path, tt.answered, tt.failed)
				}
				if want := strings.Contains(tt.handlers, "mcp_auth"); way.Meets("mcp_auth") != want {
					t.Errorf("%s: meets a door: %t", state, !want)
				}
				if r.URL.Path != "/before" || r.RequestURI != "/before" || !reflect.DeepEqual(r.Header, header) {
					t.Errorf("%s: the request was changed: %s, %v", state, r.RequestURI, r.Header)
				}
			}
		})
	}
}

// What only JSON can say.
func TestWayInJSON(t *testing.T) {
	t.Parallel()
	const ok, fails = `{"handler":"static_response"}`, `{"handler":"error"}`
	for _, tt := range []struct {
		name, server, handlers string
		answered, failed       bool
	}{
		{"a named route", `{"routes":[{"handle":[{"handler":"invoke","name":"a"}]}],"named_routes":{"a":{"handle":[` + ok + `]},"b":null}}`, "invoke static_response", true, false},
		{"a named route that isn't there", `{"routes":[{"handle":[{"handler":"invoke","name":"a"}]},{"handle":[` + ok + `]}]}`, "invoke static_response", true, false},
		{"a subroute's own errors", `{"routes":[{"handle":[{"handler":"subroute","routes":[{"handle":[` + fails + `]}],"errors":{"routes":[{"handle":[` + ok + `]}]}}]}],"errors":{"routes":[{"handle":[{"handler":"metrics"}]}]}}`, "error static_response", true, true},
		{"of a group the first", `{"routes":[{"group":"g","handle":[{"handler":"vars"}]},{"group":"g","handle":[` + fails + `]},{"group":"h","handle":[` + ok + `]}]}`, "vars static_response", true, false},
		{"a terminal route", `{"routes":[{"terminal":true,"handle":[{"handler":"vars"}]},{"handle":[` + ok + `]}]}`, "vars", false, false},
		{"a matcher that fails", `{"routes":[{"match":[{"expression":"1 / int('0') == 1"}],"handle":[` + ok + `]}],"errors":{"routes":[{"handle":[{"handler":"metrics"}]}]}}`, "metrics", true, true},
	} {
		tree, err := fromJSON(t, tt.server)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		way := tree.Way(request(t, "/x"), "/x")
		if names(way) != tt.handlers || way.Answered != tt.answered || way.Failed != tt.failed {
			t.Errorf("%s: got %q, answered %t, failed %t", tt.name, names(way), way.Answered, way.Failed)
		}
	}
}

// Named routes that invoke each other come to an end.
func TestWayOfALoop(t *testing.T) {
	t.Parallel()
	tree, err := fromJSON(t, `{"routes":[{"handle":[{"handler":"invoke","name":"a"}]}],"named_routes":{
		"a":{"handle":[{"handler":"invoke","name":"b"}]},"b":{"handle":[{"handler":"invoke","name":"a"}]}}}`)
	if err != nil {
		t.Fatal(err)
	}
	if way := tree.Way(request(t, "/x"), "/x"); way.Answered || len(way.Handlers) > 100 {
		t.Errorf("answered %t, after %d handlers", way.Answered, len(way.Handlers))
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for name, server := range map[string]string{
		"an unknown matcher":                `{"routes":[{"match":[{"nothing":{}}],"handle":[{"handler":"vars"}]}]}`,
		"a matcher in a subroute":           `{"routes":[{"handle":[{"handler":"subroute","routes":[{"match":[{"nothing":{}}]}]}]}]}`,
		"a matcher in a subroute's errors":  `{"routes":[{"handle":[{"handler":"subroute","errors":{"routes":[{"match":[{"nothing":{}}]}]}}]}]}`,
		"a matcher in a named route":        `{"named_routes":{"a":{"match":[{"nothing":{}}]}}}`,
		"a matcher in error routes":         `{"errors":{"routes":[{"match":[{"nothing":{}}]}]}}`,
		"a handler that is no object":       `{"routes":[{"handle":["vars"]}]}`,
		"a subroute with a number":          `{"routes":[{"handle":[{"handler":"subroute","routes":1}]}]}`,
		"a named route with a number":       `{"routes":[{"handle":[{"handler":"invoke","name":1}]}]}`,
		"a rewrite with an unknown field":   `{"routes":[{"handle":[{"handler":"rewrite","nothing":1}]}]}`,
		"a door with a number":              `{"routes":[{"handle":[{"handler":"mcp_auth","resource":1}]}]}`,
		"an authorization server's numbers": `{"routes":[{"handle":[{"handler":"mcp_auth_server","issuer":1}]}]}`,
	} {
		if _, err := fromJSON(t, server); err == nil {
			t.Errorf("%s: passes", name)
		}
	}
}

// What others ask of the routes: the doors and servers, and for which paths and hosts
// they are.
func TestTree(t *testing.T) {
	t.Parallel()
	const site = "handle /mcp* {\nmcp_auth " + door + proxy + "}\nhandle /other/* {\nmcp_auth https://mcp.example.com/other {\nissuer https://as.example.com\nforward_token\n}\n" + proxy + "}\nhandle /a/b* {\nrespond 204\n}"
	for state, tree := range map[string]*routing.Tree{"provisioned": treeOf(t, site), "before": beforeProvisioning(t, site)} {
		if len(tree.Doors) != 2 {
			t.Fatalf("%s: got %d doors, want 2", state, len(tree.Doors))
		}
		first, second := tree.Doors[0], tree.Doors[1] // the longer path comes first
		if first.Resource != "https://mcp.example.com/other" || !first.ForwardsToken || second.Resource != "https://mcp.example.com/mcp" || second.ForwardsToken {
			t.Errorf("%s: got %s, forwards %t, and %s, forwards %t", state, first.Resource, first.ForwardsToken, second.Resource, second.ForwardsToken)
		}
		if !slices.Equal(first.Hosts, []string{"mcp.example.com"}) || !slices.Equal(tree.Hosts, first.Hosts) {
			t.Errorf("%s: got hosts %q and %q", state, first.Hosts, tree.Hosts)
		}
		if want := []string{"", "/a/b", "/mcp", "/other"}; !slices.Equal(slices.Sorted(slices.Values(tree.Prefixes)), want) { // the guard's is *
			t.Errorf("%s: got prefixes %q, want %q", state, tree.Prefixes, want)
		}
		for path, want := range map[string]bool{"/mcp": true, "/other": true, "/mcp/": false, "/a/b": false, "": false} {
			if got := tree.IsResource(path); got != want {
				t.Errorf("%s: %q is a resource: %t", state, path, got)
			}
		}
		way := tree.Way(request(t, "/other/x"), "/other/x")
		for _, h := range way.Handlers {
			if h.Same(second) || h.Same(first) != (h.Name == "mcp_auth") {
				t.Errorf("%s: %s is the first door: %t, the second: %t", state, h.Name, h.Same(first), h.Same(second))
			}
			want := []string(nil)
			if h.Name == "reverse_proxy" {
				want = []string{"127.0.0.1:9"}
			}
			if got := h.Upstreams(); !slices.Equal(got, want) {
				t.Errorf("%s: the upstreams of %s: got %q, want %q", state, h.Name, got, want)
			}
		}
	}
}

// Doors in error routes are no way in: the request has failed by then.
func TestTreeOfServers(t *testing.T) {
	t.Parallel()
	tree, err := fromJSON(t, `{
		"routes":[{"match":[{"host":["a.example","b.example"]}],"handle":[{"handler":"mcp_auth_server","issuer":"https://a.example","resources":["https://a.example/mcp"],"scopes":[{"name":"mcp:tools"}]}]}],
		"errors":{"routes":[{"handle":[{"handler":"mcp_auth","resource":"https://a.example/mcp"}]}]}}`)
	if err != nil {
		t.Fatal(err)
	}
	want := []routing.Server{{
		Issuer: "https://a.example", Resources: []string{"https://a.example/mcp"}, Scopes: []routing.Scope{{Name: "mcp:tools"}}, Hosts: []string{"a.example", "b.example"},
	}}
	if !reflect.DeepEqual(tree.Servers, want) || len(tree.Doors) != 0 {
		t.Errorf("got servers %+v and %d doors, want %+v and none", tree.Servers, len(tree.Doors), want)
	}
}

// The effects of handlers on the way stay out of the answer.
func TestWayWritesNothing(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	r := caddyhttp.PrepareRequest(httptest.NewRequest(http.MethodGet, "/x", nil), caddy.NewReplacer(), w, nil)
	treeOf(t, "header X-A b\nmap {path} {a} {\ndefault c\n}\nrespond 204").Way(r, "/x")
	if len(w.Header()) != 0 || w.Body.Len() != 0 {
		t.Errorf("got %v, %q", w.Header(), w.Body)
	}
}
