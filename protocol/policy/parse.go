package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Word is one word of a rule.
type Word struct {
	// Text is the word, without quotes.
	Text string
	// Quoted says that the word was in quotes of any kind. A quoted word is never a
	// keyword.
	Quoted bool
}

// is reports whether w is one of these keywords.
func (w Word) is(keywords ...string) bool { return !w.Quoted && slices.Contains(keywords, w.Text) }

// ParseLine reads the words after tools, prompts, resources or methods:
//
//	<names...> [need <conditions>] [when <expression>]
//	<names...> nobody
//	<names...> anonymous
func ParseLine(words []Word) (Line, error) {
	var l Line
	if err := checkWords(words); err != nil {
		return l, err
	}
	end := slices.IndexFunc(words, func(w Word) bool { return w.is(keywords...) })
	if end < 0 {
		end = len(words)
	}
	for _, w := range words[:end] {
		l.Names = append(l.Names, w.Text)
	}
	words = words[end:]
	if len(l.Names) == 0 {
		if len(words) > 0 {
			return l, fmt.Errorf("no name before %s: names come first; put a name that is a keyword in quotes", words[0].Text)
		}
		return l, errors.New("no names: write what the line is about, for example delete_* drop_table")
	}
	if len(words) == 0 {
		return l, nil
	}
	switch first := words[0]; {
	case first.is("nobody"), first.is("anonymous"):
		l.Nobody, l.Anonymous = first.is("nobody"), first.is("anonymous")
		if len(words) > 1 {
			return l, fmt.Errorf("%q after %s: nothing can follow it", words[1].Text, first.Text)
		}
		return l, nil
	case first.is("need"):
		end := slices.IndexFunc(words, func(w Word) bool { return w.is("when") })
		if end < 0 {
			end = len(words)
		}
		var err error
		if l.Need, err = parseNeed(words[1:end]); err != nil {
			return l, fmt.Errorf("need: %w", err)
		}
		words = words[end:]
	case !first.is("when"):
		return l, fmt.Errorf("%s after the names: write need <conditions>, when <expression>, nobody or anonymous; put a name that is a keyword in quotes", first.Text)
	}
	switch {
	case len(words) == 0:
		return l, nil
	case len(words) == 1:
		return l, errors.New("when takes an expression: put it in backquotes, for example when `arguments.amount <= 100`")
	case len(words) > 2 && words[2].is("need"):
		return l, errors.New("need after when: when comes last, and holds for the whole line")
	case len(words) > 2:
		return l, fmt.Errorf("%q after the expression: when comes last and takes one word, so put the whole expression in backquotes", words[2].Text)
	}
	l.When = words[1].Text
	return l, nil
}

// ParseNeed reads the conditions after require.
func ParseNeed(words []Word) (Need, error) {
	if err := checkWords(words); err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(words, func(w Word) bool { return w.is("when", "nobody", "anonymous") }); i >= 0 {
		return nil, fmt.Errorf("require takes conditions only, not %s", words[i].Text)
	}
	return parseNeed(words)
}

// checkWords finds words that were meant as keywords, or to be replaced.
func checkWords(words []Word) error {
	for _, w := range words {
		lower := strings.ToLower(w.Text)
		switch {
		case w.Text == "":
			return errors.New("an empty word: is an environment variable not set?")
		case w.Quoted:
		case w.Text == "&&" || w.Text == "||":
			return fmt.Errorf("%s between conditions: write and, or", w.Text)
		case w.Text == "(" || w.Text == ")":
			return errors.New("parentheses: there are none; `and` binds closer than `or`, so write `a and b or a and c`, or two lines")
		case lower != w.Text && isKeyword(lower):
			return fmt.Errorf("%s: write %s; put it in quotes if it is a name", w.Text, lower)
		}
	}
	return nil
}

