package inprocess

import "testing"

func TestResourceName(t *testing.T) {
	t.Parallel()
	const id = "https://names.example/mcp"
	check := func(when, asked, want string) {
		t.Helper()
		if got := ResourceName(asked); got != want {
			t.Errorf("%s: got %q of %s, want %q", when, got, asked, want)
		}
	}
	check("at first", id, "")
	before := RegisterResource(id, "Before")
	check("registered", id, "Before")
	check("registered", id+"/", "Before")
	check("registered", "https://names.example/other", "")
	after := RegisterResource(id, "After")
	check("during a reload", id, "After")
	before()
	check("after a reload", id, "After")
	before()
	after()
	check("at the end", id, "")
}
