package clientdoc

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// minLease keeps clients from causing a fetch with every request, whatever
	// the publisher's headers say: this server could be used to flood others. The
	// draft allows such bounds (section 5.2). Fetching seldom also tells the
	// publisher less about our users (section 9.1).
	minLease = time.Minute

	// maxLease is how long it may take until a change is noticed, such as a
	// withdrawn redirect URI.
	maxLease = 24 * time.Hour

	// defaultLease is for responses without caching headers.
	defaultLease = time.Hour

	// maxEntityTag bounds a stored ETag, in bytes.
	maxEntityTag = 256
)

// lease returns until when a response to a request sent at asked may be used, and
// whether it must not be used afterwards even if its server is unreachable (RFC
// 9111, sections 4.2 and 5.2.2).
func lease(h http.Header, asked time.Time) (expires time.Time, noStale bool) {
	lifetime := time.Duration(-1) // not given
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, argument, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return asked.Add(minLease), true
		case "must-revalidate":
			noStale = true
		case "max-age":
			// Section 4.2.1: if two values differ, the shorter one counts.
			if age := deltaSeconds(strings.Trim(argument, `"`)); lifetime < 0 || age < lifetime {
				lifetime = age
			}
		}
	}
	if lifetime < 0 {
		lifetime = untilExpires(h, asked)
	}
	// A cache in between, such as a CDN, has used part of the lifetime.
	lifetime -= deltaSeconds(h.Get("Age"))
	return asked.Add(min(max(lifetime, minLease), maxLease)), noStale
}

// untilExpires returns the lifetime that Expires grants (RFC 9111, section 5.3),
// measured by the server's own clock if the response has a Date.
func untilExpires(h http.Header, asked time.Time) time.Duration {
	if len(h.Values("Expires")) == 0 {
		return defaultLease
	}
	expires, err := http.ParseTime(h.Get("Expires"))
	if err != nil {
		return 0 // like "0", which means the past
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		return expires.Sub(date)
	}
	return expires.Sub(asked)
}

// deltaSeconds reads a number of seconds (RFC 9111, section 1.2.2). Anything else
// is 0: the response counts as stale (section 4.2.1). A number that is too large
// is capped.
func deltaSeconds(s string) time.Duration {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		n = 1<<31 - 1
	}
	return time.Duration(n) * time.Second
}

// entityTag returns the ETag of a response (RFC 9110, section 8.8.3), to be sent
// back unchanged; empty if there is none, or it is malformed.
func entityTag(h http.Header) string {
	tag := h.Get("ETag")
	opaque := strings.TrimPrefix(tag, "W/")
	if len(tag) > maxEntityTag || len(opaque) < 2 || opaque[0] != '"' || opaque[len(opaque)-1] != '"' {
		return ""
	}
	for _, c := range []byte(opaque[1 : len(opaque)-1]) {
		if c <= ' ' || c > '~' || c == '"' {
			return ""
		}
	}
	return tag
}
