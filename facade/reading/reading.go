// Package reading reads requests to OAuth endpoints in exactly one way, or
// refuses them. Comparing `client_id` exactly is useless in front of a server
// that also reads `CLIENT_ID`, `client.id` or the first of two. What was read is
// encoded again for the server, so that both see the same.
//
// This package doesn't know Caddy.
package reading

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// repeatable are the parameters that may be repeated: resource (RFC 8707, section
// 2), audience (RFC 8693, section 2.1). No other may (RFC 6749, section 3.1).
var repeatable = map[string]bool{"resource": true, "audience": true}

// identifiers are parameters whose values must be visible ASCII. A database may
// take `client ` for `client`, and ignore accents.
var identifiers = map[string]bool{
	"client_id": true, "redirect_uri": true, "response_type": true, "response_mode": true, "code_challenge": true, "code_challenge_method": true,
	"code_verifier": true, "code": true, "grant_type": true, "refresh_token": true, "client_assertion_type": true,
	"resource": true, "request_uri": true, "token": true, "token_type_hint": true,
}

// texts are parameters whose values may also contain spaces (RFC 6749, appendix
// A: scope, state).
var texts = map[string]bool{"scope": true, "state": true, "prompt": true}

// Reader reads parameters.
type Reader struct{ known map[string]string }

// ForAuthorization returns a reader of authorization requests. It knows the
// parameters in further as well as those of OAuth.
func ForAuthorization(further ...string) *Reader { return newReader(further, authorizationParameters) }

// ForToken returns a reader of the requests that programs send, for tokens,
// revocation and introspection.
func ForToken(further ...string) *Reader { return newReader(further, tokenParameters) }

func newReader(further, parameters []string) *Reader {
	r := &Reader{known: make(map[string]string)}
	for _, name := range slices.Concat(further, parameters) {
		r.known[fold(name)] = name
	}
	return r
}

// Knows reports whether the reader knows the parameter.
func (r *Reader) Knows(name string) bool {
	known, ok := r.known[fold(name)]
	return ok && known == name
}

// fold returns a parameter's name as servers see it that ignore case and
// punctuation. PHP and Perl turn dots and spaces into underscores; frameworks
// bind `client-id` and `clientId` to client_id.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '-' || r == '.' || r == '_':
			return -1
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		}
		return r
	}, name)
}

// Parse reads the parameters of a query or a form. It refuses what two servers
// could read differently. Empty parameters are kept, because some servers' forms
// have them.
func (r *Reader) Parse(encoded string) (url.Values, error) {
	values := make(url.Values)
	spelled := make(map[string]string) // by folded name
	if strings.Contains(encoded, ";") {
		// Python before 3.9.2, and others, also separate parameters at a
		// semicolon.
		return nil, errors.New("it has an unencoded semicolon")
	}
	for piece := range strings.SplitSeq(encoded, "&") {
		if piece == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(piece, "=")
		name, err := unescape(rawName)
		if err != nil || !isName(name) {
			return nil, fmt.Errorf("%s is not the name of a parameter", quote(rawName))
		}
		if strings.EqualFold(name, "_method") && name != "_method" || overrideParameters[fold(name)] {
			return nil, fmt.Errorf("the parameter %s stands for another method", quote(name))
		}
		folded := fold(name)
		if known, ok := r.known[folded]; ok && known != name {
			return nil, fmt.Errorf("the parameter %s would be read as %s by some servers", quote(name), known)
		}
		if other, twice := spelled[folded]; twice && (other != name || !repeatable[name]) {
			return nil, fmt.Errorf("%s is given twice", name)
		}
		spelled[folded] = name
		value, err := unescape(rawValue)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if err := r.checkValue(name, value); err != nil {
			return nil, fmt.Errorf("%s %w", name, err)
		}
		values.Add(name, value)
	}
	return values, nil
}

// Suspicious reports whether a server might read any part of a query as a
// parameter of an authorization request. It is used while the endpoints are
// unknown.
func (r *Reader) Suspicious(query string) bool {
	values, err := r.Parse(query)
	return err != nil || IsAuthorization(values)
}

// IsAuthorization reports whether any of the parameters is specific to an
// authorization request.
func IsAuthorization(parameters url.Values) bool {
	for _, name := range []string{
		"client_id", "response_type", "redirect_uri", "code_challenge", "code_challenge_method", "request", "request_uri", "response_mode", "registration",
	} {
		if parameters.Has(name) {
			return true
		}
	}
	return false
}

// Encode encodes parameters so that every server reads them the same way. Spaces
// become %20, which no server takes for a plus sign.
func Encode(parameters url.Values) string {
	return strings.ReplaceAll(parameters.Encode(), "+", "%20")
}

// unescape is strict: the text must be ASCII, and must decode to UTF-8.
func unescape(text string) (string, error) {
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("has characters that must be encoded")
	}
	plain, err := url.QueryUnescape(text)
	if err != nil {
		return "", errors.New("is not encoded correctly")
	}
	if !utf8.ValidString(plain) {
		return "", errors.New("is not UTF-8")
	}
	return plain, nil
}

// isName reports whether a name is valid by RFC 6749, section 8.2. `client_id[]`,
// `client_id%00` and ` client_id` aren't.
func isName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '.' || r == '_')
	})
}

func (r *Reader) checkValue(name, value string) error {
	if _, known := r.known[fold(name)]; !known {
		if strings.Contains(value, "\x00") {
			return errors.New("contains a NUL")
		}
		return nil // such as a multi-line text in a form of the server's own
	}
	for _, c := range value {
		switch {
		case c < ' ' || 0x7f <= c && c < 0xa0:
			return errors.New("contains control characters")
		case identifiers[name] && (c == ' ' || c > '~'), texts[name] && c > '~':
			return errors.New("contains characters that are not printable ASCII")
		}
	}
	return nil
}

// SameIdentifier reports whether a server might take identifier for known: if it
// ignores case, or decodes escapes more than once.
func SameIdentifier(known, identifier string) bool {
	for range 4 {
		if strings.EqualFold(known, strings.TrimSpace(identifier)) {
			return true
		}
		next, err := url.PathUnescape(identifier)
		if err != nil || next == identifier {
			return false
		}
		identifier = next
	}
	return false
}

// quote returns text from a client in a form that can be shown.
func quote(text string) string {
	if len(text) > 60 {
		text = text[:60] + "..."
	}
	return fmt.Sprintf("%+q", text)
}
