package mcp

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// maxDepth is how deep objects and arrays may be nested. Messages of MCP need about
// ten levels, and some parsers stop at 128.
const maxDepth = 128

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
	// unquoted is the last name that had escapes.
	unquoted []byte
}

var (
	seed  = maphash.MakeSeed()
	seed1 = maphash.String(seed, "1")
	seed2 = maphash.String(seed, "2")
)

// document checks that there is one value and nothing after it. value reads it.
func (s *scanner) document(value func(at int) (int, Rule)) Rule {
	if bytes.HasPrefix(s.b, []byte("\xef\xbb\xbf")) || bytes.HasPrefix(s.b, []byte("\xfe\xff")) || bytes.HasPrefix(s.b, []byte("\xff\xfe")) {
		return Encoding
	}
	// All at once is faster than string by string.
	if !utf8.Valid(s.b) {
		return Encoding
	}
	end, rule := value(s.blanks(0))
	if rule == "" && s.blanks(end) != len(s.b) {
		return Syntax
	}
	return rule
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
	if depth >= maxDepth {
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
	if depth >= maxDepth {
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

// name reads the name of a member of the innermost object, whose names begin at
// outer.
func (s *scanner) name(at, outer int) (name []byte, end int, rule Rule) {
	// Most names are shorter than this.
	if b := s.b[at+1:]; len(b) > 16 && s.lookup == nil {
		first, n := binary.LittleEndian.Uint64(b), 0
		key := uint64(0)
		if n = end8(first); n < 8 {
			key = shortKey(first, n)
		} else {
			second := binary.LittleEndian.Uint64(b[8:])
			more := end8(second)
			key, n = longKey(first, shortKey(second, more)), n+more
		}
		if n < 16 && b[n] == '"' {
			if !s.unique(key, outer) {
				return nil, at, Duplicate
			}
			return b[:n:n], at + n + 2, ""
		}
	}
	end, escaped, rule := s.text(at)
	if rule != "" {
		return nil, end, rule
	}
	name = s.b[at+1 : end-1]
	if escaped {
		s.unquoted = unquote(s.unquoted[:0], name)
		name = s.unquoted
		// Programs written in C end a name here.
		if bytes.IndexByte(name, 0) >= 0 {
			return nil, at, Variant
		}
	}
	key, ok := s.key(name, outer == 0)
	if !ok || !s.unique(key, outer) {
		return nil, at, Duplicate
	}
	return name, end, ""
}

// key returns the key of a name, which is the name itself if it is short. The names
// of the outermost object are outer.
func (s *scanner) key(name []byte, isOuter bool) (key uint64, ok bool) {
	switch {
	case s.lookup != nil:
		return s.form(name, isOuter)
	case len(name) < 16:
		var w [16]byte
		copy(w[:], name)
		first, second := binary.LittleEndian.Uint64(w[:]), binary.LittleEndian.Uint64(w[8:])
		if len(name) < 8 {
			return shortKey(first, len(name)), true
		}
		return longKey(first, shortKey(second, len(name)-8)), true
	}
	return maphash.Bytes(seed, name), true
}

// shortKey returns the key of a name of n bytes, less than eight. They are the lowest of
// w.
func shortKey(w uint64, n int) uint64 { return w&(1<<(8*n)-1) | uint64(n)<<56 }

// longKey returns the key of a name of eight to fifteen bytes: of the first eight, and
// the key of the others.
func longKey(first, second uint64) uint64 {
	high, low := bits.Mul64(first^seed1, second^seed2)
	return high ^ low
}

// maxFolding is how many bytes of names are folded in one text. Names of printable
// ASCII in lower case cost nothing.
const maxFolding = 256 << 10

// folded returns the folded form of a name, unless too much has been folded.
func (s *scanner) folded(name []byte) (string, bool) {
	if isFolded(name) {
		return string(name), true
	}
	s.folding += len(name)
	if s.folding > maxFolding {
		return "", false
	}
	return Fold(string(name)), true
}

// few is the most names that are compared one by one.
const few = 16

// unique adds a name to the innermost object, whose names begin at outer. If there
// are many names, allUnique finds the duplicates.
func (s *scanner) unique(key uint64, outer int) bool {
	if len(s.names)-outer < few {
		for _, other := range s.names[outer:] {
			if other == key {
				return false
			}
		}
	}
	s.names = append(s.names, key)
	return true
}

func (s *scanner) allUnique(outer int) bool {
	names := s.names[outer:]
	if len(names) <= few {
		return true
	}
	slices.Sort(names)
	for i := 1; i < len(names); i++ {
		if names[i] == names[i-1] {
			return false
		}
	}
	return true
}
