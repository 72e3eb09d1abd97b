package outbound

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// CacheControl is what an answer says about keeping it (RFC 9111, section 5.2.2).
type CacheControl struct {
	// NoStore, NoCache and MustRevalidate say that the directive of that name is
	// present.
	NoStore, NoCache, MustRevalidate bool
	// MaxAge is zero if max-age isn't a number: the answer counts as stale
	// (section 4.2.1). HasMaxAge says that there is one.
	MaxAge    time.Duration
	HasMaxAge bool
}

// ParseCacheControl reads the Cache-Control headers of h. Of two values of max-age it
// takes the shorter (section 4.2.1). It ignores unknown directives.
func ParseCacheControl(h http.Header) CacheControl {
	var c CacheControl
	for _, line := range h.Values("Cache-Control") {
		for line != "" {
			var directive string
			directive, line = nextDirective(line)
			c.add(directive)
		}
	}
	return c
}

// nextDirective splits list at its first comma that isn't in a quoted string (RFC
// 9110, section 5.6.1). A string that doesn't end is not a quoted string.
func nextDirective(list string) (directive, rest string) {
	quoted := false
	for i := 0; i < len(list); i++ {
		switch {
		case list[i] == '"':
			quoted = !quoted
		case quoted && list[i] == '\\':
			i++
		case !quoted && list[i] == ',':
			return list[:i], list[i+1:]
		}
	}
	if quoted {
		// Ignoring the rest would ignore a no-store in it.
		directive, rest, _ = strings.Cut(list, ",")
		return directive, rest
	}
	return list, ""
}

func (c *CacheControl) add(directive string) {
	name, argument, _ := strings.Cut(strings.TrimSpace(directive), "=")
	switch strings.ToLower(name) {
	case "no-store":
		c.NoStore = true
	case "no-cache":
		c.NoCache = true
	case "must-revalidate":
		c.MustRevalidate = true
	case "max-age":
		if age := Seconds(strings.Trim(argument, `"`)); !c.HasMaxAge || age < c.MaxAge {
			c.MaxAge = age
		}
		c.HasMaxAge = true
	}
}

// Seconds reads a number of seconds (RFC 9111, section 1.2.2). Text that isn't a
// number is 0. A number that is too large becomes the largest one.
func Seconds(s string) time.Duration {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		n = 1<<31 - 1
	}
	return time.Duration(n) * time.Second
}
