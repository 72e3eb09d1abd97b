package mcp

// Scan returns the rule that a JSON text breaks.
func Scan(text []byte) Rule {
	s := &scanner{b: text}
	return s.document(func(at int) (int, Rule) { return s.value(at, 0) })
}

// Unquote returns what a JSON string stands for.
func Unquote(text []byte) string { return string(unquote(nil, text[1:len(text)-1])) }
