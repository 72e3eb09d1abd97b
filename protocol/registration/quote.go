package registration

import "strings"

// maxQuoted bounds how much of a stranger's text is repeated, in bytes.
const maxQuoted = 200

// Quoted names a URI in an error_description, which has neither quotation marks nor
// backslashes in it (RFC 6749, section 5.2). A long one is cut.
func Quoted(uri string) string {
	if len(uri) > maxQuoted {
		uri = uri[:maxQuoted] + "..."
	}
	return "'" + Described(uri) + "'"
}

// Described makes a text from another party fit for an error_description: printable
// ASCII in one line, of at most 400 bytes.
func Described(text string) string {
	var b strings.Builder
	space := false
	for _, r := range text {
		switch {
		case r == '"' || r == '`':
			r = '\''
		case r == '\\':
			r = '/'
		case r <= ' ':
			space = b.Len() > 0
			continue
		case r > '~':
			r = '?'
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
		if b.Len() >= 2*maxQuoted {
			return b.String() + "..."
		}
	}
	return b.String()
}
