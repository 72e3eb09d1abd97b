package token

import (
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ClaimText returns the claim name as a text: a string as it is, a list of
// strings with commas between them, as headers have it, anything else as JSON;
// empty if there is no such claim. Where there is no claim of that name, a dot
// leads into an object, as in realm_access.roles.
func (t *Token) ClaimText(name string) string {
	return text(lookup(t.Full().claims, name))
}

// lookup returns the member name of object. Names may contain dots themselves,
// as URLs do, so the whole name is tried first.
func lookup(object jsontext.Value, name string) jsontext.Value {
	var fields map[string]jsontext.Value
	if object.Kind() != '{' || json.Unmarshal(object, &fields) != nil {
		return nil
	}
	if value, ok := fields[name]; ok {
		return value
	}
	for i := range len(name) {
		if inner, ok := fields[name[:i]]; ok && name[i] == '.' {
			if value := lookup(inner, name[i+1:]); value != nil {
				return value
			}
		}
	}
	return nil
}

func text(value jsontext.Value) string {
	switch value.Kind() {
	case '"':
		s, _ := stringValue(value) // valid: it was read as a member
		return s
	case '[':
		if list, err := stringsValue(value); err == nil {
			return strings.Join(list, ",")
		}
	case 'n':
		return ""
	}
	// Issuers may write line breaks between members; headers can't have them.
	value = value.Clone()
	_ = value.Compact() // valid: it was read as a member
	return string(value)
}
