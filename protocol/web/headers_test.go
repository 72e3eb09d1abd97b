package web_test

import (
	"net/http"
	"slices"
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

func TestNames(t *testing.T) { // not parallel: it counts allocations
	names := web.NewNames("X-User", "PATH_INFO", "HTTP2-Settings", "9P")
	for name, want := range map[string]bool{
		"X-User": true, "x_user": true, "XUSER": true, "-X-User.": true, "Path-Info": true, "http2settings": true, "9-p": true,
		"": false, "-": false, "X": false, "X-User-R": false, "X-Users": false, "AX-User": false, "Path-Inf": false, "Http2-Settings-S": false, "9": false, "P": false, "0P": false,
	} {
		if got := names.Contains(name); got != want {
			t.Errorf("%q: got %t, want %t", name, got, want)
		}
	}
	if new(web.Names).Contains("") || web.NewNames().Contains("x") {
		t.Error("an empty set contains something")
	}
	header := http.Header{"X_user": nil, "X.User": nil, "X-Users": nil, "Accept": nil}
	got := names.In(header)
	if slices.Sort(got); !slices.Equal(got, []string{"X.User", "X_user"}) {
		t.Errorf("got %q", got)
	}
	ordinary := http.Header{"Accept": nil, "Authorization": nil, "Content-Type": nil, "User-Agent": nil, "X-Forwarded-For": nil}
	if n := testing.AllocsPerRun(100, func() { names.In(ordinary) }); n != 0 {
		t.Errorf("%.0f allocations for ordinary headers", n)
	}
}

// A set says the same as a comparison with each of its names.
func FuzzNames(f *testing.F) {
	f.Add("X-User", "PATH_INFO", "x_user")
	f.Add("", "-", "_")
	f.Add("1", "\u0661", "1.")
	f.Add("aZ", "Za", "z-A")
	f.Fuzz(func(t *testing.T, a, b, name string) {
		want := web.SameHeader(a, name) || web.SameHeader(b, name)
		if got := web.NewNames(a, b).Contains(name); got != want {
			t.Errorf("%q in %q and %q: got %t, want %t", name, a, b, got, want)
		}
	})
}
