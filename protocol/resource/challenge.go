package resource

import (
	"encoding/base64"
	"strings"
)

// Challenge is the value of a WWW-Authenticate header: the Bearer challenge (RFC 6750,
// section 3), with the address of the metadata (RFC 9728, section 5.1), and behind it
// that of DPoP, if there is one.
type Challenge struct {
	MetadataURL string   // resource_metadata
	Scopes      []string // scope: everything this operation needs
	Error       string   // error; empty if the request had no credentials
	Description string   // error_description

	// Claims is a claims challenge: a JSON object that the client passes on to the
	// authorization server. Microsoft's clients know it, base64 encoded, beside the
	// error insufficient_claims.
	Claims string

	// DPoP is the challenge of DPoP. Nil if proofs aren't accepted.
	DPoP *DPoPChallenge
}

// DPoPChallenge is a challenge of the DPoP scheme (RFC 9449, section 7.1).
type DPoPChallenge struct {
	Error       string   // error; empty if the request didn't use DPoP
	Description string   // error_description
	Algorithms  []string // algs: what proofs may be signed with
}

// String returns the header's value. Clients read it with regular expressions and
// look at the first challenge only, so that is Bearer's, every parameter is quoted,
// none is repeated in a challenge, and characters that can't be in a quoted string of
// theirs are left out.
func (c Challenge) String() string {
	var b strings.Builder
	writeChallenge(&b, "Bearer", [][2]string{
		{"error", c.Error},
		{"error_description", c.Description},
		{"resource_metadata", c.MetadataURL},
		{"scope", strings.Join(c.Scopes, " ")},
		{"claims", base64.StdEncoding.EncodeToString([]byte(c.Claims))},
	})
	if c.DPoP != nil {
		b.WriteString(", ")
		writeChallenge(&b, "DPoP", [][2]string{
			{"error", c.DPoP.Error},
			{"error_description", c.DPoP.Description},
			{"algs", strings.Join(c.DPoP.Algorithms, " ")},
		})
	}
	return b.String()
}

// writeChallenge writes the scheme and the parameters that aren't empty.
func writeChallenge(b *strings.Builder, scheme string, params [][2]string) {
	b.WriteString(scheme)
	separator := " "
	for _, param := range params {
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
