package dpop

import (
	"net/url"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// sameURL reports whether htu names the address of a request, which has no query. The
// query and the fragment of htu don't count (RFC 9449, section 4.3, number 9). Nearly
// every client writes the address as it sends it. Where it doesn't, two addresses are
// the same if their normal forms are, as the RFC recommends (RFC 3986, sections 6.2.2
// and 6.2.3).
func sameURL(htu, address string) bool {
	if i := strings.IndexAny(htu, "?#"); i >= 0 {
		htu = htu[:i]
	}
	if htu == address {
		return true
	}
	a, ok := normalURL(htu)
	if !ok {
		return false
	}
	b, ok := normalURL(address)
	return ok && a == b
}

// normalURL returns the normal form of an absolute http or https URL without query.
func normalURL(raw string) (string, bool) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil {
		return "", false
	}
	return web.Origin(u) + normalPath(u.EscapedPath()), true
}

// normalPath returns the normal form of an escaped path. An escaped slash stays
// escaped: it is no separator.
func normalPath(path string) string {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		c, ok := escaped(path[i:])
		switch {
		case !ok:
			b.WriteByte(path[i])
			continue
		case web.Unreserved(c):
			b.WriteByte(c)
		default:
			b.WriteString(strings.ToUpper(path[i : i+3]))
		}
		i += 2
	}
	return web.RemoveDotSegments(b.String())
}

// escaped reads the percent-encoded byte that s begins with.
func escaped(s string) (c byte, ok bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	high, low := digit(s[1]), digit(s[2])
	return byte(high<<4 | low), high >= 0 && low >= 0
}

// digit returns the value of a hexadecimal digit, -1 if c is none.
func digit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
