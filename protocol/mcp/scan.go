package mcp

import (
	"bytes"
	"unicode/utf8"
)

// maxDepth is how deep objects and arrays may be nested. Messages of MCP need about
// ten levels, and some parsers stop at 128.
const (
	maxDepth      = 128
	maxLooseDepth = 1000
)

// A scanner checks JSON (RFC 8259) in one pass and builds nothing: a message of
// several megabytes is mostly one string. It is stricter than the RFC, in that names
// are unique in their object, strings are valid Unicode, and nesting is bounded.
// Every method takes the position of a value and returns the position after it, or
// the rule that is broken.
type scanner struct {
	b []byte
	// names are the keys of the names in the objects that are open: short names
	// themselves, hashes of longer ones. Equal keys count as equal names. No sender
	// knows the seeds, so that is wrong for one pair in 2^64.
	names []uint64
	// lookup, if not nil, treats names as equal if a careless reader would. folding is
	// how many bytes of names have been folded.
	lookup  *Lookup
	folding int
	// loose accepts names that aren't unique, texts that aren't Unicode, and deeper
	// nesting.
	loose bool
	// unquoted is the last name that had escapes.
	unquoted []byte
}

// document checks that there is one value and nothing after it. value reads it.
func (s *scanner) document(value func(at int) (int, Rule)) Rule {
	if s.loose {
		end, rule := value(s.blanks(0))
		return s.end(end, rule)
	}
	if bytes.HasPrefix(s.b, []byte("\xef\xbb\xbf")) || bytes.HasPrefix(s.b, []byte("\xfe\xff")) || bytes.HasPrefix(s.b, []byte("\xff\xfe")) {
		return Encoding
	}
	// All at once is faster than string by string.
	if !utf8.Valid(s.b) {
		return Encoding
	}
	end, rule := value(s.blanks(0))
	return s.end(end, rule)
}

// end checks that there is nothing after a value that was read.
func (s *scanner) end(at int, rule Rule) Rule {
	if rule == "" && s.blanks(at) != len(s.b) {
		return Syntax
	}
	return rule
}

// tooDeep reports whether there may be no object or array at a depth.
func (s *scanner) tooDeep(depth int) bool {
	return depth >= maxDepth && (!s.loose || depth >= maxLooseDepth)
}

func (s *scanner) blanks(at int) int {
	if at < len(s.b) && s.b[at] > ' ' {
		return at
	}
	return s.moreBlanks(at)
}

func (s *scanner) moreBlanks(at int) int {
	for at < len(s.b) && (s.b[at] == ' ' || s.b[at] == '\n' || s.b[at] == '\t' || s.b[at] == '\r') {
		at++
	}
	return at
}

// first returns the byte at a position, 0 after the end.
func (s *scanner) first(at int) byte {
	if at < len(s.b) {
		return s.b[at]
	}
	return 0
}

func (s *scanner) value(at, depth int) (int, Rule) {
	switch c := s.first(at); c {
	case '{':
		return s.object(at, depth, nil)
	case '[':
		return s.array(at, depth, nil)
	case '"':
		end, _, rule := s.text(at)
		return end, rule
	case 't':
		return s.literal(at, "true")
	case 'f':
		return s.literal(at, "false")
	case 'n':
		return s.literal(at, "null")
	default:
		if c == '-' || isDigit(c) {
			return s.number(at)
		}
		return at, Syntax
	}
}

func (s *scanner) literal(at int, word string) (int, Rule) {
	if end := at + len(word); end <= len(s.b) && string(s.b[at:end]) == word {
		return end, ""
	}
	return at, Syntax
}

func (s *scanner) number(at int) (int, Rule) {
	if s.first(at) == '-' {
		at++
	}
	digits := func() bool {
		from := at
		for isDigit(s.first(at)) {
			at++
		}
		return at > from
	}
	if s.first(at) == '0' {
		at++
	} else if !digits() {
		return at, Syntax
	}
	if s.first(at) == '.' {
		if at++; !digits() {
			return at, Syntax
		}
	}
	if c := s.first(at); c == 'e' || c == 'E' {
		at++
		if c := s.first(at); c == '+' || c == '-' {
			at++
		}
		if !digits() {
			return at, Syntax
		}
	}
	return at, ""
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// array reads an array, its elements with visit if that isn't nil.
func (s *scanner) array(at, depth int, visit func(at int) (int, Rule)) (int, Rule) {
	if s.tooDeep(depth) {
		return at, Depth
	}
	at = s.blanks(at + 1)
	if s.first(at) == ']' {
		return at + 1, ""
	}
	for {
		var rule Rule
		if visit != nil {
			at, rule = visit(at)
		} else {
			at, rule = s.value(at, depth+1)
		}
		if rule != "" {
			return at, rule
		}
		at = s.blanks(at)
		switch s.first(at) {
		case ',':
			at = s.blanks(at + 1)
		case ']':
			return at + 1, ""
		default:
			return at, Syntax
		}
	}
}

// object reads an object, its values with visit if that isn't nil. name is valid
// until visit scans on.
func (s *scanner) object(at, depth int, visit func(name []byte, at int) (int, Rule)) (int, Rule) {
	if s.tooDeep(depth) {
		return at, Depth
	}
	outer := len(s.names)
	at = s.blanks(at + 1)
	if s.first(at) == '}' {
		return at + 1, ""
	}
	for {
		if s.first(at) != '"' {
			return at, Syntax
		}
		name, end, rule := s.name(at, outer)
		if rule != "" {
			return end, rule
		}
		at = s.blanks(end)
		if s.first(at) != ':' {
			return at, Syntax
		}
		at = s.blanks(at + 1)
		if visit != nil {
			at, rule = visit(name, at)
		} else {
			at, rule = s.value(at, depth+1)
		}
		if rule != "" {
			return at, rule
		}
		at = s.blanks(at)
		switch s.first(at) {
		case ',':
			at = s.blanks(at + 1)
		case '}':
			if !s.allUnique(outer) {
				return at, Duplicate
			}
			s.names = s.names[:outer]
			return at + 1, ""
		default:
			return at, Syntax
		}
	}
}
