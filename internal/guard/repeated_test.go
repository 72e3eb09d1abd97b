package guard

import (
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Of guards in a row, the first one does the work. A guard that anything stands
// before does its own.
func TestRepeated(t *testing.T) {
	t.Parallel()
	const (
		all   = `{"match":[{"path":["*"]}],"handle":[{"handler":"mcp_auth_guard"}]}`
		plain = `{"handle":[{"handler":"mcp_auth_guard"}]}`
		vars  = `{"handle":[{"handler":"vars"}]}`
	)
	sub := func(routes string) string {
		return `{"match":[{"host":["a"]}],"handle":[{"handler":"subroute","routes":[` + routes + `]}],"terminal":true}`
	}
	for _, tt := range []struct {
		name, routes string
		want         []bool
	}{
		{"one", all, []bool{false}},
		{"two", all + "," + all, []bool{false, true}},
		{"three, without matchers", plain + "," + all + "," + plain, []bool{false, true, true}},
		{"of a site", sub(all + "," + all + "," + vars), []bool{false, true}},
		{"of two sites", sub(all) + "," + sub(all+","+all), []bool{false, false, true}},
		{"before a site", all + "," + sub(all), []bool{false, false}},

		{"something in between", all + "," + vars + "," + all, []bool{false, false}},
		{"something in its route before it", all + `,{"handle":[{"handler":"vars"},{"handler":"mcp_auth_guard"}]}`, []bool{false, false}},
		{"something behind the first in its route", `{"handle":[{"handler":"mcp_auth_guard"},{"handler":"vars"}]},` + all, []bool{false, false}},
		{"the first for some paths", `{"match":[{"path":["/x*"]}],"handle":[{"handler":"mcp_auth_guard"}]},` + all, []bool{false, false}},
		{"the first for some paths of all", `{"match":[{"path":["*"],"method":["GET"]}],"handle":[{"handler":"mcp_auth_guard"}]},` + all, []bool{false, false}},
		{"the first in a group", `{"group":"g","handle":[{"handler":"mcp_auth_guard"}]},` + all, []bool{false, false}},
		{"after a site", sub(all) + "," + all, []bool{false, false}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := provision(t, `{"routes":[`+tt.routes+`]}`)
			var got []bool
			var collect func(caddyhttp.RouteList)
			collect = func(routes caddyhttp.RouteList) {
				for _, route := range routes {
					for _, handler := range route.Handlers {
						switch handler := handler.(type) {
						case *Handler:
							got = append(got, handler.repeated())
						case *caddyhttp.Subroute:
							collect(handler.Routes)
						}
					}
				}
			}
			collect(server.Routes)
			if len(got) != len(tt.want) {
				t.Fatalf("got %d guards, want %d", len(got), len(tt.want))
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Errorf("guard %d: got %t, want %t", i, got[i], tt.want[i])
				}
			}
		})
	}
}
