package clientdoc

import (
	"net/http"
	"strings"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
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
	c := outbound.ParseCacheControl(h)
	if c.NoStore || c.NoCache {
		return asked.Add(minLease), true
	}
	lifetime := c.MaxAge
	if !c.HasMaxAge {
		lifetime = untilExpires(h, asked)
	}
	// A cache in between, such as a CDN, has used part of the lifetime.
	lifetime -= outbound.Seconds(h.Get("Age"))
	return asked.Add(min(max(lifetime, minLease), maxLease)), c.MustRevalidate
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
