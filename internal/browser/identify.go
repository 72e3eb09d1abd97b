package browser

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"slices"
	"strings"
)

const (
	// idLength is the length of what [rand.Text] returns.
	idLength = 26
	// maxIDs bounds how many identifiers of one browser count.
	maxIDs = 8
)

// identify returns an identifier of this browser, and gives it one if it has none.
//
// Each identifier has a cookie name of its own. A new browser may open several
// pages at the same time, such as a client that connects to two servers. Each page
// gives it an identifier; under one name only the last would be left, and the
// forms of the other pages would be refused.
func (v *Visit) identify() string {
	if len(v.ids) == 0 {
		id := rand.Text()
		v.ids = []string{id}
		v.SetCookie(v.site.IDCookie+"_"+hashOf(id)[:8], id, v.site.IDLifetime)
	}
	return v.ids[0]
}

// identifiers returns the identifiers that the browser sent, in the order of their
// cookies' names. Versions without several have one under the bare name.
func (v *Visit) identifiers() []string {
	values := make(map[string][]string)
	for _, c := range allCookies(v.R) {
		name, ok := v.site.bareName(c.Name)
		if ok && (name == v.site.IDCookie || strings.HasPrefix(name, v.site.IDCookie+"_")) {
			values[name] = append(values[name], c.Value)
		}
	}
	var ids []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		// One of two would be another site's.
		if list := values[name]; len(list) == 1 && len(list[0]) == idLength && len(ids) < maxIDs {
			ids = append(ids, list[0])
		}
	}
	return ids
}

// is reports whether hash is that of an identifier of this browser.
func (v *Visit) is(hash string) bool {
	return slices.ContainsFunc(v.ids, func(id string) bool { return hashOf(id) == hash })
}

// hashOf returns the hash of an identifier, for what is sealed.
func hashOf(id string) string {
	sum := sha256.Sum256([]byte(id))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
