package streams

import (
	"strings"
	"testing"
)

// Where an event stream may end.
func TestEvents(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, text string
		// ends marks, below each byte, whether the stream may end after it.
		ends string
	}{
		{"event", "data: x\n\n", "........^"},
		{"two", "id:1\ndata\n\nx\n\n", "..........^..^"},
		{"comment", ": ping\n", "......^"},
		{"comment with an empty line", ":\n\n", ".^^"},
		{"comment in an event", "a\n:b\nc\n\n", ".......^"},
		{"empty lines", "\n\n", "^^"},
		{"carriage returns", "data\r\rx\r\r", ".....^..^"},
		{"both", "data\r\n\r\nx", "......^^."},
		{"both, comment", ":\r\n", ".^^"},
		{"mixed", "data\n\r\ndata\r\n\n", ".....^^......^"},
		{"a blank is a line", "data\n \n\n", ".......^"},
		{"byte order mark", "\ufeff: x\n\n", ".......^"},
		{"no line break", "data", "...."},
	} {
		if len(tc.text) != len(tc.ends) {
			t.Fatalf("%s: %d marks for %d bytes", tc.name, len(tc.ends), len(tc.text))
		}
		var e events
		if !e.between() {
			t.Errorf("%s: not at the beginning", tc.name)
		}
		var got strings.Builder
		for i := range len(tc.text) {
			// The rest of what follows is up to the first place where it may end.
			if rest := e.rest([]byte(tc.text[i:])); !e.between() {
				want := strings.IndexByte(tc.ends[i:], '^') + 1
				if want == 0 {
					want = len(tc.text) - i
				}
				if want < len(tc.text)-i && tc.text[i+want-1] == '\r' && tc.text[i+want] == '\n' {
					want++
				}
				if rest != want {
					t.Errorf("%s, at %d: got a rest of %d, want %d", tc.name, i, rest, want)
				}
			}
			e.pass([]byte{tc.text[i]})
			got.WriteByte(map[bool]byte{true: '^', false: '.'}[e.between()])
		}
		if got.String() != tc.ends {
			t.Errorf("%s: got %q, want %q", tc.name, got.String(), tc.ends)
		}
	}
}
