package policy

import (
	"strings"

	"cel.dev/cel-go/cel"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
)

// Outcome is what was decided.
type Outcome uint8

// The outcomes.
const (
	Denied     Outcome = iota // no, and no scope would change it
	LacksScope                // yes, once the scopes of Need are granted
	NeedsToken                // an anonymous caller has to sign in first
	Allowed                   // yes
)

// String returns the outcome as logs have it.
func (o Outcome) String() string {
	return [...]string{"denied", "lacks_scope", "needs_token", "allowed"}[o]
}

// Reason says why. The set is closed, so that a reason may be the label of a metric.
type Reason string

// The reasons.
const (
	ReasonLine      Reason = "line"      // the line allows this caller
	ReasonOpen      Reason = "open"      // no rule is about it
	ReasonUnnamed   Reason = "unnamed"   // no line of its kind names it
	ReasonUnknown   Reason = "unknown"   // a method, or a completion, that isn't known
	ReasonNobody    Reason = "nobody"    // the line allows no caller
	ReasonRequire   Reason = "require"   // a condition of require doesn't hold
	ReasonNeed      Reason = "need"      // the conditions of need don't hold
	ReasonWhen      Reason = "when"      // the expression isn't true
	ReasonScope     Reason = "scope"     // a scope is missing
	ReasonSignIn    Reason = "sign_in"   // there is no token
	ReasonFolded    Reason = "folded"    // the name fits another line, but for case, width or blanks
	ReasonURI       Reason = "uri"       // the URI can be read in several ways
	ReasonArguments Reason = "arguments" // the name of an argument can be taken for another
	ReasonTooMany   Reason = "too_many"  // more URIs than a request may name
)

// Decision is what was decided, and why.
type Decision struct {
	// Outcome is the decision, and Reason what it is based on.
	Outcome Outcome
	Reason  Reason
	// Rule is the line that decided, if one did.
	Rule Rule
	// Need, with LacksScope and NeedsToken, lists the scopes of the smallest
	// alternative whose other conditions hold.
	Need []string
	// Missing says what the caller lacks, as the configuration has it. It is for logs:
	// it may name groups and users.
	Missing string
	// Cause is why an expression could not be evaluated. For logs.
	Cause error
}

// maxURIs bounds the resources of one subscription.
const maxURIs = 1000

// ReadsMessages reports whether decisions depend on the message, not only on the
// caller.
func (p *Policy) ReadsMessages() bool {
	return len(p.tools.list)+len(p.prompts.list)+len(p.resources.list)+len(p.methods.list) > 0
}

// ReadsArguments reports whether a rule that m is judged by reads arguments, and what it
// looks up in them.
func (p *Policy) ReadsArguments(m *mcp.Message) (lookup mcp.Lookup, reads bool) {
	look := func(s *lines, name string) {
		l, _ := s.first(name)
		switch {
		case l == nil || l.when == nil || !l.when.reads[varArguments]:
		case reads:
			lookup = lookup.And(l.when.arguments)
		default:
			lookup, reads = l.when.arguments, true
		}
	}
	look(p.methods, m.Method)
	if s := p.of(m.Kind); s != nil {
		look(s, m.Name)
	}
	return lookup, reads
}

// Admit decides by require alone, for requests that have no message.
func (p *Policy) Admit(c *Caller) Decision {
	d := Decision{Outcome: Allowed, Reason: ReasonOpen}
	if c.Anonymous {
		return d
	}
	for _, r := range p.require {
		// A line that is met decides nothing yet: the message may have a line of its
		// own.
		if got := r.decide(c); got.Outcome != Allowed {
			d = d.and(got)
		}
	}
	return d
}

// Decide decides on a message. It includes what Admit decides.
func (p *Policy) Decide(c *Caller, m *mcp.Message) Decision {
	d := p.Admit(c)
	if d.Outcome == Denied || m.Form == mcp.Response {
		return d
	}
	in := &input{caller: c, arguments: m.Arguments}
	if m.Completes {
		in.unknown = unknownArguments
	}
	method, named := p.methods.judge(c, m.Method, in)
	if named {
		d = d.and(method)
	}
	if of := p.of(m.Kind); of != nil {
		if len(of.list) == 0 {
			return d.and(withToken(c))
		}
		if m.Kind == mcp.Resource {
			return d.and(of.judgeURI(c, m.Name, m.Completes, in))
		}
		thing, _ := of.judge(c, m.Name, in)
		return d.and(thing)
	}
	switch {
	case len(m.URIs) > 0 && len(p.resources.list) > 0:
		return d.and(p.resources.judgeURIs(c, m.URIs, in))
	case len(m.URIs) > 0:
		return d.and(withToken(c))
	case named, isLazy(m):
		return d
	case isBase(m), !p.ReadsMessages():
		return d.and(withToken(c))
	default:
		return d.and(Decision{Outcome: Denied, Reason: ReasonUnknown})
	}
}

