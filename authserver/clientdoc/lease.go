package clientdoc

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// minLease keeps the publisher of a document, and anyone who sends us to it,
	// from making us fetch it for every request: we could be used to flood
	// others. The draft allows bounds (section 5.2), and fetching seldom
	// tells the publisher less about our users (section 9.1).
	minLease = time.Minute

	// maxLease is how long a change, such as a redirect URI withdrawn, may take
	// to be noticed.
	maxLease = 24 * time.Hour

	// defaultLease is for a server that says nothing.
	defaultLease = time.Hour

	// maxEntityTag bounds what is kept of an ETag, in bytes.
	maxEntityTag = 256
)

// lease returns until when an answer to a request sent at asked may be used, and
// whether it must not be used any longer even if its server is out of reach (RFC
// 9111, sections 4.2 and 5.2.2).
func lease(h http.Header, asked time.Time) (expires time.Time, noStale bool) {
	lifetime := time.Duration(-1) // not told
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, argument, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return asked.Add(minLease), true
		case "must-revalidate":
			noStale = true
		case "max-age":
			// Section 4.2.1: of two that differ, the shorter.
			if age := deltaSeconds(strings.Trim(argument, `"`)); lifetime < 0 || age < lifetime {
				lifetime = age
			}
		}
	}
	if lifetime < 0 {
		lifetime = untilExpires(h, asked)
	}
	// A cache in between, a CDN for one, has used some of the lifetime.
	lifetime -= deltaSeconds(h.Get("Age"))
	return asked.Add(min(max(lifetime, minLease), maxLease)), noStale
}

// untilExpires returns the lifetime that Expires grants (RFC 9111, section 5.3),
// by the server's own clock if it tells it.
func untilExpires(h http.Header, asked time.Time) time.Duration {
	if len(h.Values("Expires")) == 0 {
		return defaultLease
	}
	expires, err := http.ParseTime(h.Get("Expires"))
	if err != nil {
		return 0 // as "0" is, which means the past
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		return expires.Sub(date)
	}
	return expires.Sub(asked)
}

// deltaSeconds reads a number of seconds (RFC 9111, section 1.2.2). What isn't
// one is 0: the answer counts as stale (section 4.2.1). One too large is large.
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

// entityTag returns the ETag of an answer (RFC 9110, section 8.8.3), to be sent
// back as it came; empty if there is none, or it is not well-formed.
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
