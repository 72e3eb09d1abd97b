package web

import "net/http"

// SameHeader reports whether servers may take one name of a header for the other:
// they have the same letters and digits, whatever stands between them. CGI, WSGI
// and PHP turn X-User, X_User and X.User into the same variable.
func SameHeader(a, b string) bool {
	i, j := 0, 0
	for {
		for i < len(a) && !isAlphanumeric(a[i]) {
			i++
		}
		for j < len(b) && !isAlphanumeric(b[j]) {
			j++
		}
		if i == len(a) || j == len(b) {
			return i == len(a) && j == len(b)
		}
		if lower(a[i]) != lower(b[j]) {
			return false
		}
		i++
		j++
	}
}

// Names is a set of header names. It also finds the names that servers may take for
// one of the set. The zero value is empty. Every header of every request is looked up
// in it, so most names are told apart by their first and last letter alone.
type Names struct {
	names       []string
	first, last letters
}

// NewNames returns the set of names.
func NewNames(names ...string) Names {
	set := Names{names: names}
	for _, name := range names {
		first, last := ends(name)
		set.first |= first
		set.last |= last
	}
	return set
}

// Names returns the names of the set.
func (n Names) Names() []string { return n.names }

// Contains reports whether servers may take name for one of the set; see
// [SameHeader].
func (n Names) Contains(name string) bool {
	first, last := ends(name)
	if n.first&first == 0 || n.last&last == 0 {
		return false
	}
	for _, other := range n.names {
		if SameHeader(name, other) {
			return true
		}
	}
	return false
}

// In returns the names in header that the set contains. It returns nil for nearly
// every request.
func (n Names) In(header http.Header) []string {
	var found []string
	for name := range header {
		if n.Contains(name) {
			found = append(found, name)
		}
	}
	return found
}

// letters is a set of letters and digits, regardless of case.
type letters uint64

// none is the first and last letter of a name without letters and digits.
const none letters = 1

// ends returns the first and the last letter of a name.
func ends(name string) (first, last letters) {
	for i := range len(name) {
		if isAlphanumeric(name[i]) {
			first = letterOf(name[i])
			break
		}
	}
	if first == 0 {
		return none, none
	}
	for i := len(name) - 1; ; i-- {
		if isAlphanumeric(name[i]) {
			return first, letterOf(name[i])
		}
	}
}

func letterOf(c byte) letters {
	if c <= '9' {
		return 2 << (c - '0')
	}
	return 2 << (10 + lower(c) - 'a')
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
