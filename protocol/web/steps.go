package web

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// This file lists the steps by which servers change a path.

// steps are the changes that servers make to a path. A step returns a path that it
// doesn't apply to unchanged.
var steps = []func(string) string{
	unescape,
	foldCase,
	mergeSlashes,
	RemoveDotSegments,
	backslashes,
	withoutParameters,
	cutAt(";"),
	cutAt("?"),
	cutAt("#"),
	cutAt("\x00\r\n"),
	cutAtParent,
	withoutAuthority,
	withoutScript,
	withoutSession,
	withoutStreams,
	trimSegments(isBlank),
	trimSegments(isBlankOrDot),
	printable,
	compatible,
}

// unescape decodes once: %XX, and the %uXXXX of IIS. Invalid escapes stay. Some
// servers do it twice, or a proxy before them has done it already.
func unescape(path string) string {
	if !strings.Contains(path, "%") {
		return path
	}
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] != '%' {
			b.WriteByte(path[i])
			continue
		}
		if i+5 < len(path) && (path[i+1] == 'u' || path[i+1] == 'U') {
			if r, ok := hex(path[i+2 : i+6]); ok {
				b.WriteRune(r)
				i += 5
				continue
			}
		}
		if i+2 < len(path) {
			if c, ok := hex(path[i+1 : i+3]); ok {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte('%')
	}
	return b.String()
}

