// Package web holds what all packages need to know about addresses on the web. It
// knows nothing of Caddy.
package web

import (
	"strings"
)

// Bounds on the readings of one request, in number and in bytes of all of them
// together. A path that people use has a dozen readings. Each reading is matched
// against the routes of the site, which costs far more than sending it.
const (
	maxReadings     = 128
	maxReadingBytes = 64 << 10
)

// Readings returns every path that a known server may take the path of a request for,
// given in the form in which it came over the wire, escaped. The form itself is not
// in the list. The list is empty for most paths: all servers read them alike. It
// reports false for a path with so many readings that it can only be an attack.
//
// The others are paths that the request has in another place, such as a header. They
// and their readings are in the list too, and count towards the same bounds.
//
// A proxy that decides by the path, and passes the request on as it came, must
// look at all of them. /x/..;/mcp is below /x to Caddy, but is /mcp to Tomcat and
// Spring.
//
// Servers combine the steps in different orders: WHATWG URL, which Node programs
// parse with, removes dot segments before anything decodes %2F; others do it
// afterwards. So each step is applied to what every other step leads to.
func Readings(escaped string, others ...string) ([]string, bool) {
	if plain, lower := Plain(escaped); plain && len(others) == 0 {
		if !lower {
			return []string{foldCase(escaped)}, true
		}
		return nil, true
	}
	found := []string{escaped}
	seen := map[string]struct{}{escaped: {}}
	size := len(escaped)
	// add reports whether there is room for one more.
	add := func(reading string) bool {
		if !strings.HasPrefix(reading, "/") {
			reading = "/" + reading
		}
		if _, ok := seen[reading]; ok {
			return true
		}
		seen[reading] = struct{}{}
		found = append(found, reading)
		size += len(reading)
		return len(found) <= maxReadings && size <= maxReadingBytes
	}
	if size > maxReadingBytes {
		return nil, false
	}
	for _, other := range others {
		if !add(other) {
			return nil, false
		}
	}
	for i := 0; i < len(found); i++ {
		for _, step := range steps {
			if !add(step(found[i])) {
				return nil, false
			}
		}
	}
	return found[1:], true
}

// Plain reports whether all servers read the path of a request alike, apart from
// its case, and whether it is in lower case. Nearly all paths are plain and in lower
// case, so this allocates nothing.
func Plain(escaped string) (plain, lower bool) {
	if escaped == "" || escaped[0] != '/' {
		return false, false
	}
	lower = true
	for i := range len(escaped) {
		switch kinds[escaped[i]] {
		case ordinary:
		case capital:
			lower = false
		case slash:
			if i > 0 && (escaped[i-1] == '/' || escaped[i-1] == '.') {
				return false, false // doubled, or the end of a dot segment
			}
			if i >= len(".php") && strings.EqualFold(escaped[i-len(".php"):i], ".php") {
				return false, false
			}
		case dot:
			if i+1 == len(escaped) || escaped[i+1] == '.' {
				return false, false
			}
		default:
			return false, false
		}
	}
	return true, lower
}

// kinds are the kinds of the characters that a plain path may have. No other
// character has a kind.
var kinds = func() (table [256]kind) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyz0123456789-_~!&'*+,=@") {
		table[c] = ordinary
	}
	for c := byte('A'); c <= 'Z'; c++ {
		table[c] = capital
	}
	table['/'], table['.'] = slash, dot
	return table
}()

type kind uint8

const (
	odd kind = iota
	ordinary
	capital
	slash
	dot
)
