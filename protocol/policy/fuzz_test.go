package policy_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
)

// What is printed is read as what it was.
func FuzzParseLine(f *testing.F) {
	for _, seed := range []string{
		"a* b need scope x y and not claim g h or key k", "x when `name == 'a'`", "x nobody", "`need` anonymous",
		"x need user a b at https://i or client c*", "x need", "need x", "a \"b c\" need scope `or`", "x need not not", "x NEED && (",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list := words(text)
		line, err := policy.ParseLine(list)
		if err != nil {
			return
		}
		for _, w := range list {
			// What a Caddyfile can't have in one pair of quotes.
			if strings.ContainsAny(w.Text, "`\"\\\n\r\t") || strings.ContainsFunc(w.Text, func(r rune) bool { return r != ' ' && !printable(r) }) {
				return
			}
		}
		again, err := policy.ParseLine(words(line.String()))
		if err != nil {
			t.Fatalf("%q is printed as %q, which is refused: %v", text, line, err)
		}
		a, _ := json.Marshal(line)
		b, _ := json.Marshal(again)
		if string(a) != string(b) {
			t.Fatalf("%q: read as %s, printed as %q, read again as %s", text, a, line, b)
		}
		_, _, _ = policy.Compile(policy.Rules{Tools: []policy.Line{line}})
	})
}

func printable(r rune) bool { return r > ' ' && r < 0x7f }

// Decisions are those of a plain reading of the manual.
func FuzzDecide(f *testing.F) {
	for _, rules := range []string{
		"tools get_*\ntools delete_* need scope a b or claim groups x\ntools * need scope c and not key ci",
		"tools D* nobody\ntools d*\ntools *a*b need not claim groups y",
		"require claim groups x\ntools docs_* anonymous\ntools x need key ci or user alice at i",
		"tools a*b*c need client c* and scope a\ntools abc need not user alice",
	} {
		f.Add(rules, "delete_x", "a c", "x y", uint8(0))
		f.Add(rules, "Docs_aXb", "", "", uint8(1))
	}
	f.Fuzz(func(t *testing.T, text, name, scopes, groups string, who uint8) {
		if strings.ContainsAny(text, "`") || len(text) > 2000 {
			return
		}
		for rule := range strings.Lines(text) {
			switch kind, _, _ := strings.Cut(strings.TrimSpace(rule), " "); kind {
			case "require", "tools", "":
			default:
				return
			}
		}
		rules, err := parse(text)
		if err != nil {
			return
		}
		p, _, err := policy.Compile(rules)
		if err != nil {
			return
		}
		c := &policy.Caller{Scopes: strings.Fields(scopes)}
		switch who % 3 {
		case 0:
			c.Subject, c.Issuer = "alice", "i"
			c.ClientID = func() string { return "client" }
		case 1:
			c.Key = "ci"
		case 2:
			c.Anonymous, c.Scopes = true, nil
		}
		if groups != "" && who%3 != 2 {
			list, err := json.Marshal(strings.Fields(groups))
			if err != nil {
				t.Fatal(err)
			}
			c.Claims = claims(`{"groups":` + string(list) + `}`)
		}
		got := p.Decide(c, call(name))
		if want := naive(rules, c, name); got.Outcome != want {
			t.Fatalf("%q, %q, key %q, scopes %q, groups %q: got %s, want %s", text, name, c.Key, c.Scopes, groups, result(got), want)
		}
		listed := p.Listed(c, mcp.Tool, name, false)
		if may := got.Outcome == policy.Allowed || got.Outcome == policy.LacksScope; may && !listed {
			t.Fatalf("%q, %q: %s, and not listed", text, name, result(got))
		}
		if listed && got.Outcome == policy.Denied && got.Reason != policy.ReasonRequire {
			t.Fatalf("%q, %q: %s, and listed", text, name, result(got))
		}
	})
}

// naive decides about a call as the manual says, without any index.
func naive(rules policy.Rules, c *policy.Caller, name string) policy.Outcome {
	outcome := policy.Allowed
	if !c.Anonymous {
		for _, need := range rules.Require {
			outcome = min(outcome, naiveNeed(need, c))
		}
	}
	if len(rules.Tools) == 0 {
		if c.Anonymous {
			return policy.NeedsToken
		}
		return outcome
	}
	var decides *policy.Line
	folded, exact := false, false
	for i, l := range rules.Tools {
		names, foldedNames := false, false
		for _, n := range l.Names {
			names = names || naiveGlob(n, func(s string) string { return s }).MatchString(name)
			foldedNames = foldedNames || naiveGlob(n, mcp.Fold).MatchString(mcp.Fold(name))
			exact = exact || n == name && !strings.Contains(n, "*")
		}
		if names && decides == nil {
			decides = &rules.Tools[i]
		}
		folded = folded || foldedNames && !names
	}
	switch {
	case folded && !exact, decides == nil, decides.Nobody:
		return policy.Denied
	case decides.Anonymous:
		return outcome
	case c.Anonymous:
		return policy.NeedsToken
	case len(decides.Need) == 0:
		return outcome
	}
	return min(outcome, naiveNeed(decides.Need, c))
}

