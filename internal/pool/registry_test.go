package pool_test

import (
	"slices"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pool"
)

func TestRegistry(t *testing.T) {
	t.Parallel()
	var r pool.Registry[string]
	check := func(when string, want ...string) {
		t.Helper()
		if got := r.All("key"); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", when, got, want)
		}
		latest, ok := r.Latest("key")
		if ok != (len(want) > 0) || ok && latest != want[len(want)-1] {
			t.Errorf("%s: got the latest %q, %t, want that of %q", when, latest, ok, want)
		}
	}
	check("at first")
	a := r.Register("key", "a")
	b := r.Register("key", "b")
	defer r.Register("other", "x")()
	check("registered", "a", "b")
	// A reload: the next configuration comes before this one goes.
	again := r.Register("key", "a")
	check("during a reload", "a", "b", "a")
	list := r.All("key")
	a()
	a()
	check("after one is released twice", "b", "a")
	if !slices.Equal(list, []string{"a", "b", "a"}) {
		t.Errorf("a list that was handed out changes: %q", list)
	}
	again()
	check("after the latest has gone", "b")
	b()
	check("at the end")
}
