package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

// Policy is a set of rules that decides. It is safe for concurrent use.
type Policy struct {
	require                            []requirement
	tools, prompts, resources, methods *lines
}

// requirement is a compiled line of require.
type requirement struct {
	rule Rule
	need *need
}

// need is a compiled [Need].
type need struct{ alternatives []alternative }

// alternative is met with all its scopes, if the other conditions hold.
type alternative struct {
	scopes []string
	others []condition
}

type condition struct {
	Condition
	clients []glob
}

// line is a compiled [Line].
type line struct {
	rule      Rule
	globs     Names
	folded    []glob
	need      *need // nil: any caller
	when      *when // nil: always
	nobody    bool
	anonymous bool
}

// lines are the compiled lines of one kind.
type lines struct {
	kind string
	list []*line
	// literal and starred find the first line that names something.
	literal map[string]int
	starred starred
	// foldedLiteral and foldedStarred find the lines that name it when both are
	// folded.
	foldedLiteral map[string][]int
	foldedStarred starred
	// caseless means that all names are in their folded form already.
	caseless bool
	// use is the line of methods for the use of such a thing, as tools/call is for
	// tools. useFolded is set where the method fits a line only when folded.
	use       *line
	useFolded bool
}

// Compile checks rules and makes them ready to decide. Errors say what to write
// instead. The warnings are about rules that are legal but probably not meant.
func Compile(rules Rules) (p *Policy, warnings []Warning, err error) {
	p = new(Policy)
	for i, n := range rules.Require {
		if len(n) == 0 {
			return nil, nil, fmt.Errorf("require line %d: no conditions", i+1)
		}
		compiled, err := compileNeed(n)
		if err != nil {
			return nil, nil, fmt.Errorf("require line %d (%s): %w", i+1, n, err)
		}
		p.require = append(p.require, requirement{Rule{"require", i + 1, "require " + n.String()}, compiled})
	}
	compiled := make([]*lines, 4)
	for i, kind := range rules.kinds() {
		lines, warns, err := compileLines(kind)
		if err != nil {
			return nil, nil, err
		}
		compiled[i], warnings = lines, append(warnings, warns...)
	}
	p.tools, p.prompts, p.resources, p.methods = compiled[0], compiled[1], compiled[2], compiled[3]
	for kind, method := range callOf {
		s := p.of(kind)
		s.use, s.useFolded = p.methods.first(method)
	}
	return p, warnings, nil
}

// Warning is about a rule that is legal but probably not meant.
type Warning struct {
	// Rule is the rule that it is about.
	Rule Rule
	// Message is the same for every rule; Cure says what to do.
	Message, Cure string
}

func compileLines(kind kind) (*lines, []Warning, error) {
	set := &lines{kind: kind.name, literal: make(map[string]int), foldedLiteral: make(map[string][]int), caseless: true}
	var warnings []Warning
	var globs, folded []numbered
	for i, l := range kind.lines {
		compiled, err := compileLine(kind.name, i+1, l)
		if err == nil {
			err = set.add(compiled, l.Names)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s line %d (%s): %w", kind.name, i+1, l, err)
		}
		for n, g := range compiled.globs {
			if !g.literal() {
				globs, folded = append(globs, numbered{g, i}), append(folded, numbered{compiled.folded[n], i})
			}
		}
		if i > 0 && slices.Equal(l.Names, []string{"*"}) && compiled.open() {
			warnings = append(warnings, Warning{
				Rule:    compiled.rule,
				Message: "a rule opens everything that the lines above it don't name: what is new or renamed at the server is open, too",
				Cure:    "name what is open, or write what it needs",
			})
		}
	}
	set.starred, set.foldedStarred = newStarred(globs), newStarred(folded)
	return set, warnings, nil
}

// open reports whether the line allows every caller with a token.
func (l *line) open() bool { return l.need == nil && l.when == nil && !l.nobody }

