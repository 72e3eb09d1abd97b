package option

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// read reads every line as an option of the kind that its first word names.
func read(input string) (map[string]any, error) {
	var (
		text     string
		flag     bool
		list     []string
		scopes   []string
		duration caddy.Duration
	)
	d := caddyfile.NewTestDispenser(input)
	for d.Next() {
		var err error
		switch d.Val() {
		case "text":
			err = Text(d, &text)
		case "flag":
			err = Flag(d, &flag)
		case "list":
			err = List(d, &list)
		case "scopes":
			err = Scopes(d, &scopes)
		case "duration":
			err = Duration(d, &duration)
		}
		if err != nil {
			return nil, err
		}
	}
	return map[string]any{"text": text, "flag": flag, "list": list, "scopes": scopes, "duration": time.Duration(duration)}, nil
}

func TestOptions(t *testing.T) {
	t.Parallel()
	got, err := read("text \"a b\"\nflag\nlist a b\nscopes read mcp:tools\nduration 1d")
	want := map[string]any{"text": "a b", "flag": true, "list": []string{"a", "b"}, "scopes": []string{"read", "mcp:tools"}, "duration": 24 * time.Hour}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

// What is wrong with an option is said with its name and the cure.
func TestOptionErrors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ input, want string }{
		"text without a value":     {"text", "text takes one value, and has none" + Unset},
		"text with an empty one":   {`text ""`, "text takes one value, and has none" + Unset},
		"text with two":            {"text a b", "text takes one value, not 2: write a value that contains spaces in quotes"},
		"text twice":               {"text a\ntext a", "text is given twice: keep one"},
		"flag with a value":        {"flag on", "flag takes no value"},
		"flag twice":               {"flag\nflag", "flag is given twice: keep one"},
		"list without values":      {"list", "list needs at least one value, and none may be empty" + Unset},
		"list with an empty one":   {`list a ""`, "list needs at least one value, and none may be empty" + Unset},
		"list with commas":         {"list a, b", `list: separate values by spaces, not commas: "a,"`},
		"list of joined URLs":      {"list https://a.example,https://b.example", "list: separate values by spaces, not commas"},
		"list twice":               {"list a\nlist b", "list is given twice: list everything in one place"},
		"scopes with commas":       {"scopes a,b", `scopes: separate scopes by spaces, not commas: "a,b"`},
		"scopes without values":    {"scopes", "scopes needs at least one value"},
		"scopes twice":             {"scopes a\nscopes a", "scopes is given twice"},
		"duration without value":   {"duration", "duration takes a duration such as 15m or 30d" + Unset},
		"duration with two":        {"duration 1h 2h", "duration takes a duration such as 15m or 30d"},
		"duration without unit":    {"duration 15", `duration: "15" is not a duration such as 15m or 30d`},
		"duration of nothing":      {"duration 0s", `duration: "0s" is not a duration`},
		"duration in the past":     {"duration -1h", `duration: "-1h" is not a duration`},
		"duration twice":           {"duration 1h\nduration 1h", "duration is given twice: keep one"},
		"duration beyond an int64": {"duration 999999999999h", "is not a duration"},
	} {
		if got, err := read(test.input); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, %v, want %q", name, got, err, test.want)
		}
	}
}
