package policy

import (
	"fmt"
	"strings"
)

// checkSpelling finds names that differ from those of an earlier line in spelling only,
// such as Get_* and get_*. A server that ignores letter case takes the names of one for
// those of the other, so what fits one of them is denied for fitting the other, folded:
// the rule would never allow anything. Names without a star are meant exactly, and a
// line with nobody allows nothing anyway.
func (s *lines) checkSpelling(l *line, name string, g glob) error {
	folded := g.fold()
	for _, before := range s.list {
		for i, other := range before.folded {
			switch {
			case !l.nobody && !g.literal() && other.covers(folded) && !before.overlaps(g):
				return fmt.Errorf("%s never allows anything, for it differs from %s of line %d (%s) only in letter case, width or blanks, and servers may ignore that: put both into one line, or write names without *",
					name, strings.Join(before.globs[i], "*"), before.rule.Number, before.rule.Text)
			case !before.nobody && !before.globs[i].literal() && folded.covers(other) && !l.overlaps(before.globs[i]):
				return fmt.Errorf("because of %s, %s of line %d (%s) never allows anything, for it differs only in letter case, width or blanks, and servers may ignore that: put both into one line, or write names without *",
					name, strings.Join(before.globs[i], "*"), before.rule.Number, before.rule.Text)
			}
		}
	}
	return nil
}
