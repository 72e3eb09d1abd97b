package mcp

import "bytes"

// A server may send the answer to one request as that to another: the TypeScript SDK's
// does, if both have the same id. So a list may be in every answer, and clients take it
// from there. Answers to other requests than for a list may be large, and have what a
// strict reader refuses, such as half a surrogate pair in the output of a tool. All
// that counts in them is whether they hold a list.

// holdsList reports whether there is a list in an answer, or in one of an array of
// answers. Its scan accepts everything in which readers find the same members. The rule
// is broken by what may hold a list for some reader.
func holdsList(body []byte) (found bool, rule Rule) {
	s := &scanner{b: bytes.TrimPrefix(body, []byte("\ufeff")), loose: true}
	rule = s.answers(func(at, depth int) (int, Rule) {
		return s.object(at, depth, func(name []byte, at int) (int, Rule) {
			if string(name) != "result" || s.first(at) != '{' {
				return s.value(at, depth+1)
			}
			return s.object(at, depth+1, func(name []byte, at int) (int, Rule) {
				if _, ok := lists[string(name)]; ok && s.first(at) == '[' {
					found = true
				}
				return s.value(at, depth+2)
			})
		})
	})
	return found, rule
}

// A Passage lets an answer pass, part by part, that is too large to be kept. The zero
// value is at its beginning.
type Passage struct {
	tail []byte // the last bytes that have passed
}

// maxTail is longer than the name of a list, or an escape.
const maxTail = 32

// Check returns an [*Error] if a list may begin in the next part.
func (p *Passage) Check(part []byte) error {
	p.tail = append(p.tail, part...)
	if hasListName(p.tail) || hasEscapedLetter(p.tail) {
		return unfit(Size)
	}
	p.tail = append(p.tail[:0], p.tail[max(0, len(p.tail)-maxTail):]...)
	return nil
}
