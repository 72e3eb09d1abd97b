package mcp

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
)

// Lists removes entries that a caller may not see from the results of tools/list,
// prompts/list, resources/list and resources/templates/list.
type Lists struct {
	// Keep reports whether an entry stays. template is true for the URI templates of
	// resources/templates/list. item is valid during the call only.
	Keep func(kind Kind, name string, template bool, item json.RawMessage) bool
	// Schemes returns the securitySchemes that a tool gets, as JSON, in the tool and in
	// its _meta. "" leaves the tool unchanged. If Schemes is nil, all tools stay
	// unchanged.
	Schemes func(tool string) string
	// Max is the size in bytes that an answer with a list may have.
	Max int
	// Loose lets an answer pass as it is, whatever is wrong with it and however large it
	// is, if it certainly holds no list. It is for answers to other requests than for a
	// list.
	Loose bool
	// Private adds cacheScope and ttlMs to lists that don't have them, as revisions
	// from 2026-07-28 require. Where a list has them, they always become "private"
	// and 0: a shared cache must not give one caller's list to another.
	Private bool
}

// lists are the members of a result that hold entries. For each, named is the member
// that names an entry.
var lists = map[string]struct {
	kind     Kind
	named    string
	template bool
}{
	"tools":             {Tool, "name", false},
	"prompts":           {Prompt, "name", false},
	"resources":         {Resource, "uri", false},
	"resourceTemplates": {Resource, "uriTemplate", true},
}

// Filter returns a JSON answer, or an array of answers (2025-03-26), without the
// entries that don't stay, and reports whether it is changed. All other bytes are
// unchanged. Entries without a name never stay. The memory of body is used for the
// result. The error is an [*Error].
func (l *Lists) Filter(body []byte) (filtered []byte, changed bool, err error) {
	if l.Loose {
		if !mayHoldList(body) {
			return body, false, nil
		}
		switch found, rule := holdsList(body); {
		case rule != "":
			return nil, false, unfit(rule)
		case !found:
			return body, false, nil
		}
	}
	if len(body) > l.Max {
		return nil, false, unfit(Size)
	}
	f := &filter{scanner: scanner{b: body}, lists: l}
	if rule := f.answers(f.answer); rule != "" {
		return nil, false, unfit(rule)
	}
	return f.edited(), len(f.edits) > 0, nil
}

// answers reads a document that is an answer or an array of answers, each with answer.
func (s *scanner) answers(answer func(at, depth int) (int, Rule)) Rule {
	return s.document(func(at int) (int, Rule) {
		switch s.first(at) {
		case '{':
			return answer(at, 0)
		case '[':
			return s.array(at, 0, func(at int) (int, Rule) {
				if s.first(at) != '{' {
					return at, Envelope
				}
				return answer(at, 1)
			})
		}
		return at, Envelope
	})
}

// unfit is the error for an answer.
func unfit(rule Rule) *Error {
	return &Error{Status: http.StatusBadGateway, Code: CodeInternal, Rule: rule, text: "the server's answer could not be checked"}
}

// An edit replaces the bytes from start to end with text.
type edit struct {
	start, end int
	text       string
}

// A filter collects the edits of an answer.
type filter struct {
	scanner
	lists *Lists
	edits []edit
	added int // by schemes, in bytes
}

// answer reads a JSON-RPC response, or any other message of the server.
func (f *filter) answer(at, depth int) (int, Rule) {
	return f.object(at, depth, func(name []byte, at int) (int, Rule) {
		if string(name) == "result" && f.first(at) == '{' {
			return f.result(at, depth+1)
		}
		return f.value(at, depth+1)
	})
}

func (f *filter) result(at, depth int) (int, Rule) {
	var scope, ttl edit
	found := false
	end, rule := f.object(at, depth, func(name []byte, at int) (end int, rule Rule) {
		list, ok := lists[string(name)]
		c := f.first(at)
		if ok && (c == '[' || c == 'n') { // Go writes null for an empty list
			found = true
		}
		isScope, isTTL := string(name) == "cacheScope", string(name) == "ttlMs"
		if ok && c == '[' {
			end, rule = f.list(at, depth+1, list.kind, list.named, list.template)
		} else {
			end, rule = f.value(at, depth+1)
		}
		if isScope {
			scope = edit{at, end, `"private"`}
		}
		if isTTL {
			ttl = edit{at, end, "0"}
		}
		return end, rule
	})
	if rule != "" || !found {
		return end, rule
	}
	for _, e := range []struct {
		edit
		missing string
	}{{scope, `,"cacheScope":"private"`}, {ttl, `,"ttlMs":0`}} {
		switch {
		case e.end > 0:
			f.replace(e.edit)
		case f.lists.Private:
			f.replace(edit{end - 1, end - 1, e.missing})
		}
	}
	return end, ""
}

// replace adds an edit, unless it changes nothing.
func (f *filter) replace(e edit) {
	if string(f.b[e.start:e.end]) != e.text {
		f.edits = append(f.edits, e)
	}
}