func hex(digits string) (rune, bool) {
	var r rune
	for i := range len(digits) {
		switch c := digits[i]; {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// foldCase is for servers that don't tell /MCP from /mcp: those on Windows, and many
// frameworks. It goes through upper case, so that letters with the same capital, such
// as ſ and s, become equal.
func foldCase(path string) string {
	return mapValid(path, func(r rune) rune { return unicode.ToLower(unicode.ToUpper(r)) })
}

// mapValid is like strings.Map, but keeps bytes that aren't UTF-8.
func mapValid(s string, f func(rune) rune) string {
	if utf8.ValidString(s) {
		return strings.Map(f, s)
	}
	var b strings.Builder
	for s != "" {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n <= 1 {
			b.WriteByte(s[0])
		} else if r = f(r); r >= 0 {
			b.WriteRune(r)
		}
		s = s[n:]
	}
	return b.String()
}

func mergeSlashes(path string) string {
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	return path
}

// cutAtParent is for servers that take the first segments for the mount point of an
// application and leave dot segments to the application: there, /mcp/../x belongs to
// /mcp.
func cutAtParent(path string) string {
	if i := strings.Index(path, "/.."); i >= 0 && (len(path) == i+3 || path[i+3] == '/') {
		return path[:i]
	}
	return path
}

// backslashes are slashes to WHATWG URL, to IIS, and to any program that opens files
// on Windows.
func backslashes(path string) string { return strings.ReplaceAll(path, `\`, "/") }

// withoutParameters is for Java's servers: what follows a semicolon in a segment
// is a parameter, such as ;jsessionid=, and not part of the path.
func withoutParameters(path string) string {
	if !strings.Contains(path, ";") {
		return path
	}
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		segments[i], _, _ = strings.Cut(segment, ";")
	}
	return strings.Join(segments, "/")
}

// cutAt is for servers that decode before they look for the end of the path. The path
// ends at a query, a fragment, parameters, the end of a string in C, or the end of a
// line.
func cutAt(ends string) func(string) string {
	return func(path string) string {
		if i := strings.IndexAny(path, ends); i >= 0 {
			return path[:i]
		}
		return path
	}
}

// withoutAuthority is for programs that resolve the path like a link, as in
// new URL(req.url, base): //x/mcp has the host x and the path /mcp, however many
// slashes there are.
func withoutAuthority(path string) string {
	rest := strings.TrimLeft(path, "/")
	if len(path)-len(rest) < 2 {
		return path
	}
	_, after, _ := strings.Cut(rest, "/")
	return "/" + after
}

// withoutScript is for PHP: what follows the script is the application's path.
func withoutScript(path string) string {
	if i := strings.Index(strings.ToLower(path), ".php/"); i >= 0 && len(strings.ToLower(path)) == len(path) {
		return path[i+len(".php"):]
	}
	return path
}

// withoutSession is for ASP.NET: the session may be a segment, as in /(S(x))/mcp.
func withoutSession(path string) string {
	if !strings.Contains(path, "/(") {
		return path
	}
	segments := strings.Split(path, "/")
	return strings.Join(slices.DeleteFunc(segments, func(segment string) bool {
		return strings.HasPrefix(segment, "(") && strings.HasSuffix(segment, "))")
	}), "/")
}

// withoutStreams is for NTFS: /mcp::$DATA is the file mcp.
func withoutStreams(path string) string {
	if !strings.Contains(path, ":") {
		return path
	}
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		if name, stream, ok := strings.Cut(segment, ":"); ok && strings.Contains(stream, "$") {
			segments[i] = name
		}
	}
	return strings.Join(segments, "/")
}

// trimSegments removes from the ends of each segment what some servers, and the
// file systems of Windows, ignore there. Dots are trimmed at the end only: at the
// beginning they are part of the name.
func trimSegments(ignored func(rune) bool) func(string) string {
	return func(path string) string {
		segments := strings.Split(path, "/")
		for i, segment := range segments {
			segment = strings.TrimLeftFunc(segment, isBlank)
			if bare := strings.TrimFunc(segment, isBlank); bare == "." || bare == ".." {
				segments[i] = bare
				continue
			}
			segments[i] = strings.TrimRightFunc(segment, ignored)
		}
		return strings.Join(segments, "/")
	}
}

func isBlank(r rune) bool {
	return r <= ' ' || r == 0x7f || r == 0x85 || r == 0xa0 || unicode.IsSpace(r) && r != utf8.RuneError
}

func isBlankOrDot(r rune) bool { return r == '.' || isBlank(r) }

// printable removes what programs drop or never show: control characters (WHATWG URL
// removes tabs and line breaks), blanks, characters without width, and bytes that
// aren't UTF-8.
func printable(path string) string {
	return strings.Map(func(r rune) rune {
		if isBlank(r) || r == utf8.RuneError || unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) {
			return -1
		}
		return r
	}, path)
}

// compatible is for programs that turn Unicode into an older or simpler form:
// compatibility characters into their equivalents (NFKC), overlong UTF-8 into the
// characters it stands for, and characters that look like a slash, a backslash or a
// dot into that one, as some code pages do.
func compatible(path string) string {
	if !strings.ContainsFunc(path, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return path
	}
	path = norm.NFKC.String(shortest(path))
	return mapValid(path, func(r rune) rune {
		switch r {
		case 0x2044, 0x2215, 0x29f8: // ⁄ ∕ ⧸
			return '/'
		case 0xa5, 0x20a9, 0x2216, 0x29f5, 0x29f9: // ¥ ₩ ∖ ⧵ ⧹
			return '\\'
		case 0x3002: // 。
			return '.'
		}
		return r
	})
}

// shortest decodes overlong UTF-8. IIS and old Java take %C0%AF for a slash; some
// don't even look whether a continuation follows.
func shortest(path string) string {
	if utf8.ValidString(path) {
		return path
	}
	var b strings.Builder
	for i := 0; i < len(path); {
		if r, n := utf8.DecodeRuneInString(path[i:]); r != utf8.RuneError || n > 1 {
			b.WriteString(path[i : i+n])
			i += n
			continue
		}
		c, length := path[i], 1
		switch {
		case c == 0xc0 || c == 0xc1:
			length = 2
		case c == 0xe0:
			length = 3
		case c == 0xf0:
			length = 4
		}
		if length == 1 || i+length > len(path) {
			b.WriteByte(c)
			i++
			continue
		}
		var r rune
		for _, c := range []byte(path[i+1 : i+length]) {
			r = r<<6 | rune(c&0x3f)
		}
		if length == 2 {
			r |= rune(c&1) << 6
		}
		b.WriteRune(r)
		i += length
	}
	return b.String()
}
