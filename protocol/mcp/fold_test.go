package mcp_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

func TestFold(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, text, want string }{
		{"already folded", "delete_x-1.y/z", "delete_x-1.y/z"},
		{"empty", "", ""},
		{"capitals", "Delete_X", "delete_x"},
		{"blanks", " delete\t_ x\u00a0\u3000", "delete_x"},
		{"NUL", "delete_x\x00", "delete_x"},
		{"zero width", "de\u200blete\u200d_\ufeffx\u2060", "delete_x"},
		{"soft hyphen, joiners, selectors", "d\u00adelete_x\u034f\ufe0f\U000e0061", "delete_x"},
		{"Hangul fillers", "delete_x\u115f\u3164\uffa0", "delete_x"},
		{"other direction", "\u202edelete_x", "delete_x"},
		{"full width", "ｄｅｌｅｔｅ＿ｘ", "delete_x"},
		{"mathematical", "𝐃𝐞𝐥𝐞𝐭𝐞_x", "delete_x"},
		{"ligature", "ﬁle", "file"},
		{"Kelvin, long s, dotless i", "\u212aſı\u0130", "ksii"},
		{"sharp s", "Straße STRASSE STRAẞE", "strassestrassestrasse"},
		{"Greek", "ΣΊΣΥΦΟΣ", "σίσυφοσ"},
		{"composed", "e\u0301", "é"},
		{"roman numeral", "Ⅳ", "iv"},
	} {
		if got := mcp.Fold(tc.text); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
	// Names that only look alike are other names.
	for _, text := range []string{"delete-x", "delete.x", "dеlete_x", "deletе_x", "delete__x", "delete_×"} {
		if mcp.Fold(text) == "delete_x" {
			t.Errorf("%q folds", text)
		}
	}
}

// A folded name is its own form, for every character.
func TestFoldIsStable(t *testing.T) {
	t.Parallel()
	for r := rune(0); r <= utf8.MaxRune; r++ {
		for _, text := range []string{string(r), "a" + string(r)} {
			once := mcp.Fold(text)
			if twice := mcp.Fold(once); twice != once {
				t.Errorf("%U: got %q, then %q", r, once, twice)
			}
		}
	}
}

func FuzzFold(f *testing.F) {
	for _, seed := range []string{"Delete_x", "\u200b", "Ꭰꭰ", "a\u0345\u0301", "\xff", "ß\u0323"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		once := mcp.Fold(name)
		if mcp.Fold(once) != once {
			t.Errorf("%q: got %q, then %q", name, once, mcp.Fold(once))
		}
	})
}

func TestAmbiguousSiblings(t *testing.T) {
	t.Parallel()
	for arguments, want := range map[string]bool{
		``:                                 false,
		`{}`:                               false,
		`{"amount":1,"other":2}`:           false,
		` {"a":{"x":1},"b":{"X":1}}`:       false,
		`{"amount":1,"Amount":1e6}`:        true,
		`{"amount":1,"amount ":2}`:         true,
		`{"amount":1,"ａmount":2}`:          true,
		`{"amount":1,"am\u200bount":2}`:    true,
		`{"a":[{"b":{"x":1,"X":2}}]}`:      true,
		`{"maxAmount":1,"max_amount":2}`:   true,
		`{"max-amount":1,"max_amount":2}`:  true,
		`{"amount":1,"__proto__":{"a":1}}`: true,
		`{"a":{"__pr\u006fto__":[]}}`:      true,
		`{"a":1,`:                          true,
		`{` + members(100) + `,"M7":1}`:    true,
		`{` + members(100) + `}`:           false,
		`{` + strings.ReplaceAll(members(1000), "m", "é") + `}`:  false,
		`{` + strings.ReplaceAll(members(60000), "m", "é") + `}`: true,
	} {
		if got := (mcp.Lookup{}).Ambiguous([]byte(arguments)); got != want {
			t.Errorf("%.80s: got %t, want %t", arguments, got, want)
		}
	}
}

// A name that isn't spelled as it is looked up is there for other readers only.
func TestAmbiguousLookup(t *testing.T) {
	t.Parallel()
	lookup := mcp.NewLookup([]string{"force", "max_amount", "ID", "id"}, []string{"dryRun"})
	for arguments, want := range map[string]bool{
		`{"force":true,"max_amount":1,"a":{"dryRun":true}}`: false,
		`{"id":1}`:                        false,
		`{"ID":1}`:                        false,
		`{"a":{"Force":true}}`:            false,
		`{"DryRun":true,"dryRun":true}`:   true,
		`{"DryRun":true}`:                 false,
		`{"Force":true}`:                  true,
		`{"f\u006fRce":true}`:             true,
		`{"maxAmount":1}`:                 true,
		`{"Id":1}`:                        true,
		`{"a":{"dry_run":true}}`:          true,
		`{"a":[[{"b":{"DryRun":true}}]]}`: true,
	} {
		if got := lookup.Ambiguous([]byte(arguments)); got != want {
			t.Errorf("%s: got %t, want %t", arguments, got, want)
		}
	}
}
