package policy_test

import (
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

// Names whose beginnings lie within each other, beside each other, and between each
// other in the order of the alphabet.
func TestFirstLine(t *testing.T) {
	t.Parallel()
	p := compile(t, strings.Join([]string{
		"tools get_user_admin*  need scope 1",
		"tools get_user_*_all   need scope 2",
		"tools get_*_b *_end    need scope 3",
		"tools get_user_*       need scope 4",
		"tools get_z* get_users need scope 5",
		"tools ge* h*           need scope 6",
		"tools \u00e9* \U0001F600*  need scope 7",
		"tools *x*              need scope 8",
		"methods tools/call",
	}, "\n"))
	for name, want := range map[string]string{
		"get_user_admin":     "tools:1",
		"get_user_admin_all": "tools:1",
		"get_user_admi_all":  "tools:2",
		"get_user_admi_b":    "tools:3",
		"get_user_end":       "tools:3",
		"_end":               "tools:3",
		"get_user_":          "tools:4",
		"get_user_zebra":     "tools:4",
		"get_users":          "tools:5",
		"get_z":              "tools:5",
		"get_userz":          "tools:6",
		"get_user":           "tools:6",
		"get_":               "tools:6",
		"ge":                 "tools:6",
		"h":                  "tools:6",
		"hx":                 "tools:6",
		"\u00e9":             "tools:7",
		"\U0001F600x":        "tools:7",
		"gx":                 "tools:8",
		"x":                  "tools:8",
		"\U0001F601x":        "tools:8",
		"g":                  "",
		"":                   "",
		"zzz":                "",
		"\U0001F601":         "",
	} {
		d := p.Decide(user(), call(name))
		got := ""
		if d.Rule.Kind != "" {
			got = d.Rule.String()
		}
		if got != want {
			t.Errorf("%q: got line %q (%s), want %q", name, got, result(d), want)
		}
		if listed := p.Listed(user(), mcp.Tool, name, false); listed != (want != "") {
			t.Errorf("%q: got listed %t", name, listed)
		}
	}
}

// A glob that fits a name only when folded is found wherever its beginning stands.
func TestFirstLineFolded(t *testing.T) {
	t.Parallel()
	p := compile(t, "tools Delete_All*  nobody\ntools delete_a* nobody\ntools ｇet_* nobody\ntools *")
	for name, want := range map[string]string{
		"delete_all":  "denied folded", // line 2 names it, and line 1 would
		"delete_a":    "denied nobody",
		"delete_ALL":  "denied folded",
		"Delete_All":  "denied folded",
		"DELETE_b":    "allowed line",
		"get_x":       "denied folded",
		"ge t_x":      "denied folded",
		"ｇet_x":       "denied nobody",
		"something":   "allowed line",
		"delete_":     "allowed line",
		"Delete_Some": "allowed line",
	} {
		if got := result(p.Decide(user(), call(name))); got != want {
			t.Errorf("%q: got %s, want %s", name, got, want)
		}
	}
}
