package browser

import (
	"context"
	"net/http"
	"slices"
	"strings"
)

// Prefix is the beginning of the names of all cookies of this module, after
// __Host-.
const Prefix = "mcp_auth_"

// hiddenKey is the context key of the cookies that [Hide] removed.
type hiddenKey struct{}

// Hide returns r without the cookies of this module's servers, because other
// handlers of the site must not see a session. Those servers still find them with
// [Cookies].
func Hide(r *http.Request) *http.Request {
	lines := r.Header["Cookie"]
	if !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, Prefix) }) {
		return r
	}
	var hidden []*http.Cookie
	kept := make([]string, 0, len(lines))
	for _, line := range lines {
		var rest []string
		found := false
		for pair := range strings.SplitSeq(line, ";") {
			pair = strings.TrimSpace(pair)
			if !isOurs(pair) {
				rest = append(rest, pair)
				continue
			}
			found = true
			// A pair that is no cookie to Go is none to us.
			if cookies, err := http.ParseCookie(pair); err == nil {
				hidden = append(hidden, cookies...)
			}
		}
		switch {
		case !found:
			kept = append(kept, line)
		case len(rest) > 0:
			kept = append(kept, strings.Join(rest, "; "))
		}
	}
	if len(kept) == 0 {
		r.Header.Del("Cookie")
	} else {
		r.Header["Cookie"] = kept
	}
	if len(hidden) == 0 {
		return r
	}
	if before, ok := r.Context().Value(hiddenKey{}).([]*http.Cookie); ok {
		hidden = append(before[:len(before):len(before)], hidden...)
	}
	return r.WithContext(context.WithValue(r.Context(), hiddenKey{}, hidden))
}

// Cookies returns the cookies of that name that the browser sent, including those
// that [Hide] removed.
func Cookies(r *http.Request, name string) []*http.Cookie {
	cookies := r.CookiesNamed(name)
	hidden, _ := r.Context().Value(hiddenKey{}).([]*http.Cookie)
	for _, c := range hidden {
		if c.Name == name {
			cookies = append(cookies, c)
		}
	}
	return cookies
}

// allCookies returns all cookies that the browser sent, including those that
// [Hide] removed.
func allCookies(r *http.Request) []*http.Cookie {
	hidden, _ := r.Context().Value(hiddenKey{}).([]*http.Cookie)
	return append(r.Cookies(), hidden...)
}

// isOurs reports whether a pair of a Cookie header has one of this module's
// names.
func isOurs(pair string) bool {
	name, _, _ := strings.Cut(pair, "=")
	name = strings.TrimSpace(name)
	for _, prefix := range []string{"__Host-", "__Secure-"} {
		name = strings.TrimPrefix(name, prefix)
	}
	return strings.HasPrefix(name, Prefix)
}
