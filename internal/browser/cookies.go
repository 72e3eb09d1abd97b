package browser

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"
)

// securePrefix makes browsers refuse a cookie that another host, or plain http,
// sets (RFC 6265bis, section 4.1.3.2).
const securePrefix = "__Host-"

// issuerHash is the length of the issuer's hash in a cookie's name, in bytes.
const issuerHash = 8

// CookieName returns the full name of a cookie. It ends in a hash of the issuer:
// browsers send cookies to every server of a host, whatever its port, and __Host-
// allows no path, so two servers of one host would overwrite each other's.
func CookieName(name, issuer string, secure bool) string {
	sum := sha256.Sum256([]byte(issuer))
	name += "_" + hex.EncodeToString(sum[:issuerHash])
	if secure {
		return securePrefix + name
	}
	return name
}

func (s *Site) cookieName(name string) string { return CookieName(name, s.Issuer, s.Secure) }

// bareName is the inverse of cookieName; ok is false if the cookie is not one of
// this site's.
func (s *Site) bareName(cookie string) (name string, ok bool) {
	prefix, suffix := "", strings.TrimPrefix(s.cookieName(""), securePrefix)
	if s.Secure {
		prefix = securePrefix
	}
	if cookie, ok = strings.CutPrefix(cookie, prefix); !ok {
		return "", false
	}
	return strings.CutSuffix(cookie, suffix)
}

// Cookie returns a cookie's value as the browser sent it; empty if there is none.
// It is also empty if there are two, because one of them would be another site's.
func (v *Visit) Cookie(name string) string {
	if cookies := Cookies(v.R, v.site.cookieName(name)); len(cookies) == 1 {
		return cookies[0].Value
	}
	return ""
}

// CookieNames returns the names of this site's cookies that begin with prefix,
// sorted.
func (v *Visit) CookieNames(prefix string) []string {
	var names []string
	for _, c := range allCookies(v.R) {
		if name, ok := v.site.bareName(c.Name); ok && strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// SetCookie sets a cookie for lifetime; zero means until the browser is closed.
func (v *Visit) SetCookie(name, value string, lifetime time.Duration) {
	v.setCookie(name, value, int(lifetime/time.Second))
}

// RemoveCookie removes a cookie.
func (v *Visit) RemoveCookie(name string) { v.setCookie(name, "", -1) }

func (v *Visit) setCookie(name, value string, maxAge int) {
	http.SetCookie(v.W, &http.Cookie{
		Name:     v.site.cookieName(name),
		Value:    value,
		Path:     "/",
		Secure:   v.site.Secure,
		HttpOnly: true,
		// Lax, because authorization requests and upstreams' callbacks come from
		// other sites, as links do.
		SameSite: http.SameSiteLaxMode,
		MaxAge:   maxAge,
	})
}
