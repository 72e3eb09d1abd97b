package web

// SameHeader reports whether servers may take one name of a header for the other:
// they have the same letters and digits, whatever stands between them. CGI, WSGI
// and PHP turn X-User, X_User and X.User into the same variable.
func SameHeader(a, b string) bool {
	i, j := 0, 0
	for {
		for i < len(a) && !isAlphanumeric(a[i]) {
			i++
		}
		for j < len(b) && !isAlphanumeric(b[j]) {
			j++
		}
		if i == len(a) || j == len(b) {
			return i == len(a) && j == len(b)
		}
		if lower(a[i]) != lower(b[j]) {
			return false
		}
		i++
		j++
	}
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
