package mcp

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Fold returns the form of a name in which a careless reader compares it: without
// letter case, compatibility characters (NFKC), blanks, control characters and
// characters that are never shown.
func Fold(name string) string {
	if isFolded(name) {
		return name
	}
	if folded, ok := foldASCII(name); ok {
		return folded
	}
	// One step can require another: a compatibility character may stand for capitals
	// or blanks. Two rounds are enough for every character.
	for range 4 {
		folded := strings.ReplaceAll(strings.Map(simple, norm.NFKC.String(name)), "ß", "ss")
		if folded == name {
			break
		}
		name = folded
	}
	return name
}

// foldASCII is Fold for most names that have capitals.
func foldASCII(name string) (folded string, ok bool) {
	b := make([]byte, 0, len(name))
	for i := range len(name) {
		switch c := name[i]; {
		case c >= utf8.RuneSelf:
			return "", false
		case 'A' <= c && c <= 'Z':
			b = append(b, c+'a'-'A')
		case c > ' ' && c < 0x7f:
			b = append(b, c)
		}
	}
	return string(b), true
}

// simple removes characters that aren't shown, and folds letter case in every way
// that programs do. Some compare names in capitals, where ı is I. (cases.Fold of
// x/text turns Cherokee letters into each other.)
func simple(r rune) rune {
	if unicode.IsSpace(r) || unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) {
		return -1
	}
	first := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		first = min(first, other)
	}
	return unicode.ToLower(unicode.ToUpper(first))
}

// isFolded reports whether a name is printable ASCII and its own folded form.
func isFolded[T string | []byte](name T) bool {
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}

// isPlain reports whether a name is printable ASCII, where folding changes only
// letter case.
func isPlain(name []byte) bool {
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// hasControl reports whether there are control characters, which no name or URI
// needs.
func hasControl(text string) bool { return strings.ContainsFunc(text, unicode.IsControl) }