func parseNeed(words []Word) (Need, error) {
	if len(words) == 0 {
		return nil, errors.New("no conditions: write for example scope mcp:write or claim groups admins")
	}
	need := Need{nil}
	for {
		end := slices.IndexFunc(words, func(w Word) bool { return w.is("and", "or") })
		this := words
		if end >= 0 {
			this = words[:end]
		}
		c, err := parseCondition(this)
		if err != nil {
			return nil, err
		}
		last := len(need) - 1
		need[last] = append(need[last], c)
		if end < 0 {
			return need, nil
		}
		if words[end].is("or") {
			need = append(need, nil)
		}
		words = words[end+1:]
	}
}

// known is the hint for words that aren't conditions.
const known = "known are scope, claim, client, user and key, each with not before it or without"

func parseCondition(words []Word) (c Condition, err error) {
	if len(words) > 0 && words[0].is("not") {
		c.Not = true
		words = words[1:]
	}
	if len(words) == 0 {
		return c, errors.New("a condition is missing beside and, or, not: " + known)
	}
	word, words := words[0], words[1:]
	for _, w := range words {
		if w.is("need", "nobody", "anonymous", "not", "when") || w.is("at") && !word.is("user") {
			return c, fmt.Errorf("%s after %s: put it in quotes if it is a value; conditions are joined by and, or", w.Text, word.Text)
		}
	}
	var values []string
	for _, w := range words {
		values = append(values, w.Text)
	}
	some := func(what string) {
		if len(values) == 0 {
			err = fmt.Errorf("%s takes %s", word.Text, what)
		}
	}
	switch {
	case word.is("scope"):
		c.Scope = values
		some("the scopes that are needed, all of them")
	case word.is("claim"):
		if len(values) < 2 {
			return c, errors.New("claim takes a name and the values that it may have, for example: claim groups admins")
		}
		c.Claim, c.Values = values[0], values[1:]
	case word.is("client"):
		c.Client = values
		some("OAuth clients; * is any run of characters")
	case word.is("user"):
		if at := slices.IndexFunc(words, func(w Word) bool { return w.is("at") }); at >= 0 {
			if at != len(words)-2 {
				return c, errors.New("at takes one issuer, and ends the condition: user <subjects...> at <issuer>")
			}
			c.At, values = values[at+1], values[:at]
		}
		c.User = values
		some("subjects, as they stand in sub")
	case word.is("key"):
		c.Key = values
		some("the names of API keys")
	case word.is("group", "groups", "role", "roles"):
		return c, fmt.Errorf("unknown condition %q: write claim %s <names...>, with the claim that your issuer has them in", word.Text, word.Text)
	case strings.HasPrefix(word.Text, "(") && !word.Quoted:
		return c, fmt.Errorf("parentheses at %q: there are none; `and` binds closer than `or`", word.Text)
	default:
		return c, fmt.Errorf("unknown condition %q: %s", word.Text, known)
	}
	if err == nil {
		err = c.check()
	}
	return c, err
}

// check finds mistakes that JSON can also have.
func (c Condition) check() error {
	set := 0
	for _, list := range [][]string{c.Scope, c.Client, c.User, c.Key} {
		if len(list) > 0 {
			set++
		}
	}
	if c.Claim != "" {
		set++
	}
	switch {
	case set == 0:
		return errors.New("a condition without content: " + known)
	case set > 1:
		return fmt.Errorf("two conditions in one (%s): give each its own, in one list for `and`, in two for `or`", c)
	case c.Not && len(c.Scope) > 0:
		return errors.New("not scope: a client could drop the scope and get in; say who may instead, by claim, client or user")
	case c.Claim != "" && len(c.Values) == 0, c.Claim == "" && len(c.Values) > 0:
		return errors.New("claim and its values belong together")
	case c.At != "" && len(c.User) == 0:
		return errors.New("at belongs to user")
	}
	for _, list := range [][]string{c.Scope, c.Values, c.Client, c.User, c.Key} {
		if slices.Contains(list, "") {
			return errors.New("an empty value: is an environment variable not set?")
		}
	}
	return nil
}
