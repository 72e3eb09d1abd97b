package repair

import (
	"slices"
	"strconv"
)

// Registration returns a client information response (RFC 7591, section 3.2.1)
// that clients can read, made from a server's. Members that are empty, null, or
// of the wrong type are left out, because clients would refuse the whole
// response. So are unknown ones, above all the address and the token for changing
// the client (RFC 7592): the façade would not see such a change.
func Registration(answer map[string]any, redirectURIs []string) map[string]any {
	repaired := make(map[string]any)
	for _, name := range []string{
		"client_id", "client_secret", "token_endpoint_auth_method", "application_type", "client_name", "client_uri", "logo_uri", "tos_uri", "policy_uri",
		"scope", "software_id", "software_version",
	} {
		if text, _ := answer[name].(string); text != "" {
			repaired[name] = text
		}
	}
	for _, name := range []string{"redirect_uris", "grant_types", "response_types", "contacts"} {
		if list := textList(answer[name]); len(list) > 0 {
			repaired[name] = list
		}
	}
	if repaired["redirect_uris"] == nil {
		repaired["redirect_uris"] = redirectURIs
	}
	if issued, ok := seconds(answer["client_id_issued_at"]); ok {
		repaired["client_id_issued_at"] = issued
	}
	if repaired["client_secret"] != nil {
		// Required with a secret; 0 means never.
		expires, ok := seconds(answer["client_secret_expires_at"])
		if !ok {
			expires = 0
		}
		repaired["client_secret_expires_at"] = expires
	} else {
		// This replaces any other value, and the default, client_secret_basic:
		// the client has no secret to authenticate with.
		repaired["token_endpoint_auth_method"] = "none"
	}
	return repaired
}

// textList returns a list of strings without empty ones; nil if it isn't a list.
func textList(value any) []string {
	elems, _ := value.([]any)
	list := make([]string, 0, len(elems))
	for _, elem := range elems {
		text, ok := elem.(string)
		if !ok {
			return nil
		}
		list = append(list, text)
	}
	return slices.DeleteFunc(list, func(text string) bool { return text == "" })
}

// seconds reads a number of seconds, which may be a string.
func seconds(value any) (int64, bool) {
	switch value := value.(type) {
	case float64:
		return int64(value), value >= 0 && value < 1<<53
	case string:
		n, err := strconv.ParseInt(value, 10, 64)
		return n, err == nil && n >= 0
	}
	return 0, false
}
