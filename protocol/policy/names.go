package policy

import (
	"errors"
	"fmt"
	"slices"
)

// Names are names as in a rule, and match in the same way.
type Names []glob

// ParseNames checks names and makes them ready to match. kind is tools, prompts,
// resources or methods. Errors say what to write instead.
func ParseNames(kind string, names []string) (Names, error) {
	if len(names) == 0 {
		return nil, errors.New("no names: write what it is about")
	}
	var list Names
	for i, name := range names {
		if err := checkName(kind, name); err != nil {
			return nil, err
		}
		if slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("%s is given twice", name)
		}
		list = append(list, parseGlob(name))
	}
	return list, nil
}

// Match reports whether one of the names matches.
func (n Names) Match(name string) bool {
	return slices.ContainsFunc(n, func(g glob) bool { return g.match(name) })
}
