package mcp

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/web"
)

// NormalURI reports whether the URI is in the normal form of RFC 3986, section 6.2,
// so that there is one spelling of what it names: lower-case scheme and host,
// upper-case escapes, no needless escapes, no dot segments, no default port. Forms
// that the RFC allows but servers read in several ways are not normal either:
// fragments, empty segments, escaped slashes, dot segments with parameters.
func NormalURI(uri string) bool {
	scheme, rest, ok := strings.Cut(uri, ":")
	if !ok || !isScheme(scheme) {
		return false
	}
	rest, query, hasQuery := strings.Cut(rest, "?")
	if hasQuery && (query == "" || scheme == "file" || !areNormal(query)) {
		return false
	}
	path, hasAuthority := strings.CutPrefix(rest, "//")
	port, special := ports[scheme]
	if !hasAuthority {
		// A browser reads https:/a/b and https:a/b as https://a/b.
		return !special && isPath(path)
	}
	authority, path := path, ""
	if i := strings.IndexByte(authority, '/'); i >= 0 {
		authority, path = authority[:i], authority[i:]
	}
	if path == "" && (special || authority == "") { // the normal form has a slash
		return false
	}
	if scheme == "file" {
		return authority != "localhost" && isAuthority(authority, port) && isPath(path)
	}
	return (authority != "" || !special) && isAuthority(authority, port) && isPath(path)
}

// ports has the schemes whose URIs have an authority, and the port that isn't
// written.
var ports = map[string]string{"http": "80", "https": "443", "ws": "80", "wss": "443", "ftp": "21", "file": "-"}

func isScheme(s string) bool {
	for i := range len(s) {
		if c := s[i]; !('a' <= c && c <= 'z') && (i == 0 || !isDigit(c) && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return s != ""
}

// areNormal checks the characters of a path or query: ASCII, and escapes only where
// they are needed.
func areNormal(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '%':
			r, ok := escaped(s[i:])
			if !ok || web.Unreserved(r) {
				return false
			}
			i += 2
		case !web.Unreserved(c) && strings.IndexByte("!$&'()*+,;=:@/?", c) < 0:
			return false
		}
	}
	return true
}

// escaped reads an escape, whose digits are upper-case.
func escaped(s string) (c byte, ok bool) {
	const digits = "0123456789ABCDEF"
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	high, low := strings.IndexByte(digits, s[1]), strings.IndexByte(digits, s[2])
	return byte(high<<4 | low), high >= 0 && low >= 0
}

// isAuthority checks a host and port. A URI with a user is not normal: the user can
// make it look as if it named another host.
func isAuthority(authority, defaultPort string) bool {
	host, port, hasPort := authority, "", false
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		host, port, hasPort = authority[:i], authority[i+1:], true
	}
	if hasPort && (port == "" || port == defaultPort || port[0] == '0' || strings.Trim(port, "0123456789") != "") {
		return false
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		address, err := netip.ParseAddr(inner)
		return ok && err == nil && address.Is6() && address.Zone() == "" && address.String() == inner
	}
	// Custom schemes have names here, whose case may count. Even so, most parsers
	// read them as hosts.
	return areNormal(host) && strings.ToLower(host) == host && !strings.ContainsAny(host, "%:@?") && (host != "" || !hasPort)
}

// isPath checks the segments of a path.
func isPath(path string) bool {
	if !areNormal(path) || strings.Contains(path, "//") {
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		// Java servlets remove parameters before they look for dot segments.
		if name, _, _ := strings.Cut(segment, ";"); name == "." || name == ".." {
			return false
		}
	}
	var decoded []byte
	for i := 0; i < len(path); i++ {
		c, ok := escaped(path[i:])
		if !ok {
			decoded = append(decoded, path[i])
			continue
		}
		i += 2
		if c == '/' || c == '\\' || c < ' ' || c == 0x7f {
			return false
		}
		// An escape within an escape, for servers that decode twice.
		if c == '%' {
			if _, twice := escaped("%" + strings.ToUpper(path[i+1:])); twice {
				return false
			}
		}
		decoded = append(decoded, c)
	}
	// Overlong UTF-8 is a slash to some servers.
	return utf8.Valid(decoded)
}
