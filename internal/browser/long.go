package browser

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	// maxPart bounds what is kept in one cookie, in bytes: browsers refuse
	// cookies larger than 4096 bytes with their names and attributes (RFC 6265,
	// section 6.1).
	maxPart = 3700
	// maxParts bounds the cookies of one value. More of them wouldn't fit into
	// the headers that servers accept.
	maxParts = 3
)

// SetLongCookie sets a value for lifetime that may not fit into one cookie. The
// first cookie says how many there are.
func (v *Visit) SetLongCookie(name, value string, lifetime time.Duration) error {
	parts := (len(value) + maxPart - 1) / maxPart
	if parts > maxParts {
		return errors.New("the value is too long for a browser to keep")
	}
	for i := range parts {
		part := value[i*maxPart : min((i+1)*maxPart, len(value))]
		if i == 0 {
			part = strconv.Itoa(parts) + "." + part
		}
		v.SetCookie(partName(name, i), part, lifetime)
	}
	return nil
}

// LongCookie returns a value that [Visit.SetLongCookie] set; empty if part of it
// is missing.
func (v *Visit) LongCookie(name string) string {
	count, value, _ := strings.Cut(v.Cookie(name), ".")
	parts, err := strconv.Atoi(count)
	if err != nil || parts < 1 || parts > maxParts {
		return ""
	}
	for i := 1; i < parts; i++ {
		part := v.Cookie(partName(name, i))
		if part == "" {
			return ""
		}
		value += part
	}
	return value
}

// RemoveLongCookie removes it.
func (v *Visit) RemoveLongCookie(name string) {
	for i := range maxParts {
		if i == 0 || v.Cookie(partName(name, i)) != "" {
			v.RemoveCookie(partName(name, i))
		}
	}
}

func partName(name string, i int) string {
	if i == 0 {
		return name
	}
	return fmt.Sprintf("%s_part%d", name, i)
}

// MakeRoom removes all cookies under names that begin with prefix, if they have
// more than limit bytes. If they exceeded what a server accepts in headers, the
// browser would be locked out.
func (v *Visit) MakeRoom(prefix string, limit int) {
	total := 0
	var found []string
	for _, c := range allCookies(v.R) {
		if name, ok := v.site.bareName(c.Name); ok && strings.HasPrefix(name, prefix) {
			total += len(c.Name) + len(c.Value)
			found = append(found, name)
		}
	}
	if total <= limit {
		return
	}
	for _, name := range found {
		v.RemoveCookie(name)
	}
}
