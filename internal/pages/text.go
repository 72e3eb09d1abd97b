package pages

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// ellipsis stands for what was cut off.
const ellipsis = "…"

const (
	// maxName is how much of a name is shown, in runes: enough for honest
	// ones, too little to write a page of one's own into ours.
	maxName = 80
	// maxDetail is the same for small print.
	maxDetail = 300
	// maxProse is the same for a paragraph.
	maxProse = 900
	// maxHost is more than a host name with a port can have (RFC 1035,
	// section 2.3.4).
	maxHost = 262
	// maxMarks is how many accents a letter may carry. Vietnamese and Hebrew
	// need up to three; towers of them cover the lines around.
	maxMarks = 3
)

// appName is a client's name, cleaned, or a stand-in.
func appName(s string) string {
	if s = name(s); s == "" {
		return "An unnamed application"
	}
	return s
}

// name cleans what a client or a user is called.
func name(s string) string { return cut(clean(s), maxName) }

// prose cleans a text of ours that a stranger's words may be part of.
func prose(s string) string { return cut(clean(s), maxProse) }

// detail cleans small print and addresses.
func detail(s string) string { return cut(clean(s), maxDetail) }

// host cleans a host. One too long loses its beginning, not its end: the end
// says whose it is.
func host(s string) string {
	runes := []rune(clean(s))
	if len(runes) <= maxHost {
		return string(runes)
	}
	return ellipsis + string(runes[len(runes)-maxHost+1:])
}

// clean makes one line of what a stranger wrote, without what changes how the
// text around it reads: control and format characters (which turn the writing
// direction), private-use ones (logos, with some fonts), those that are not
// seen, and towers of accents. Runs of white space become a single space.
func clean(s string) string {
	var b strings.Builder
	space := false
	// None on what comes before the text.
	marks := maxMarks
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			space = b.Len() > 0
			marks = maxMarks
			continue
		case invisible(r):
			continue
		case unicode.In(r, unicode.Mn, unicode.Me):
			if marks == maxMarks {
				continue
			}
			marks++
		default:
			marks = 0
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return b.String()
}

// invisible reports whether a rune shows as nothing, or as nobody knows what.
func invisible(r rune) bool {
	return unicode.In(r, unicode.C, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) ||
		r == '\u2800' // an empty pattern of Braille, a space that is none
}

// cut shortens a cleaned text to a number of runes, the ellipsis included.
func cut(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return strings.TrimRight(string([]rune(s)[:limit-1]), " ") + ellipsis
}
