package policy_test

import (
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
)

// Names outside of rules are those of rules.
func TestNames(t *testing.T) {
	names, err := policy.ParseNames("tools", []string{"get", "delete_*"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"get": true, "delete_": true, "delete_a/b": true, "get_x": false, "Delete_x": false, "": false, "xdelete_": false} {
		if got := names.Match(name); got != want {
			t.Errorf("%q: got %t, want %t", name, got, want)
		}
	}
	for _, test := range []struct {
		kind, names, want string
	}{
		{"tools", "", "no names"},
		{"tools", "a a", "a is given twice"},
		{"prompts", "{x}", "brace"},
		{"methods", "a,b", "comma"},
		{"tools", "\xff", "not UTF-8"},
		{"resources", "secret", "normal form"},
	} {
		if _, err := policy.ParseNames(test.kind, strings.Fields(test.names)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %q: got %v, want %q", test.kind, test.names, err, test.want)
		}
	}
}
