package policy

import (
	"slices"
	"strings"
)

// starred finds the globs with a star that match a name. A name is compared only with
// the globs whose text before the first star it begins with. These texts are sorted:
// all that a name begins with are parts of the greatest one that isn't after it.
type starred []beginning

// beginning is the text before the first star of some globs.
type beginning struct {
	text  string
	globs []numbered
	// within is the position of the longest other beginning that text begins with; -1
	// if there is none.
	within int
}

// numbered is a glob with the position of its line.
type numbered struct {
	glob glob
	line int
}

// newStarred returns the index of globs that are in the order of their lines.
func newStarred(globs []numbered) starred {
	var list starred
	for _, g := range globs {
		at, found := list.search(g.glob.prefix())
		if !found {
			list = slices.Insert(list, at, beginning{text: g.glob.prefix()})
		}
		list[at].globs = append(list[at].globs, g)
	}
	for i := range list {
		within := i - 1
		for within >= 0 && !strings.HasPrefix(list[i].text, list[within].text) {
			within = list[within].within
		}
		list[i].within = within
	}
	return list
}

func (list starred) search(text string) (at int, found bool) {
	return slices.BinarySearchFunc(list, text, func(b beginning, text string) int { return strings.Compare(b.text, text) })
}

// longest returns the position of the longest beginning of a name; -1 if there is
// none. The others follow by within.
func (list starred) longest(name string) int {
	at, found := list.search(name)
	if !found {
		at--
	}
	for at >= 0 && !strings.HasPrefix(name, list[at].text) {
		at = list[at].within
	}
	return at
}

// first returns the first line before another one that has a glob for name, or that
// other one.
func (list starred) first(name string, before int) int {
	for at := list.longest(name); at >= 0; at = list[at].within {
		for _, g := range list[at].globs {
			if g.line >= before {
				break
			}
			if g.glob.match(name) {
				before = g.line
				break
			}
		}
	}
	return before
}

// anyLine reports whether fits is true of a line that has a glob for name.
func (list starred) anyLine(name string, fits func(line int) bool) bool {
	for at := list.longest(name); at >= 0; at = list[at].within {
		for _, g := range list[at].globs {
			if g.glob.match(name) && fits(g.line) {
				return true
			}
		}
	}
	return false
}