func naiveGlob(name string, fold func(string) string) *regexp.Regexp {
	texts := strings.Split(name, "*")
	for i := range texts {
		texts[i] = regexp.QuoteMeta(fold(texts[i]))
	}
	return regexp.MustCompile(`^(?s:` + strings.Join(texts, `.*`) + `)$`)
}

func naiveNeed(need policy.Need, c *policy.Caller) policy.Outcome {
	best := policy.Denied
	for _, all := range need {
		others, scopes := true, true
		for _, cond := range all {
			if len(cond.Scope) > 0 {
				for _, s := range cond.Scope {
					scopes = scopes && slices.Contains(c.Scopes, s)
				}
				continue
			}
			others = others && naiveHolds(cond, c)
		}
		switch {
		case others && scopes:
			return policy.Allowed
		case others && c.Key == "":
			best = policy.LacksScope
		}
	}
	return best
}

func naiveHolds(cond policy.Condition, c *policy.Caller) bool {
	var is bool
	switch {
	case cond.Claim != "":
		var values []string
		if c.Claims == nil || json.Unmarshal(c.Claims.Claim(cond.Claim), &values) != nil {
			return false // absent
		}
		is = slices.ContainsFunc(values, func(v string) bool { return slices.Contains(cond.Values, v) })
	case len(cond.Key) > 0:
		is = c.Key != "" && slices.Contains(cond.Key, c.Key)
	case len(cond.User) > 0:
		is = c.Key == "" && slices.Contains(cond.User, c.Subject) && (cond.At == "" || cond.At == c.Issuer)
	case len(cond.Client) > 0:
		is = c.Key == "" && slices.ContainsFunc(cond.Client, func(g string) bool {
			return naiveGlob(g, func(s string) string { return s }).MatchString(c.ClientID())
		})
	}
	return is != cond.Not
}

// Globs agree with regular expressions, and one covers another if it matches all of
// what that matches.
func FuzzGlob(f *testing.F) {
	f.Add("a*b", "a*", "axb")
	f.Add("*", "a**", "a")
	f.Add("aba*aba", "a*a", "ababa")
	f.Fuzz(func(t *testing.T, one, two, name string) {
		got, err := policy.Covers(one, two)
		if err != nil {
			return
		}
		first, second := naiveGlob(one, strings.Clone), naiveGlob(two, strings.Clone)
		if policy.Match(one, name) != first.MatchString(name) {
			t.Fatalf("%q matches %q: got %t", one, name, policy.Match(one, name))
		}
		if got && second.MatchString(name) && !first.MatchString(name) {
			t.Fatalf("%q covers %q, and doesn't match %q", one, two, name)
		}
		if !policy.Overlaps(one, two) && first.MatchString(name) && second.MatchString(name) {
			t.Fatalf("%q and %q don't overlap, and both match %q", one, two, name)
		}
		if sample := strings.ReplaceAll(two, "*", "\u2603"); !strings.Contains(one+two, "\u2603") && got != first.MatchString(sample) {
			t.Fatalf("%q covers %q: got %t", one, two, got)
		}
	})
}

// Arguments of strangers are read or refused.
func FuzzArguments(f *testing.F) {
	for _, seed := range []string{`{"amount":1}`, `{"amount":1e400}`, `{"amount":9007199254740993}`, `{"a":[[{}]]}`, `[`, `{"a":"\ud800"}`, ``} {
		f.Add(seed)
	}
	p := compile(f, "tools x when `arguments.amount > 0 && arguments.amount <= 1000`")
	f.Fuzz(func(t *testing.T, arguments string) {
		d := p.Decide(user(), callWith("x", arguments))
		if d.Outcome != policy.Allowed {
			return
		}
		var got struct{ Amount float64 }
		if err := json.Unmarshal([]byte(arguments), &got); err != nil || got.Amount <= 0 || got.Amount > 1000 {
			t.Fatalf("%q is allowed: encoding/json reads %v, %v", arguments, got.Amount, err)
		}
	})
}
