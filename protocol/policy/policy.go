// Package policy decides who may do what at an MCP server: which tools a caller may
// call, which prompts and resources it may get, which methods it may use. It takes
// rules and returns decisions. It sees no HTTP request and knows nothing of Caddy.
//
// The first line that names a thing decides. A kind without lines is open to every
// caller. Once it has lines, anything that none of them names is denied. A condition
// that can't be judged doesn't hold.
package policy

import "strconv"

// Rules are the rules of one MCP server, as they are configured.
type Rules struct {
	// Require is what every caller with a token must meet: all of them.
	Require []Need `json:"require,omitempty"`
	// Tools and Prompts say who may use them, by name; Resources, by URI.
	Tools     []Line `json:"tools,omitempty"`
	Prompts   []Line `json:"prompts,omitempty"`
	Resources []Line `json:"resources,omitempty"`
	// Methods say who may use a method of the protocol, in addition to the lines above:
	// a call of a tool needs what the tool's line says and, if a line of Methods names
	// tools/call, what that one says.
	Methods []Line `json:"methods,omitempty"`
}

// Line is one rule. Without Need, When, Nobody and Anonymous it allows every caller
// with a token.
type Line struct {
	// Names are what the line is about. A * is any run of characters, / included;
	// nothing else is special. Case counts, and the whole name has to match. At
	// least one.
	Names []string `json:"names"`
	// Need is what the caller must meet.
	Need Need `json:"need,omitempty"`
	// When is an expression in CEL that must be true as well. It sees name and
	// arguments, or uri in lines of resources, and claims, scopes, client_id, user and
	// issuer. An expression that can't be evaluated is false.
	When string `json:"when,omitempty"`
	// Nobody allows no caller.
	Nobody bool `json:"nobody,omitempty"`
	// Anonymous allows every caller, even without a token.
	Anonymous bool `json:"anonymous,omitempty"`
}

// Need is met if all conditions of one of its alternatives hold.
type Need [][]Condition

// Condition is about the caller. Exactly one of Scope, Claim, Client, User and Key
// is set; Values goes with Claim, and At may go with User.
//
// A condition that can't be judged doesn't hold, with Not or without: a caller
// without the claim groups meets neither `claim groups x` nor `not claim groups x`.
// Issuers leave claims out (Entra does, for users in many groups), and a missing
// claim must not open anything.
type Condition struct {
	// Not negates the condition. It can't be used with Scope.
	Not bool `json:"not,omitempty"`
	// Scope holds if all of these scopes were granted, by name or by one that includes
	// them.
	Scope []string `json:"scope,omitempty"`
	// Claim holds if the claim of that name, or one of its elements, is one of
	// Values. Numbers and booleans are compared by their JSON text. Where there is
	// no claim of that name, a dot leads into an object.
	Claim  string   `json:"claim,omitempty"`
	Values []string `json:"values,omitempty"`
	// Client holds if the OAuth client matches one of these globs.
	Client []string `json:"client,omitempty"`
	// User holds if the caller is one of these subjects; at the issuer At, if that
	// is set.
	User []string `json:"user,omitempty"`
	At   string   `json:"at,omitempty"`
	// Key holds if the caller uses one of these API keys, by name.
	Key []string `json:"key,omitempty"`
}

// Rule says which rule it is. The zero value is no rule.
type Rule struct {
	// Kind is require, tools, prompts, resources or methods.
	Kind string
	// Number counts the lines of that kind, from 1.
	Number int
	// Text is the line as a Caddyfile has it.
	Text string
}

// String names the rule, as in tools:3.
func (r Rule) String() string { return r.Kind + ":" + strconv.Itoa(r.Number) }

// Conditions returns every condition with its rule.
func (r Rules) Conditions() []Placed {
	var list []Placed
	add := func(rule Rule, need Need) {
		for _, all := range need {
			for _, c := range all {
				list = append(list, Placed{rule, c})
			}
		}
	}
	for i, need := range r.Require {
		add(Rule{"require", i + 1, "require " + need.String()}, need)
	}
	for _, kind := range r.kinds() {
		for i, l := range kind.lines {
			add(Rule{kind.name, i + 1, kind.name + " " + l.String()}, l.Need)
		}
	}
	return list
}

// Anonymous returns the first line that allows callers without a token.
func (r Rules) Anonymous() (rule Rule, found bool) {
	for _, kind := range r.kinds() {
		for i, l := range kind.lines {
			if l.Anonymous {
				return Rule{kind.name, i + 1, kind.name + " " + l.String()}, true
			}
		}
	}
	return Rule{}, false
}

// Placed is a condition and its rule.
type Placed struct {
	// Condition is the condition, and Rule is the rule that it belongs to.
	Rule      Rule
	Condition Condition
}

// kind is one of the lists of lines.
type kind struct {
	name  string
	lines []Line
}

func (r Rules) kinds() []kind {
	return []kind{{"tools", r.Tools}, {"prompts", r.Prompts}, {"resources", r.Resources}, {"methods", r.Methods}}
}
