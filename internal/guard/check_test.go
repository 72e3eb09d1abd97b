package guard_test

import (
	"encoding/json"
	"strings"
	"testing"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-mcp-auth/caddy-mcp-auth"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/adapttest"
)

const (
	door    = "mcp_auth https://mcp.example.com/mcp {\nissuer https://as.example.com\nheader X-User {http.auth.user.id}\n}\n"
	mcpDoor = "mcp_auth /mcp* https://mcp.example.com/mcp {\nissuer https://as.example.com\nheader X-User {http.auth.user.id}\n}\n"
	server  = "mcp_auth_server https://mcp.example.com {\nresource https://mcp.example.com/mcp\nscopes mcp:tools\nusers {\nada $2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG\n}\n}\n"
	facade  = "mcp_auth_facade https://mcp.example.com {\npreset keycloak\nupstream http://127.0.0.1:1\n}\n"
	proxy   = "reverse_proxy 127.0.0.1:1\n"
)

// What Caddy says of a Caddyfile: of the layouts that anybody may think of, the
// guard comes first, or the configuration is refused with the cure.
func TestLayouts(t *testing.T) {
	const (
		line       = "or write `mcp_auth_guard` as a line of its own in the site"
		errorsLine = "Write `mcp_auth_guard` as a line in the block of handle_errors"
	)
	for _, tt := range []struct{ name, caddyfile, want string }{
		// Accepted.
		{"whole site", site(door + proxy), ""},
		{"matcher", site(mcpDoor + proxy), ""},
		{"matcher, other order of lines", site(proxy + mcpDoor), ""},
		{"two doors", site(mcpDoor + "mcp_auth /b* https://mcp.example.com/b {\nissuer https://as.example.com\n}\n" + proxy), ""},
		{"server alone", site(server + proxy), ""},
		{"façade alone", site(facade + proxy), ""},
		{"all three", site(facade + server + mcpDoor + proxy), ""},
		{"beside handle", site(mcpDoor + "handle /mcp* {\n" + proxy + "}\nhandle {\n" + proxy + "}"), ""},
		{"in handle, nothing else that proxies", site("handle /mcp* {\n" + door + proxy + "}\nhandle {\nrespond 404\n}"), ""},
		{"in handle, files beside", site("root * /srv\nhandle /mcp* {\n" + door + proxy + "}\nhandle {\nencode gzip\ntry_files {path} /index.html\nfile_server\n}"), ""},
		{"in handle, with the line", site("mcp_auth_guard\nhandle /mcp* {\n" + door + proxy + "}\nhandle {\n" + proxy + "}"), ""},
		{"in handle, with the line below", site("handle /mcp* {\n" + door + proxy + "}\nhandle {\n" + proxy + "}\nmcp_auth_guard"), ""},
		{"in route, with the line", site("mcp_auth_guard\nroute {\nroute /mcp* {\n" + door + proxy + "}\n" + proxy + "}"), ""},
		{"in route, first", site("route {\n" + mcpDoor + proxy + "}"), ""},
		{"in handle_path, with the line", site("mcp_auth_guard\nhandle_path /x/* {\n" + door + proxy + "}\n" + proxy), ""},
		{"with everything that comes before", site("root * /srv\nmap {path} {x} {\ndefault 1\n}\nvars a b\nheader X-A b\nredir /a /b\nrewrite /c /d\nuri strip_prefix /e\nmethod /z POST\nrequest_body {\nmax_size 1MB\n}\nlog_append a b\n" + mcpDoor + proxy), ""},
		{"handle_errors after", site("try_files {path} =404\n" + mcpDoor + proxy + "handle_errors {\n" + proxy + "}"), ""},
		{"handle_errors before", site("handle_errors {\n" + proxy + "}\n" + mcpDoor + proxy), ""},
		{"handle_errors with status after", site(mcpDoor + proxy + "handle_errors 404 5xx {\n" + proxy + "}"), ""},
		{"handle_errors with status before, a page", site("handle_errors 404 {\nrewrite * /404.html\nfile_server\n}\n" + mcpDoor + proxy), ""},
		{"handle_errors with status before, with the line", site("handle_errors 404 {\nmcp_auth_guard\n" + proxy + "}\n" + mcpDoor + proxy), ""},
		{"handle_errors of a nested door, with the lines", site("mcp_auth_guard\nhandle /mcp* {\n" + door + proxy + "}\nhandle_errors {\n" + proxy + "}"), ""},
		{"snippet", "(door) {\n" + mcpDoor + "}\n" + site("import door\n"+proxy), ""},
		{"named route after the door", "&(app) {\n" + proxy + "}\n" + site(mcpDoor+"invoke app"), ""},
		{"named route with the door", "&(app) {\n" + mcpDoor + proxy + "}\n" + site("invoke app"), ""},
		{"named route with the door, with the line", "&(app) {\n" + mcpDoor + proxy + "}\n" + site("mcp_auth_guard\ninvoke /x* app\n"+proxy), ""},
		{"another site", site(door+proxy) + "https://other.example.com {\n" + proxy + "}\n", ""},
		{"another site with error routes", site(door+proxy) + "https://other.example.com {\n" + proxy + "handle_errors {\n" + proxy + "}\n}\n", ""},
		{"wildcard beside", site(door+proxy) + "https://*.example.com {\n" + proxy + "handle_errors {\n" + proxy + "}\n}\n", ""},
		{"door of the wildcard", "https://*.example.com {\n" + door + proxy + "}\nhttps://other.example.com {\n" + proxy + "}\n", ""},
		{"door of all hosts", "https:// {\n" + door + proxy + "}\nhttps://other.example.com {\n" + proxy + "}\n", ""},
		{"several hosts", "https://a.example.com, https://b.example.com {\n" + door + proxy + "}\n", ""},
		{"a path in the address", "https://mcp.example.com/mcp* {\n" + door + proxy + "}\n", ""},
		{"an order before", "{\norder reverse_proxy before basic_auth\n}\n" + site(mcpDoor+proxy), ""},

		// Refused.
		{"in handle", site("handle /mcp* {\n" + door + proxy + "}\nhandle {\n" + proxy + "}"), line},
		{"in handle, other order", site("handle /public/* {\n" + proxy + "}\nhandle {\n" + door + proxy + "}"), line},
		{"in handle, proxied beside", site("handle /mcp* {\n" + door + proxy + "}\n" + proxy), line},
		{"in route", site("route /mcp* {\n" + door + proxy + "}\nroute {\n" + proxy + "}"), line},
		{"in handle_path", site("handle_path /mcp/* {\n" + door + proxy + "}\nhandle {\n" + proxy + "}"), line},
		{"in a route after the proxy", site("route {\nreverse_proxy /x* 127.0.0.1:1\n" + mcpDoor + proxy + "}"), line},
		{"FastCGI beside", site("root * /srv\nhandle /mcp* {\n" + door + proxy + "}\nhandle {\nphp_fastcgi 127.0.0.1:9\n}"), line},
		{"forward_auth beside", site("handle /mcp* {\n" + door + proxy + "}\nhandle {\nforward_auth 127.0.0.1:9 {\nuri /\n}\nrespond ok\n}"), line},
		{"server in handle", site("handle /oauth* {\n" + server + "}\nhandle {\n" + proxy + "}"), line},
		{"façade in handle", site("handle /oauth* {\n" + facade + "}\nhandle {\n" + proxy + "}"), line},
		{"an order before the door", "{\norder reverse_proxy first\n}\n" + site(mcpDoor+proxy), line},
		{"an order before the line", "{\norder reverse_proxy first\n}\n" + site("mcp_auth_guard\n"+mcpDoor+proxy), line},
		{"the line in a block", site("handle /x* {\nmcp_auth_guard\n" + proxy + "}\nhandle /mcp* {\n" + door + proxy + "}\nhandle {\n" + proxy + "}"), line},
		{"named route beside", "&(app) {\n" + proxy + "}\n" + site("handle /mcp* {\n"+door+proxy+"}\nhandle {\ninvoke app\n}"), line},
		{"named route with the door, proxied beside", "&(app) {\n" + door + proxy + "}\n" + site("handle /mcp* {\ninvoke app\n}\nhandle {\n"+proxy+"}"), line},
		{"wildcard with the door in a block", "https://*.example.com {\n@mcp host mcp.example.com\nhandle @mcp {\n" + door + proxy + "}\nhandle {\n" + proxy + "}\n}\n", line},
		{"handle_errors of a nested door", site("handle /mcp* {\n" + door + proxy + "}\nhandle_errors {\n" + proxy + "}"), errorsLine},
		{"handle_errors with status before", site("handle_errors 404 {\n" + proxy + "}\n" + mcpDoor + proxy), errorsLine},
		{"handle_errors with a class of status before", site("handle_errors 4xx {\n" + proxy + "}\n" + mcpDoor + proxy), errorsLine},
		{"a path of the same host", site(door+proxy) + "https://mcp.example.com/public* {\n" + proxy + "}\n", line},
		{"a rewrite by an identity header", site("@admin header X-User admin\nrewrite @admin /admin{uri}\n" + mcpDoor + proxy), "looks at X-User"},
		{"a variable of an identity header", site("vars who {header.X-User}\n" + mcpDoor + proxy), "looks at X-User"},
		{"an expression with an identity header", site("@admin expression `{header.x-user} == \"admin\"`\nredir @admin /a\n" + mcpDoor + proxy), "looks at x-user"},
		{"arguments", site("mcp_auth_guard /mcp*\n" + door + proxy), "takes no matcher and no options"},
		{"a block", site("mcp_auth_guard {\nheader X-User\n}\n" + door + proxy), "takes no matcher and no options"},
		{"in intercept", site("intercept {\nhandle_response {\n" + door + proxy + "}\n}\n" + proxy), "can't stand inside of http.handlers.intercept"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw, _, err := adapttest.Adapt("{\nadmin off\n}\n" + tt.caddyfile)
			if strings.HasPrefix(tt.caddyfile, "{") {
				raw, _, err = adapttest.Adapt(tt.caddyfile)
			}
			if err == nil {
				err = adapttest.Validate(t, raw)
			}
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got %v, want it accepted", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want in it %q", err, tt.want)
			}
		})
	}
}