// list reads the entries of a list. An entry that is removed takes a comma with it.
func (f *filter) list(at, depth int, kind Kind, named string, template bool) (int, Rule) {
	// first is where the first entry begins, last is where the last one ended, and
	// kept is where the last one that stays ended.
	first, last, kept := 0, 0, 0
	remove := func() {
		if from := max(kept, first); from < last {
			f.replace(edit{start: from, end: last})
		}
	}
	end, rule := f.array(at, depth, func(at int) (int, Rule) {
		end, name, schemes, rule := f.entry(at, depth+1, named)
		if rule != "" {
			return end, rule
		}
		if first == 0 {
			first = at
		}
		if name.is && f.lists.Keep(kind, name.text, template, f.b[at:end:end]) {
			if kept == 0 && first < at {
				f.replace(edit{start: first, end: at})
			} else if kept > 0 {
				remove()
			}
			kept = end
			if kind == Tool && f.lists.Schemes != nil && !f.setSchemes(schemes, f.lists.Schemes(name.text)) {
				return end, Size
			}
		}
		last = end
		return end, ""
	})
	remove()
	return end, rule
}

// entryName is the name of an entry, if it has one.
type entryName struct {
	text string
	is   bool
}

// entry reads an entry of a list.
func (f *filter) entry(at, depth int, named string) (end int, name entryName, places schemePlaces, rule Rule) {
	if f.first(at) != '{' {
		end, rule = f.value(at, depth)
		return end, name, places, rule
	}
	end, rule = f.object(at, depth, func(member []byte, at int) (end int, rule Rule) {
		isName := string(member) == named
		switch {
		case string(member) == schemesMember:
			end, rule = f.value(at, depth+1)
			places.own = edit{start: at, end: end}
		case string(member) == "_meta":
			end, rule = f.meta(at, depth+1, &places)
		default:
			end, rule = f.value(at, depth+1)
		}
		if rule == "" && isName && f.b[at] == '"' {
			name = entryName{unquoted(f.b[at+1 : end-1]), true}
		}
		return end, rule
	})
	places.end = end
	return end, name, places, rule
}

// edited returns the answer after the edits. It takes the place of the answer: most
// edits are removals, and nothing is written where there is still something to read.
func (f *filter) edited() []byte {
	slices.SortStableFunc(f.edits, func(a, b edit) int { return cmp.Compare(a.start, b.start) })
	to, from, apart := f.b[:0], f.b, false
	at := 0 // where from begins
	for _, e := range f.edits {
		to = append(to, from[:e.start-at]...)
		from, at = from[e.end-at:], e.end
		if !apart && len(to)+len(e.text) > at {
			from, apart = bytes.Clone(from), true
		}
		to = append(to, e.text...)
	}
	return append(to, from...)
}

// mayHoldList reports whether text could be or contain an answer with a list: a
// result, and the name of a list.
func mayHoldList(text []byte) bool {
	// Few texts have an escape, or a u before these letters, so this is the quickest
	// way to rule a list out.
	if bytes.IndexByte(text, '\\') >= 0 && hasEscapedLetter(text) {
		return true
	}
	return bytes.Contains(text, []byte(`ult"`)) && bytes.Contains(text, []byte(`"result"`)) && hasListName(text)
}

// hasListName reports whether a list may begin in text.
func hasListName(text []byte) bool {
	for _, name := range listNames {
		if bytes.Contains(text, name) {
			return true
		}
	}
	return false
}

var listNames = [][]byte{[]byte(`"tools"`), []byte(`"prompts"`), []byte(`"resources"`), []byte(`"resourceTemplates"`)}

// hasEscapedLetter reports whether there is an escape that may stand for a letter. No
// library writes one, and a name could be hidden with it.
func hasEscapedLetter(text []byte) bool {
	for {
		i := bytes.Index(text, []byte(`\u00`))
		if i < 0 || len(text) <= i+4 {
			return false
		}
		if c := text[i+4]; '4' <= c && c <= '7' {
			return true
		}
		text = text[i+4:]
	}
}

// maxText is the size in bytes of an answer that isn't 200 and isn't JSON-RPC.
const maxText = 1024

// IsRefusal reports whether the body of an answer that isn't 200 may pass: a
// JSON-RPC error, or a short text without a list.
func IsRefusal(body []byte) bool {
	if len(body) <= maxText && !mayHoldList(body) {
		return true
	}
	s := &scanner{b: body}
	hasError, hasResult := false, false
	rule := s.document(func(at int) (int, Rule) {
		if s.first(at) != '{' {
			return at, Envelope
		}
		return s.object(at, 0, func(name []byte, at int) (int, Rule) {
			hasError = hasError || string(name) == "error"
			hasResult = hasResult || string(name) == "result"
			return s.value(at, 1)
		})
	})
	return rule == "" && hasError && !hasResult
}
