package web

import "strings"

// Unreserved reports whether c is an unreserved character of a URI, which means the same
// with and without an escape (RFC 3986, section 2.3).
func Unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// RemoveDotSegments returns the path of a URI without the segments . and .. (RFC 3986,
// section 5.2.4). Empty segments are kept: /a//../b is /a/b, and /b where slashes are
// merged before. The result begins with a slash.
func RemoveDotSegments(path string) string {
	var kept []string
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, segment := range segments {
		last := i == len(segments)-1
		switch segment {
		case ".":
		case "..":
			if len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
		default:
			kept = append(kept, segment)
			continue
		}
		if last {
			kept = append(kept, "") // a directory
		}
	}
	return "/" + strings.Join(kept, "/")
}