func compileLine(kind string, number int, l Line) (*line, error) {
	globs, err := ParseNames(kind, l.Names)
	if err != nil {
		return nil, err
	}
	if (l.Nobody || l.Anonymous) && (len(l.Need) > 0 || l.When != "") || l.Nobody && l.Anonymous {
		return nil, errors.New("nobody and anonymous stand alone, without need and when")
	}
	compiled := &line{rule: Rule{kind, number, kind + " " + l.String()}, globs: globs, nobody: l.Nobody, anonymous: l.Anonymous}
	if len(l.Need) > 0 {
		if compiled.need, err = compileNeed(l.Need); err != nil {
			return nil, err
		}
	}
	if l.When != "" {
		if compiled.when, err = compileWhen(kind, l.When); err != nil {
			return nil, fmt.Errorf("when: %w", err)
		}
	}
	return compiled, nil
}

func checkName(kind, name string) error {
	switch {
	case name == "":
		return errors.New("an empty name: is an environment variable not set?")
	case strings.ContainsAny(name, "{}"):
		if kind == "resources" {
			return fmt.Errorf("%q has a brace, which Caddy would replace: write * for what varies in a template", name)
		}
		return fmt.Errorf("%q has a brace, which Caddy would replace: write * for that part of the name", name)
	case strings.Contains(name, ","):
		return fmt.Errorf("%q has a comma: separate names by blanks; write * for it if it belongs to the name", name)
	case !utf8.ValidString(name):
		return fmt.Errorf("%q is not UTF-8", name)
	case kind == "resources" && !strings.Contains(name, "*") && !mcp.NormalURI(name):
		return fmt.Errorf("%q is not a URI in normal form (RFC 3986, section 6.2), and only such are let through: write it with scheme, in lower case up to the path, without dot segments and needless escapes", name)
	}
	return nil
}

func compileNeed(n Need) (*need, error) {
	compiled := new(need)
	for _, all := range n {
		if len(all) == 0 {
			return nil, errors.New("an alternative without conditions, which everyone would meet")
		}
		var a alternative
		for _, c := range all {
			if err := c.check(); err != nil {
				return nil, err
			}
			if len(c.Scope) > 0 {
				for _, scope := range c.Scope {
					if !slices.Contains(a.scopes, scope) {
						a.scopes = append(a.scopes, scope)
					}
				}
				continue
			}
			judged := condition{Condition: c}
			for _, client := range c.Client {
				judged.clients = append(judged.clients, parseGlob(client))
			}
			a.others = append(a.others, judged)
		}
		compiled.alternatives = append(compiled.alternatives, a)
	}
	return compiled, nil
}

// add appends a line. Each of its names must be able to reach it: a rule that never
// decides only looks like protection.
func (s *lines) add(l *line, names []string) error {
	number := len(s.list)
	for i, g := range l.globs {
		for _, before := range s.list {
			for _, other := range before.globs {
				if other.covers(g) {
					return fmt.Errorf("%s never gets here, for line %d (%s) comes first and names it: put the narrower line first, or take it out",
						names[i], before.rule.Number, strings.Join(other, "*"))
				}
			}
		}
		if err := s.checkSpelling(l, names[i], g); err != nil {
			return err
		}
		folded := g.fold()
		l.folded = append(l.folded, folded)
		s.caseless = s.caseless && slices.Equal(g, folded)
		if g.literal() {
			s.literal[g[0]] = number
			s.foldedLiteral[folded[0]] = append(s.foldedLiteral[folded[0]], number)
		}
	}
	s.list = append(s.list, l)
	return nil
}

// first returns the first line that names name; nil if none does. folded reports
// whether another line would name it if case, width and blanks didn't count: a server
// that ignores them would take name for one that the other line names. A name that a
// line has without a star is meant exactly as it is written.
func (s *lines) first(name string) (l *line, folded bool) {
	number, literal := s.literal[name]
	if !literal {
		number = len(s.list)
	}
	if number = s.starred.first(name, number); number < len(s.list) {
		l = s.list[number]
	}
	if literal {
		return l, false
	}
	return l, s.fitsFolded(name)
}

func (s *lines) fitsFolded(name string) bool {
	folded := mcp.Fold(name)
	if folded == name && s.caseless {
		return false
	}
	other := func(line int) bool { return !s.list[line].globs.Match(name) }
	return slices.ContainsFunc(s.foldedLiteral[folded], other) || s.foldedStarred.anyLine(folded, other)
}
