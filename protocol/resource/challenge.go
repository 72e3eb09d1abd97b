package resource

import "strings"

// Challenge is the Bearer challenge of a WWW-Authenticate header (RFC 6750,
// section 3), with the address of the metadata (RFC 9728, section 5.1).
type Challenge struct {
	MetadataURL string   // resource_metadata
	Scopes      []string // scope: everything this operation needs
	Error       string   // error; empty if the request had no credentials
	Description string   // error_description
}

// String returns the header's value. Clients read it with regular expressions and
// look at the first challenge only, so every parameter is quoted, none is repeated,
// and characters that can't be in a quoted string of theirs are left out.
func (c Challenge) String() string {
	var b strings.Builder
	b.WriteString("Bearer")
	separator := " "
	for _, param := range [][2]string{
		{"error", c.Error},
		{"error_description", c.Description},
		{"resource_metadata", c.MetadataURL},
		{"scope", strings.Join(c.Scopes, " ")},
	} {
		if param[1] == "" {
			continue
		}
		b.WriteString(separator)
		b.WriteString(param[0])
		b.WriteString(`="`)
		b.WriteString(quotable(param[1]))
		b.WriteByte('"')
		separator = ", "
	}
	return b.String()
}

// quotable drops characters that would end or break a quoted string. RFC 9110,
// section 5.6.4 has an escape for quotes; RFC 6750 forbids them in these parameters,
// and the clients' parsers don't know the escape.
func quotable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, s)
}
