package pages

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// ellipsis replaces what was cut off.
const ellipsis = "…"

const (
	// maxName bounds a shown name, in runes. It is enough for honest names, and
	// too short for a text that poses as part of the page.
	maxName = 80
	// maxDetail is the same for small print.
	maxDetail = 300
	// maxProse is the same for a paragraph.
	maxProse = 900
	// maxHost bounds a shown host. No host name with a port is longer (RFC 1035,
	// section 2.3.4).
	maxHost = 262
	// maxMarks bounds the accents on a letter. Vietnamese and Hebrew need up to
	// three; towers of them would cover the lines around.
	maxMarks = 3
)

// appName returns a client's name, cleaned, or a placeholder for it.
func appName(s string) string {
	if s = name(s); s == "" {
		return "An unnamed application"
	}
	return s
}

// name cleans the name of a client or a user.
func name(s string) string { return cut(clean(s), maxName) }

// prose cleans a sentence of ours that may contain untrusted text.
func prose(s string) string { return cut(clean(s), maxProse) }

// detail cleans small print and addresses.
func detail(s string) string { return cut(clean(s), maxDetail) }

// host cleans a host. If it is too long, the beginning is cut off: the end
// identifies the owner.
func host(s string) string {
	runes := []rune(clean(s))
	if len(runes) <= maxHost {
		return string(runes)
	}
	return ellipsis + string(runes[len(runes)-maxHost+1:])
}

// clean turns untrusted text into one line, without characters that affect the
// text around it: control and format characters (which change the writing
// direction), private-use ones (logos, in some fonts), invisible ones, and towers
// of accents. Runs of white space become a single space.
func clean(s string) string {
	var b strings.Builder
	space := false
	// No accents may go onto the text before.
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

// invisible reports whether a rune is displayed as nothing, or unpredictably.
func invisible(r rune) bool {
	return unicode.In(r, unicode.C, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) ||
		r == '\u2800' // an empty Braille pattern, which looks like a space
}

// cut shortens a cleaned text to limit runes, including the ellipsis.
func cut(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return strings.TrimRight(string([]rune(s)[:limit-1]), " ") + ellipsis
}
