package mcp

import (
	"encoding/json"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
)

// Lookup holds the names that a rule looks up in the arguments of a call. The zero
// value has none.
type Lookup struct {
	// outer has names of arguments, inner those of members anywhere inside them. The
	// keys are the joined forms.
	outer, inner map[string][]string
}

// NewLookup returns the lookup of arguments, outer, and of members within them, inner.
func NewLookup(outer, inner []string) Lookup {
	return Lookup{byForm(outer), byForm(inner)}
}

// And returns the lookup of the names of both.
func (l Lookup) And(other Lookup) Lookup {
	return Lookup{joinedForms(l.outer, other.outer), joinedForms(l.inner, other.inner)}
}

func joinedForms(a, b map[string][]string) map[string][]string {
	if len(a) == 0 {
		return b
	}
	all := maps.Clone(a)
	for form, names := range b {
		all[form] = slices.Concat(all[form], names)
	}
	return all
}

// reads reports whether a name has the form of a header's name; see [appendForm].
func (l Lookup) reads(form string) bool {
	for _, names := range []map[string][]string{l.outer, l.inner} {
		for _, list := range names {
			if slices.ContainsFunc(list, func(name string) bool { return string(appendForm(nil, name)) == form }) {
				return true
			}
		}
	}
	return false
}

func byForm(names []string) map[string][]string {
	forms := make(map[string][]string, len(names))
	for _, name := range names {
		form := joined(Fold(name))
		forms[form] = append(forms[form], name)
	}
	return forms
}

// Ambiguous reports whether another reader of arguments could find another value.
// That is so if an object, at any depth, has two members whose names are the same
// without letter case, width, blanks, _ and -, or a member that isn't spelled as it
// is looked up. Go's encoding/json takes Force for force, pydantic and protobuf take
// max_amount for maxAmount. Arguments count as ambiguous, too, if they have too many
// names to fold, can't be read, or have __proto__, whose members can be taken for those
// beside it.
func (l Lookup) Ambiguous(arguments json.RawMessage) bool {
	if len(arguments) == 0 {
		return false
	}
	s := &scanner{b: arguments, lookup: &l}
	_, rule := s.value(s.blanks(0), 0)
	return rule != ""
}

// joined removes the characters that separate words: resource_subscriptions is what
// others call resourceSubscriptions.
func joined(name string) string {
	if !strings.ContainsAny(name, "_-") {
		return name
	}
	return separators.Replace(name)
}

var separators = strings.NewReplacer("_", "", "-", "")

// form returns the joined form of a name, for comparing. ok is false if the name is
// ambiguous.
func (s *scanner) form(name []byte, isOuter bool) (key uint64, ok bool) {
	if string(name) == prototype {
		return 0, false
	}
	folded, ok := s.folded(name)
	if !ok {
		return 0, false
	}
	form := joined(folded)
	names := s.lookup.inner
	if isOuter {
		names = s.lookup.outer
	}
	if exact, found := names[form]; found && !slices.Contains(exact, string(name)) {
		return 0, false
	}
	return maphash.String(seed, form), true
}
