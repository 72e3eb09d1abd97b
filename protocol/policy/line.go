package policy

import (
	"slices"
	"strings"
)

// standing says how far a caller meets an alternative.
type standing struct {
	holds   bool     // all conditions except those about scopes
	missing []string // scopes
}

func (a *alternative) standing(c *Caller) standing {
	for i := range a.others {
		if !a.others[i].holds(c) {
			return standing{}
		}
	}
	return standing{true, c.missing(a.scopes)}
}

// decide decides about in.name, which the line names.
func (l *line) decide(c *Caller, in *input) Decision {
	d := Decision{Rule: l.rule}
	switch {
	case l.nobody:
		d.Reason = ReasonNobody
		return d
	case l.anonymous:
		d.Outcome, d.Reason = Allowed, ReasonLine
		return d
	case c.Anonymous:
		d.Outcome, d.Reason = NeedsToken, ReasonSignIn
		if l.need != nil {
			d.Need = l.need.fewest()
		}
		return d
	case l.when != nil && l.when.reads[varArguments] && len(in.unknown) == 0 && l.when.arguments.Ambiguous(in.arguments):
		// What the server reads can't be known.
		d.Reason = ReasonArguments
		return d
	}
	if l.need == nil {
		return l.decideWhen(d, in, nil)
	}
	return l.need.decide(c, d, func(d Decision, missing []string) Decision {
		return l.decideWhen(d, in, missing)
	})
}

// decide looks for the alternative with the fewest missing scopes, ideally none. rest
// decides the remainder of the line, as if the missing scopes were granted.
func (n *need) decide(c *Caller, d Decision, rest func(d Decision, missing []string) Decision) Decision {
	d.Reason = ReasonNeed
	var lacking []*lack
	for i := range n.alternatives {
		a := &n.alternatives[i]
		s := a.standing(c)
		switch {
		case !s.holds:
		case len(s.missing) > 0:
			lacking = append(lacking, &lack{a, s.missing})
		default:
			got := rest(d, nil)
			if got.Outcome == Allowed {
				return got
			}
			d = got
		}
	}
	slices.SortStableFunc(lacking, func(a, b *lack) int { return len(a.missing) - len(b.missing) })
	for _, l := range lacking {
		text := "scope " + strings.Join(l.missing, " ")
		if c.Key != "" { // its scopes can't grow
			d.Reason, d.Missing = ReasonScope, text
			return d
		}
		got := rest(d, l.missing)
		if got.Outcome == Allowed {
			got.Outcome, got.Reason, got.Need, got.Missing = LacksScope, ReasonScope, l.alternative.scopes, text
			return got
		}
		d = got
	}
	if d.Reason == ReasonNeed {
		d.Missing = n.failing(c)
	}
	return d
}

// lack has the missing scopes of an alternative whose other conditions hold.
type lack struct {
	alternative *alternative
	missing     []string
}

// failing returns the conditions that don't hold: the first of each alternative.
func (n *need) failing(c *Caller) string {
	var list []string
	for i := range n.alternatives {
		a := &n.alternatives[i]
		for j := range a.others {
			if !a.others[j].holds(c) {
				if text := a.others[j].String(); !slices.Contains(list, text) {
					list = append(list, text)
				}
				break
			}
		}
	}
	return strings.Join(list, " or ")
}

// fewest considers the alternatives that a user could meet after signing in, and
// returns the scopes of the one that needs the fewest.
func (n *need) fewest() (best []string) {
	found := false
	for i := range n.alternatives {
		a := &n.alternatives[i]
		if !a.forKeys() && (!found || len(a.scopes) < len(best)) {
			best, found = a.scopes, true
		}
	}
	return best
}

// RequiredScopes returns the scopes that a user should sign in with to meet require: of
// each line, those of the alternative that needs the fewest.
func (p *Policy) RequiredScopes() (scopes []string) {
	for _, r := range p.require {
		scopes = union(scopes, r.need.fewest())
	}
	return scopes
}

// forKeys reports whether only an API key can meet the alternative.
func (a *alternative) forKeys() bool {
	return slices.ContainsFunc(a.others, func(c condition) bool { return len(c.Key) > 0 && !c.Not })
}

// decideWhen decides by the expression alone, as if scopes were granted as well.
func (l *line) decideWhen(d Decision, in *input, scopes []string) Decision {
	d.Outcome, d.Reason = Allowed, ReasonLine
	if l.when == nil {
		return d
	}
	in.scopes = scopes
	ok, err := l.when.isTrue(in)
	if ok {
		return d
	}
	d.Outcome, d.Reason, d.Cause = Denied, ReasonWhen, err
	return d
}

// decide decides by one line of require.
func (r *requirement) decide(c *Caller) Decision {
	d := r.need.decide(c, Decision{Rule: r.rule}, func(d Decision, _ []string) Decision {
		d.Outcome, d.Reason = Allowed, ReasonLine
		return d
	})
	if d.Outcome == Denied {
		d.Reason = ReasonRequire
	}
	return d
}

// union returns the scopes of both, each once.
func union(a, b []string) []string {
	list := slices.Clone(a)
	for _, scope := range b {
		if !slices.Contains(list, scope) {
			list = append(list, scope)
		}
	}
	return list
}
