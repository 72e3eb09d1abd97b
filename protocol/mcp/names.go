package mcp

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"slices"
)

var (
	seed  = maphash.MakeSeed()
	seed1 = maphash.String(seed, "1")
	seed2 = maphash.String(seed, "2")
)

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
	if s.loose {
		return true
	}
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
