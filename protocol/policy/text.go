package policy

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// String returns the line as a Caddyfile has it, without the word before it.
func (l Line) String() string {
	words := quoteAll(l.Names)
	switch {
	case l.Nobody:
		words = append(words, "nobody")
	case l.Anonymous:
		words = append(words, "anonymous")
	}
	if len(l.Need) > 0 {
		words = append(words, "need", l.Need.String())
	}
	if l.When != "" {
		words = append(words, "when", quoteExpression(l.When))
	}
	return strings.Join(words, " ")
}

// String returns the conditions as a Caddyfile has them.
func (n Need) String() string {
	alternatives := make([]string, len(n))
	for i, all := range n {
		conditions := make([]string, len(all))
		for j, c := range all {
			conditions[j] = c.String()
		}
		alternatives[i] = strings.Join(conditions, " and ")
	}
	return strings.Join(alternatives, " or ")
}

// String returns the condition as a Caddyfile has it.
func (c Condition) String() string {
	var words []string
	if c.Not {
		words = append(words, "not")
	}
	switch {
	case len(c.Scope) > 0:
		words = append(append(words, "scope"), quoteAll(c.Scope)...)
	case c.Claim != "":
		words = append(append(words, "claim", quote(c.Claim)), quoteAll(c.Values)...)
	case len(c.Client) > 0:
		words = append(append(words, "client"), quoteAll(c.Client)...)
	case len(c.User) > 0:
		words = append(append(words, "user"), quoteAll(c.User)...)
		if c.At != "" {
			words = append(words, "at", quote(c.At))
		}
	case len(c.Key) > 0:
		words = append(append(words, "key"), quoteAll(c.Key)...)
	}
	return strings.Join(words, " ")
}

func quoteAll(words []string) []string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w)
	}
	return quoted
}

// quote returns the word as a Caddyfile has it: in quotes if it would be read
// differently without them.
func quote(word string) string {
	plain := checkWords([]Word{{Text: word}}) == nil && !isKeyword(word) && word != "import" && word[0] != '#' && !strings.HasPrefix(word, "<<") &&
		!strings.ContainsFunc(word, func(r rune) bool {
			return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == '"' || r == '`' || r == '\\' || r == '{' || r == '}'
		})
	switch {
	case plain:
		return word
	case !strings.ContainsFunc(word, func(r rune) bool { return r == '`' || r != ' ' && !unicode.IsPrint(r) }):
		return "`" + word + "`"
	default:
		return strconv.Quote(word)
	}
}

func quoteExpression(s string) string {
	if strings.Contains(s, "`") {
		return strconv.Quote(s)
	}
	return "`" + s + "`"
}

// keywords are the words of a rule that aren't names or values.
var keywords = []string{"need", "when", "nobody", "anonymous", "and", "or", "not", "at"}

func isKeyword(word string) bool { return slices.Contains(keywords, word) }