// of returns the lines of a kind; nil for a kind that has none.
func (p *Policy) of(kind mcp.Kind) *lines {
	switch kind {
	case mcp.Tool:
		return p.tools
	case mcp.Prompt:
		return p.prompts
	case mcp.Resource:
		return p.resources
	}
	return nil
}

// isBase reports whether m belongs to the base protocol, which is open to every
// caller unless a line of methods names it.
func isBase(m *mcp.Message) bool {
	if m.Form == mcp.Notification {
		return isLazy(m)
	}
	return isLazy(m) || m.Method == "roots/list" || strings.HasPrefix(m.Method, "tasks/")
}

// isLazy reports whether m belongs to the part of the base protocol that is open even
// without a token. Tasks don't: their results are those of calls.
func isLazy(m *mcp.Message) bool {
	if m.Form == mcp.Notification {
		return strings.HasPrefix(m.Method, "notifications/")
	}
	switch m.Method {
	case "initialize", "server/discover", "ping", "logging/setLevel", "subscriptions/listen",
		"tools/list", "prompts/list", "resources/list", "resources/templates/list":
		return true
	}
	return false
}

// judge decides about a name. named is false if no line names it.
func (s *lines) judge(c *Caller, name string, in *input) (d Decision, named bool) {
	l, folded := s.first(name)
	switch {
	case folded:
		return Decision{Outcome: Denied, Reason: ReasonFolded}, true
	case l == nil:
		return Decision{Outcome: Denied, Reason: ReasonUnnamed}, false
	}
	in.name = name
	return l.decide(c, in), true
}

// judgeURI decides about a resource, or about the completion of a template.
func (s *lines) judgeURI(c *Caller, uri string, completes bool, in *input) Decision {
	if completes && strings.Contains(uri, "{") {
		return s.judgeTemplate(c, templateGlob(uri), in)
	}
	if !mcp.NormalURI(uri) {
		return Decision{Outcome: Denied, Reason: ReasonURI}
	}
	d, _ := s.judge(c, uri, in)
	return d
}

// judgeURIs decides about a subscription: if one URI is refused, all are.
func (s *lines) judgeURIs(c *Caller, uris []string, in *input) Decision {
	if len(uris) > maxURIs {
		return Decision{Outcome: Denied, Reason: ReasonTooMany}
	}
	d := Decision{Outcome: Allowed, Reason: ReasonOpen}
	for _, uri := range uris {
		if d = d.and(s.judgeURI(c, uri, false, in)); d.Outcome == Denied {
			return d
		}
	}
	return d
}

// judgeTemplate decides about the completion of a template, whose URIs may be
// decided by several lines: it is allowed if all of them are.
func (s *lines) judgeTemplate(c *Caller, template glob, in *input) Decision {
	in.unknown = unknownURI
	folded := template.fold()
	d := Decision{Outcome: Allowed, Reason: ReasonOpen}
	for _, l := range s.list {
		if !l.overlaps(template) {
			if l.overlapsFolded(folded) {
				return Decision{Outcome: Denied, Reason: ReasonFolded}
			}
			continue
		}
		if d = d.and(l.decide(c, in)); d.Outcome == Denied || l.covers(template) {
			return d
		}
	}
	return Decision{Outcome: Denied, Reason: ReasonUnnamed}
}

var (
	unknownArguments = []*cel.AttributePatternType{cel.AttributePattern(varArguments)}
	unknownURI       = []*cel.AttributePatternType{cel.AttributePattern(varURI)}
	unknownScopes    = []*cel.AttributePatternType{cel.AttributePattern(varScopes)}
)

func (l *line) overlaps(template glob) bool {
	for _, g := range l.globs {
		if g.overlaps(template) {
			return true
		}
	}
	return false
}

func (l *line) overlapsFolded(folded glob) bool {
	for _, g := range l.folded {
		if g.overlaps(folded) {
			return true
		}
	}
	return false
}

func (l *line) covers(template glob) bool {
	for _, g := range l.globs {
		if g.covers(template) {
			return true
		}
	}
	return false
}

// withToken allows every caller with a token.
func withToken(c *Caller) Decision {
	if c.Anonymous {
		return Decision{Outcome: NeedsToken, Reason: ReasonSignIn}
	}
	return Decision{Outcome: Allowed, Reason: ReasonOpen}
}

// and joins two decisions. Both have to allow, and the scopes of both are needed.
func (d Decision) and(other Decision) Decision {
	switch {
	case d.Outcome == Denied, other.Outcome == Allowed && d.Outcome != Allowed:
		return d
	case other.Outcome == Denied, d.Outcome == Allowed:
		return other
	}
	d.Need = union(d.Need, other.Need)
	if other.Missing != "" {
		d.Missing += ", " + other.Missing
	}
	return d
}
