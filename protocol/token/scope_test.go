package token_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

func TestScopeHierarchy(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		implies map[string][]string
		granted string
		needed  string
		want    bool
	}{
		{"nothing needed", nil, "", "", true},
		{"exact", nil, "read", "read", true},
		{"missing", nil, "read", "write", false},
		{"one of two", nil, "read", "read write", false},
		{"other case", nil, "Read", "read", false},
		{"prefix", nil, "read:all", "read", false},
		{"implied", map[string][]string{"admin": {"read", "write"}}, "admin", "read write", true},
		{"not the other way", map[string][]string{"admin": {"read", "write"}}, "read write", "admin", false},
		{"transitive", map[string][]string{"admin": {"write"}, "write": {"read"}}, "admin", "read", true},
		{"over three steps", map[string][]string{"a": {"b"}, "b": {"c"}, "c": {"d"}}, "a", "d", true},
		{"over three steps, not back", map[string][]string{"a": {"b"}, "b": {"c"}, "c": {"d"}}, "d", "a", false},
		{"siblings", map[string][]string{"admin": {"read", "write"}}, "write", "read", false},
		{"cycle", map[string][]string{"a": {"b"}, "b": {"a"}}, "a", "b", true},
		{"cycle, other way", map[string][]string{"a": {"b"}, "b": {"a"}}, "b", "a", true},
		{"cycle, outside it", map[string][]string{"a": {"b"}, "b": {"a", "c"}}, "c", "a", false},
		{"itself", map[string][]string{"a": {"a"}}, "a", "a", true},
		{"itself does not grant it", map[string][]string{"a": {"a"}}, "b", "a", false},
		{"diamond", map[string][]string{"a": {"b", "c"}, "b": {"d"}, "c": {"d"}}, "c", "d", true},
		{"nothing granted", map[string][]string{"admin": {"read"}}, "", "read", false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := token.NewScopeHierarchy(tc.implies)
			if got := h.Satisfied(strings.Fields(tc.granted), strings.Fields(tc.needed)); got != tc.want {
				t.Errorf("granted %q, needed %q: got %t, want %t", tc.granted, tc.needed, got, tc.want)
			}
			all := h.With(strings.Fields(tc.granted))
			missing := slices.ContainsFunc(strings.Fields(tc.needed), func(scope string) bool { return !slices.Contains(all, scope) })
			if missing == tc.want {
				t.Errorf("granted %q, which includes %q: %q are all there: %t, want %t", tc.granted, all, tc.needed, !missing, tc.want)
			}
			if once := slices.Compact(slices.Sorted(slices.Values(all))); len(once) != len(all) {
				t.Errorf("granted %q, which includes %q: some of them twice", tc.granted, all)
			}
		})
	}
}

func TestCheckScope(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"read", "mcp:tools", "https://api.example/.default", "a!#$%&'()*+,-./:;<=>?@[]^_`{|}~", "0"} {
		if err := token.CheckScope(good); err != nil {
			t.Errorf("CheckScope(%q): got %v, want no error", good, err)
		}
	}
	for _, bad := range []string{"", " ", "a b", "a\tb", "a\nb", `a"b`, `a\b`, "a\x7f", "é", "a\x00", "read,", ","} {
		if err := token.CheckScope(bad); err == nil {
			t.Errorf("CheckScope(%q): got no error, want one", bad)
		}
	}
}

func TestContext(t *testing.T) {
	t.Parallel()
	if tok, ok := token.FromContext(t.Context()); ok || tok != nil {
		t.Errorf("empty context: got %v, %t, want nil, false", tok, ok)
	}
	want := &token.Token{Scopes: []string{"read"}}
	got, ok := token.FromContext(token.NewContext(t.Context(), want))
	if !ok || got != want || !slices.Equal(got.Scopes, want.Scopes) {
		t.Errorf("got %v, %t, want the token, true", got, ok)
	}
}
