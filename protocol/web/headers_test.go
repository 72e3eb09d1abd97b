package web_test

import (
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

func TestSameHeader(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		{"X-User", "X-User", true},
		{"X-User", "x_user", true},
		{"X-User", "X.User", true},
		{"X-User", "XUser", true},
		{"X-User", "--X--User--", true},
		{"X-User", "X-Users", false},
		{"X-User", "X-Use", false},
		{"X-User", "", false},
		{"-", "", true},
	} {
		if web.SameHeader(tc.a, tc.b) != tc.want || web.SameHeader(tc.b, tc.a) != tc.want {
			t.Errorf("%q and %q: want %t", tc.a, tc.b, tc.want)
		}
	}
}