func site(body string) string { return "https://mcp.example.com {\n" + body + "\n}\n" }

// The same for those who write JSON.
func TestLayoutsInJSON(t *testing.T) {
	t.Setenv("HOST", "a.example.com")
	const (
		guard     = `{"handler":"mcp_auth_guard"}`
		door      = `{"handler":"mcp_auth","resource":"https://mcp.example.com/mcp","issuers":[{"issuer":"https://as.example.com"}],"header":{"X-User":"{http.auth.user.id}"}}`
		proxy     = `{"handler":"reverse_proxy","upstreams":[{"dial":"127.0.0.1:1"}]}`
		forgotten = "without having passed mcp_auth_guard"
	)
	for _, tt := range []struct{ name, server, want string }{
		{"one route", `"routes":[{"handle":[` + guard + `,` + door + `,` + proxy + `]}]`, ""},
		{"several routes", `"routes":[{"handle":[` + guard + `]},{"match":[{"path":["/mcp*"]}],"handle":[` + door + `]},{"handle":[` + proxy + `]}]`, ""},
		{"hosts", `"routes":[{"match":[{"host":["a.example.com"]}],"terminal":true,"handle":[` + guard + `,` + door + `,` + proxy + `]},{"handle":[` + proxy + `]}]`, ""},
		{"a host of the wildcard before", `"routes":[{"match":[{"host":["a.example.com"]}],"terminal":true,"handle":[` + proxy + `]},{"match":[{"host":["*.example.com"]}],"handle":[` + guard + `,` + door + `,` + proxy + `]}]`, ""},
		{"nothing behind", `"routes":[{"handle":[` + door + `]}]`, ""},
		{"no door", `"routes":[{"handle":[` + proxy + `]}]`, ""},
		{"error routes", `"routes":[{"handle":[` + guard + `,` + door + `,` + proxy + `]}],"errors":{"routes":[{"handle":[` + guard + `,` + proxy + `]}]}`, ""},
		{"named route that invokes itself", `"routes":[{"handle":[` + guard + `,` + door + `,{"handler":"invoke","name":"x"}]}],"named_routes":{"x":{"handle":[{"handler":"invoke","name":"x"},` + proxy + `]}}`, ""},

		{"no guard", `"routes":[{"handle":[` + door + `,` + proxy + `]}]`, forgotten},
		{"guard after the door", `"routes":[{"handle":[` + door + `,` + proxy + `,` + guard + `]}]`, forgotten},
		{"guard with a matcher", `"routes":[{"match":[{"path":["/mcp*"]}],"handle":[` + guard + `]},{"handle":[` + door + `,` + proxy + `]}]`, forgotten},
		{"guard with a second matcher", `"routes":[{"match":[{"path":["*"],"method":["GET"]}],"handle":[` + guard + `]},{"handle":[` + door + `,` + proxy + `]}]`, forgotten},
		{"guard in a group", `"routes":[{"group":"g","match":[{"path":["/x"]}],"handle":[{"handler":"vars","a":"b"}]},{"group":"g","handle":[` + guard + `]},{"handle":[` + door + `,` + proxy + `]}]`, forgotten},
		{"guard of another host", `"routes":[{"match":[{"host":["a.example.com"]}],"handle":[` + guard + `]},{"handle":[` + door + `,` + proxy + `]}]`, forgotten},
		{"a route of the door's host before", `"routes":[{"match":[{"host":["a.example.com"],"path":["/x"]}],"terminal":true,"handle":[` + proxy + `]},{"match":[{"host":["A.example.com"]}],"handle":[` + guard + `,` + door + `,` + proxy + `]}]`, forgotten},
		{"a wildcard before", `"routes":[{"match":[{"host":["*.example.com"]}],"terminal":true,"handle":[` + proxy + `]},{"match":[{"host":["a.example.com"]}],"handle":[` + guard + `,` + door + `,` + proxy + `]}]`, forgotten},
		{"a wildcard in the middle before", `"routes":[{"match":[{"host":["a.*.com"]}],"terminal":true,"handle":[` + proxy + `]},{"match":[{"host":["a.example.com"]}],"handle":[` + guard + `,` + door + `,` + proxy + `]}]`, forgotten},
		{"a handler that isn't known to be passive", `"routes":[{"match":[{"host":["a.example.com"]}],"handle":[{"handler":"push"}]},{"match":[{"host":["a.example.com"]}],"handle":[` + guard + `,` + door + `,` + proxy + `]}]`, forgotten},
		{"a host from the environment before", `"routes":[{"match":[{"host":["{env.HOST}"]}],"terminal":true,"handle":[` + proxy + `]},{"match":[{"host":["a.example.com"]}],"handle":[` + guard + `,` + door + `,` + proxy + `]}]`, forgotten},
		{"error routes without", `"routes":[{"handle":[` + guard + `,` + door + `,` + proxy + `]}],"errors":{"routes":[{"handle":[` + proxy + `]}]}`, forgotten},
		{"error routes of a subroute", `"routes":[{"handle":[{"handler":"subroute","routes":[{"handle":[` + guard + `,` + door + `,` + proxy + `]}],"errors":{"routes":[{"handle":[` + proxy + `]}]}}]}]`, forgotten},
		{"door in the error routes", `"routes":[{"handle":[{"handler":"error"}]}],"errors":{"routes":[{"handle":[` + door + `,` + proxy + `]}]}`, forgotten},
		{"door in a named route", `"routes":[{"match":[{"path":["/mcp*"]}],"handle":[{"handler":"invoke","name":"x"}]},{"handle":[` + proxy + `]}],"named_routes":{"x":{"handle":[` + guard + `,` + door + `,` + proxy + `]}}`, forgotten},
		{"a named route that isn't there", `"routes":[{"handle":[{"handler":"invoke","name":"x"}]},{"handle":[` + guard + `,` + door + `,` + proxy + `]}]`, forgotten},
		{"headers copied before", `"routes":[{"handle":[{"handler":"headers","request":{"set":{"X-Real":["{http.request.header.X-User}"]}}},` + guard + `,` + door + `,` + proxy + `]}]`, "looks at X-User"},
		{"two names that fold", `"routes":[{"handle":[` + guard + `,` + strings.Replace(door, `"X-User"`, `"X-User":"a","X_User"`, 1) + `]}]`, "are the same to servers that fold header names"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw := `{"apps":{"http":{"servers":{"s":{"listen":["127.0.0.1:0"],` + tt.server + `}}}}}`
			if !json.Valid([]byte(raw)) {
				t.Fatalf("not JSON: %s", raw)
			}
			err := adapttest.Validate(t, []byte(raw))
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got %v, want it accepted", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want in it %q", err, tt.want)
			}
		})
	}
}
