package policy

import (
	"errors"
	"unicode/utf8"
)

// For tests of globs.

func Overlaps(a, b string) bool { return parseGlob(a).overlaps(parseGlob(b)) }

func Covers(a, b string) (bool, error) {
	if !utf8.ValidString(a) || !utf8.ValidString(b) {
		return false, errors.New("not UTF-8")
	}
	return parseGlob(a).covers(parseGlob(b)), nil
}
